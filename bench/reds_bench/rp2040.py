"""Flash of the Raspberry Pi Pico, for the board itself and for its emulator."""

import shutil
from pathlib import Path

from reds.errors import UsageError
from reds_bench.firmware import ARTIFACTS, artifact
from reds_bench.model_memory import MODEL_HEADER_BYTES, model_memory

FIRMWARE = ARTIFACTS / "firmware" / "rp2040.bin"

TARGET = "rp2040"
"""Under which a file keeps the cycles of its subnetworks."""

FLASH_ADDRESS = 0x10000000
MODEL_OFFSET = 128 << 10
"""Flash before it is the firmware's (device/firmware/boards/rp2040/link.ld)."""

MODEL_ROOM = (2 << 20) - MODEL_OFFSET - MODEL_HEADER_BYTES

MISS_CYCLES = 2 * (4 * (8 + 24 + 32) + 10)
"""Of a line that the cache in front of the flash lacks, at most: two words, each with a command, an address and 32 bits
of data at a quarter of the clock (device/firmware/boards/rp2040/boot2.s), and about ten cycles to begin and end."""

NODE = "node"
EMULATOR = Path(__file__).parent / "rp2040js"
EMULATOR_PACKAGE = EMULATOR / "node_modules" / "rp2040js"

ERASED = b"\xff"


def flash_contents(model: bytes, model_name: str = "reds") -> bytes:
    """The firmware and a model as they lie in flash.

    Args:
        model: a .tflite file.
        model_name: what the command `profile` says; at most 12 ASCII characters.

    Raises:
        UsageError: if the model does not fit or the firmware was not built.
    """
    if len(model) > MODEL_ROOM:
        raise UsageError(
            f"A model on an RP2040 with 2 MB of flash may have {MODEL_ROOM} bytes. Received: {len(model)}."
        )
    return artifact(FIRMWARE).read_bytes().ljust(MODEL_OFFSET, ERASED) + model_memory(model, model_name)


def emulator_command(flash: Path, miss_cycles: int) -> list[str]:
    """The command that runs the contents of flash in rp2040js.

    Args:
        flash: a file with them.
        miss_cycles: of each line that the cache in front of the flash lacks; 0 for flash as fast as SRAM.

    Raises:
        UsageError: if Node or the emulator is missing.
    """
    if shutil.which(NODE) is None:
        raise UsageError(f"`{NODE}` is missing; install the Debian packages `nodejs` and `npm`.")
    if not EMULATOR_PACKAGE.is_dir():
        raise UsageError(f"The npm package `{EMULATOR_PACKAGE.name}` is missing; run `npm ci --prefix {EMULATOR}`.")
    return [NODE, str(EMULATOR / "emulate.js"), str(flash), str(miss_cycles)]
