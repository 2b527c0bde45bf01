"""Compiles and runs bare-metal images whose console is semihosting."""

import shutil
import subprocess
from pathlib import Path

import pytest

from reds_bench.emulator import QEMU

COMPILER = "arm-none-eabi-gcc"
MACHINES = {"cortex-m0plus": "mps2-an385", "cortex-m4": "mps2-an386"}
FLAGS = {
    "cortex-m0plus": ("-mcpu=cortex-m0plus", "-mthumb", "-mfloat-abi=soft"),
    "cortex-m4": ("-mcpu=cortex-m4", "-mthumb", "-mfloat-abi=hard", "-mfpu=fpv4-sp-d16"),
}
SECONDS = 120

needs_arm_compiler = pytest.mark.skipif(shutil.which(COMPILER) is None, reason=f"needs `{COMPILER}`")
needs_qemu = pytest.mark.skipif(shutil.which(QEMU) is None, reason=f"needs `{QEMU}`")


def run_image(image: Path, core: str) -> str:
    """Runs an image until it ends and returns what it prints; its exit code must be 0."""
    options = ["-display", "none", "-monitor", "none", "-serial", "none"]
    semihosting = ["-semihosting-config", "enable=on,target=native"]
    command = [QEMU, "-machine", MACHINES[core], *options, *semihosting, "-kernel", str(image)]
    finished = subprocess.run(
        command, check=True, timeout=SECONDS, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    return finished.stdout
