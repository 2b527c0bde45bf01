"""The example firmware prints what libreds computes on this machine."""

from collections.abc import Callable
from pathlib import Path

import pytest
from emulation import MACHINES, needs_arm_compiler, needs_qemu, run_image

ROOT = Path(__file__).parents[2]


@needs_arm_compiler
@needs_qemu
@pytest.mark.parametrize("core", MACHINES)
def test_minimal_firmware(scons: Callable[..., str], example, core: str) -> None:
    scons("examples")
    assert run_image(ROOT / f"build/examples/{core}/minimal.elf", core) == example.output
