"""Runs a module of this package in a process of its own.

OR-Tools crashes in a process that has loaded TensorFlow before (google/or-tools#3230), so what needs it is asked there.
"""

import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from typing import Any


def ask(module: str, request: Any) -> Any:
    """Starts a module as a program and has it answer a request.

    Args:
        module: its name; as a program it calls `answer`.
        request: any value that pickle takes.

    Returns:
        The answer.

    Raises:
        subprocess.CalledProcessError: if the process fails.
    """
    finished = subprocess.run(
        [sys.executable, "-m", module],
        input=pickle.dumps(request, pickle.HIGHEST_PROTOCOL),
        stdout=subprocess.PIPE,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    return pickle.loads(finished.stdout)


def answer(respond: Callable[[Any], Any]) -> None:
    """Answers the request of `ask` on standard input on standard output."""
    pickle.dump(respond(pickle.load(sys.stdin.buffer)), sys.stdout.buffer)
