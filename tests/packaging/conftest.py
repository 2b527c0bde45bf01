"""What the tests of this folder build, and lets them share `emulation`."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from reds.runtime import Runtime

sys.path.insert(0, str(Path(__file__).parent))

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Example:
    """examples/minimal and the model that it runs."""

    sources: Path
    model_header: Path
    output: str
    """What it prints, as libreds on this machine computes it."""


@pytest.fixture(scope="session")
def scons() -> Callable[..., str]:
    """Builds targets in this tree and returns what SCons says."""

    def build(*arguments: str) -> str:
        command = [sys.executable, "-m", "SCons", "-s", *arguments]
        return subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout

    return build


@pytest.fixture(scope="session")
def example(scons: Callable[..., str]) -> Example:
    scons("build/examples/model.h")
    header = ROOT / "build/examples/model.h"
    return Example(ROOT / "examples/minimal", header, _output(header.with_suffix(".tflite")))


def _output(model: Path) -> str:
    runtime = Runtime(model)
    ramp = (np.arange(runtime.input.size) * 2 - 64).astype(np.int8).reshape(runtime.input.shape)
    lines = []
    for subnetwork in runtime.subnetworks:
        runtime.select(subnetwork.id)
        scores = " ".join(map(str, runtime.invoke(ramp)))
        lines.append(f"{subnetwork.name} of the network, {subnetwork.macs} multiply-accumulates: {scores}\n")
    return "".join(lines) + "no error\n"
