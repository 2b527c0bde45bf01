"""Makes the boot block of an RP2040: the second stage, filled up with zeros, and its checksum.

    python boot_block.py STAGE.bin BLOCK.cc

The boot ROM runs the first 252 bytes of flash if the CRC-32 behind them is right: polynomial 0x04c11db7, most
significant bit first, from all ones, not inverted at the end.
"""

import sys
from pathlib import Path

STAGE_BYTES = 252
POLYNOMIAL = 0x04C11DB7


def checksum(content: bytes) -> int:
    """The boot ROM's CRC-32."""
    remainder = 0xFFFFFFFF
    for byte in content:
        remainder ^= byte << 24
        for _ in range(8):
            remainder = (remainder << 1) ^ (POLYNOMIAL if remainder >> 31 else 0)
            remainder &= 0xFFFFFFFF
    return remainder


def boot_block(stage: bytes) -> bytes:
    """The 256 bytes at the beginning of flash."""
    if len(stage) > STAGE_BYTES:
        sys.exit(f"boot_block.py: the second stage may have {STAGE_BYTES} bytes. Received: {len(stage)}.")
    filled = stage.ljust(STAGE_BYTES, b"\0")
    return filled + checksum(filled).to_bytes(4, "little")


def main() -> None:
    """Writes the block as C++."""
    stage, target = sys.argv[1:]
    block = ", ".join(f"{byte:#04x}" for byte in boot_block(Path(stage).read_bytes()))
    Path(target).write_text(
        f'[[gnu::section(".boot_block"), gnu::used]] extern const unsigned char kBootBlock[] = {{{block}}};\n'
    )


if __name__ == "__main__":
    main()
