"""The Raspberry Pi Pico: its flash, and its emulator."""

import shutil
import struct
import sys
import zlib
from pathlib import Path

import pytest

from reds.errors import UsageError
from reds_bench import rp2040
from reds_bench.client import Bench, Stats
from reds_bench.emulator import RP2040JS_BOARDS, boot
from reds_bench.rp2040 import FLASH_ADDRESS, MODEL_OFFSET, MODEL_ROOM, flash_contents
from reds_bench.uf2 import main, uf2

SAMPLE = bytes(range(0, 240, 8))
MEGAHERTZ = 133

needs_emulator = pytest.mark.skipif(
    shutil.which(rp2040.NODE) is None or not rp2040.EMULATOR_PACKAGE.is_dir(),
    reason=f"needs Node and `npm ci --prefix {rp2040.EMULATOR}`",
)


def bits_reversed(value: int, bits: int) -> int:
    return int(f"{value:0{bits}b}"[::-1], 2)


def boot_rom_checksum(content: bytes) -> int:
    """The same polynomial as zlib's, with the bits the other way round and not inverted at the end."""
    mirrored = bytes(bits_reversed(byte, 8) for byte in content)
    return bits_reversed(zlib.crc32(mirrored) ^ 0xFFFFFFFF, 32)


def infer_all(url: str) -> tuple[list[bytes], list[Stats]]:
    """Output and stats of each subnetwork."""
    outputs, stats = [], []
    with Bench(url) as bench:
        bench.upload(SAMPLE)
        for subnetwork in bench.subnetworks():
            bench.select(subnetwork.id)
            bench.infer(iterations=2, warmup=1)
            outputs.append(bench.output())
            stats.append(bench.stats())
    return outputs, stats


def test_flash_begins_with_a_boot_block_that_the_boot_rom_accepts() -> None:
    firmware = rp2040.FIRMWARE.read_bytes()
    stage, (checksum,) = firmware[:252], struct.unpack_from("<I", firmware, 252)
    assert checksum == boot_rom_checksum(stage)
    stack, reset = struct.unpack_from("<II", firmware, 256)
    assert stack == 0x20042000
    assert FLASH_ADDRESS + 256 < reset < FLASH_ADDRESS + len(firmware) and reset % 2 == 1


def test_a_uf2_file_holds_all_of_flash_that_is_not_erased() -> None:
    flash = flash_contents(b"some model" * 100)
    file = uf2(flash)
    blocks = [file[begin : begin + 512] for begin in range(0, len(file), 512)]
    written = bytearray(b"\xff" * len(flash))
    for index, block in enumerate(blocks):
        *begin, flags, address, size, number, count, family = struct.unpack_from("<8I", block)
        assert begin == [0x0A324655, 0x9E5D5157] and block[-4:] == struct.pack("<I", 0x0AB16F30)
        assert (flags, size, number, count, family) == (0x2000, 256, index, len(blocks), 0xE48BFF56)
        assert address % 4096 == number % 16 * 256
        written[address - FLASH_ADDRESS : address - FLASH_ADDRESS + 256] = block[32:288]
    assert bytes(written[: len(flash)]) == flash
    assert len(blocks) * 256 < len(flash)


def test_the_command_writes_a_uf2_file(
    int8_model_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "pico.uf2"
    monkeypatch.setattr(sys, "argv", ["uf2", str(int8_model_path), "-o", str(path)])
    main()
    assert path.read_bytes() == uf2(flash_contents(int8_model_path.read_bytes()))
    monkeypatch.setattr(sys, "argv", ["uf2", str(tmp_path / "none.tflite"), "-o", str(path)])
    with pytest.raises(SystemExit):
        main()
    assert "There is no model" in capsys.readouterr().err


def test_a_model_that_does_not_fit_is_a_usage_error() -> None:
    assert len(flash_contents(b"m" * MODEL_ROOM)) == 2 << 20
    assert flash_contents(b"model", "kws01")[MODEL_OFFSET:] == b"\5\0\0\0kws01" + b"\0" * 7 + b"model"
    with pytest.raises(UsageError, match="may have"):
        flash_contents(b"m" * (MODEL_ROOM + 1))


@needs_emulator
@pytest.mark.parametrize("board", RP2040JS_BOARDS)
def test_the_emulated_chip_computes_the_bytes_of_this_machine(board: str, int8_model_path: Path) -> None:
    runs = []
    for _ in range(2):
        with boot(board, int8_model_path, "kws01") as url:
            with Bench(url) as bench:
                assert (bench.name(), bench.profile()) == ("reds-rp2040", "kws01")
            runs.append(infer_all(url))
    with boot("x86", int8_model_path) as url:
        here, _ = infer_all(url)
    assert runs[0][0] == here
    assert runs[0] == runs[1]
    cycles = [stats.last_instructions for stats in runs[0][1]]
    assert {stats.unit for stats in runs[0][1]} == {"cycles"}
    assert cycles == sorted(cycles, reverse=True) and cycles[-1] > 0


@needs_emulator
def test_flash_that_misses_its_cache_costs_cycles(int8_model_path: Path) -> None:
    opened = []
    for board in RP2040JS_BOARDS:
        with boot(board, int8_model_path) as url, Bench(url) as bench:
            opened.append(bench.stats().open_instructions)
    lines = int8_model_path.stat().st_size // 8
    assert opened[1] - opened[0] >= lines * rp2040.MISS_CYCLES


@needs_emulator
def test_cycles_and_microseconds_agree(int8_model_path: Path) -> None:
    with boot("rp2040js", int8_model_path) as url, Bench(url) as bench:
        bench.upload(SAMPLE)
        microseconds = bench.infer(iterations=100).microseconds
        assert microseconds * MEGAHERTZ == pytest.approx(100 * bench.stats().last_instructions, rel=0.02)


def test_what_is_missing_is_named(int8_model_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda program: program)
    monkeypatch.setattr(rp2040, "EMULATOR_PACKAGE", tmp_path / "rp2040js")
    with pytest.raises(UsageError, match="run `npm ci --prefix"), boot("rp2040js", int8_model_path):
        pass
    monkeypatch.setattr(shutil, "which", lambda program: None)
    with pytest.raises(UsageError, match="Debian packages `nodejs` and `npm`"), boot("rp2040js", int8_model_path):
        pass
    monkeypatch.setattr(rp2040, "FIRMWARE", tmp_path / "rp2040.bin")
    with pytest.raises(UsageError, match="build it with `scons`"), boot("rp2040js", int8_model_path):
        pass
