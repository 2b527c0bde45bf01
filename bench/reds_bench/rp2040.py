"""Flash of the Raspberry Pi Pico, for the board itself and for its emulator.

    python -m reds_bench.rp2040 MODEL.tflite -o pico.uf2

writes what the board takes as a USB drive when it is plugged in with its button held.
"""

import argparse
import shutil
import sys
from pathlib import Path

from reds.errors import RedsError, UsageError
from reds.files import write_atomically
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

_ERASED = b"\xff"

_UF2_PAGE_BYTES = 256
_UF2_DATA_BYTES = 476
_UF2_BEGIN = (0x0A324655, 0x9E5D5157)
_UF2_END = 0x0AB16F30
_UF2_HAS_FAMILY = 0x2000
_UF2_FAMILY_RP2040 = 0xE48BFF56


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
    return artifact(FIRMWARE).read_bytes().ljust(MODEL_OFFSET, _ERASED) + model_memory(model, model_name)


def uf2(flash: bytes) -> bytes:
    """A UF2 file that writes flash from its beginning; erased pages are left out."""
    padded = flash.ljust(-(-len(flash) // _UF2_PAGE_BYTES) * _UF2_PAGE_BYTES, _ERASED)
    pages = [
        (FLASH_ADDRESS + offset, page)
        for offset in range(0, len(padded), _UF2_PAGE_BYTES)
        if (page := padded[offset : offset + _UF2_PAGE_BYTES]) != _ERASED * _UF2_PAGE_BYTES
    ]
    return b"".join(_uf2_block(address, page, index, len(pages)) for index, (address, page) in enumerate(pages))


def _uf2_block(address: int, page: bytes, index: int, count: int) -> bytes:
    header = (*_UF2_BEGIN, _UF2_HAS_FAMILY, address, len(page), index, count, _UF2_FAMILY_RP2040)
    return _words(header) + page.ljust(_UF2_DATA_BYTES, b"\0") + _words((_UF2_END,))


def _words(values: tuple[int, ...]) -> bytes:
    return b"".join(value.to_bytes(4, "little") for value in values)


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


def main() -> None:
    """Writes a UF2 file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, metavar="MODEL.tflite")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE.uf2")
    arguments = parser.parse_args()
    try:
        if not arguments.model.is_file():
            raise UsageError(f"There is no model '{arguments.model}'.")
        write_atomically(arguments.output, uf2(flash_contents(arguments.model.read_bytes())))
    except RedsError as error:
        print(f"rp2040: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
