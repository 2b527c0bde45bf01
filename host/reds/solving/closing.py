"""Has CP-SAT close what is left of a search, in a process of its own.

CP-SAT crashes in a process that has loaded TensorFlow before (google/or-tools#3230), as this one has after ranking.
"""

import os
import pickle
import subprocess
import sys
from dataclasses import dataclass

from reds.solving.problem import ChainProblem


@dataclass(frozen=True)
class Request:
    """What CP-SAT is asked."""

    problem: ChainProblem
    """Best with few widths per group."""
    incumbent: tuple[int, ...]
    """A choice within the budget, as indices into the allowed widths."""
    seconds: float
    """Time limit of the search."""
    workers: int = 1
    """Threads; one and the same seed give the same answer where the time suffices."""
    seed: int = 0


@dataclass(frozen=True)
class Closing:
    """What CP-SAT found."""

    choice: tuple[int, ...]
    """Indices into the allowed widths; within the budget, and no worse than the incumbent."""
    bound: float
    """No choice within the budget has a larger value."""


def close_gap(request: Request) -> Closing:
    """Runs CP-SAT on a chain; see `cp_sat.close_gap`.

    Args:
        request: the chain, its known choice, and the effort allowed.

    Returns:
        The best choice found and the bound proven.

    Raises:
        subprocess.CalledProcessError: if the solver's process fails.
    """
    finished = subprocess.run(
        [sys.executable, "-m", "reds.solving.cp_sat"],
        input=pickle.dumps(request),
        stdout=subprocess.PIPE,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    closing = pickle.loads(finished.stdout)
    assert isinstance(closing, Closing)
    return closing
