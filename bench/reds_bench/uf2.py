"""Writes the firmware and a model for the Raspberry Pi Pico.

    python -m reds_bench.uf2 MODEL.tflite -o pico.uf2

The board takes the file as a USB drive when it is plugged in with its button held.
"""

import argparse
import sys
from pathlib import Path

from reds.errors import RedsError, UsageError
from reds.files import write_atomically
from reds_bench.rp2040 import ERASED, FLASH_ADDRESS, flash_contents

_SECTOR_BYTES = 4096
_PAGE_BYTES = 256
_DATA_BYTES = 476
_BEGIN = (0x0A324655, 0x9E5D5157)
_END = 0x0AB16F30
_HAS_FAMILY = 0x2000
_FAMILY_RP2040 = 0xE48BFF56


def uf2(flash: bytes) -> bytes:
    """A UF2 file that writes flash from its beginning; erased sectors are left out.

    Every other one is written whole, as erratum RP2040-E14 demands.
    """
    sectors = (
        (begin, flash[begin : begin + _SECTOR_BYTES].ljust(_SECTOR_BYTES, ERASED))
        for begin in range(0, len(flash), _SECTOR_BYTES)
    )
    pages = [
        (FLASH_ADDRESS + begin + offset, sector[offset : offset + _PAGE_BYTES])
        for begin, sector in sectors
        if sector != ERASED * _SECTOR_BYTES
        for offset in range(0, _SECTOR_BYTES, _PAGE_BYTES)
    ]
    return b"".join(_block(address, page, index, len(pages)) for index, (address, page) in enumerate(pages))


def _block(address: int, page: bytes, index: int, count: int) -> bytes:
    header = (*_BEGIN, _HAS_FAMILY, address, len(page), index, count, _FAMILY_RP2040)
    return _words(header) + page.ljust(_DATA_BYTES, b"\0") + _words((_END,))


def _words(values: tuple[int, ...]) -> bytes:
    return b"".join(value.to_bytes(4, "little") for value in values)


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
        print(f"uf2: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
