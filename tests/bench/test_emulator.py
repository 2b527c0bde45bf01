"""Boards without hardware."""

import shutil
from pathlib import Path

import pytest
import serial

from reds.errors import DeviceError, UsageError
from reds_bench import emulator
from reds_bench.client import Bench, Stats
from reds_bench.emulator import QemuBoard, boot

SAMPLE = bytes(range(0, 240, 8))

needs_qemu = pytest.mark.skipif(
    shutil.which(emulator.QEMU) is None, reason=f"needs the Debian package {emulator.QEMU_PACKAGE}"
)


def infer_all(url: str) -> tuple[list[bytes], Stats]:
    """The output of each subnetwork and of changes between them, and the device's stats after the last one."""
    outputs = []
    with Bench(url) as bench:
        bench.upload(SAMPLE)
        for subnetwork in bench.subnetworks():
            bench.select(subnetwork.id)
            bench.infer(iterations=2, warmup=1)
            outputs.append(bench.output())
        bench.select(0)
        for operations in (1, 2, 3):
            bench.continue_in(1, operations)
            outputs.append(bench.output())
        return outputs, bench.stats()


@needs_qemu
@pytest.mark.parametrize("board", emulator.QEMU_BOARDS)
def test_an_emulated_core_computes_the_bytes_of_this_machine(board: str, int8_model_path: Path) -> None:
    with boot(board, int8_model_path, "kws01") as url:
        with Bench(url) as bench:
            assert (bench.name(), bench.profile()) == (f"reds-qemu-{board.removeprefix('qemu:')}", "kws01")
        emulated, _ = infer_all(url)
    with boot("x86", int8_model_path) as url:
        here, _ = infer_all(url)
    assert emulated == here


@needs_qemu
@pytest.mark.parametrize("board", ["qemu:cortex-m0plus", "qemu:cortex-m4"])
def test_instruction_counts_are_the_same_in_every_run(board: str, int8_model_path: Path) -> None:
    stats = []
    for _ in range(2):
        with boot(board, int8_model_path) as url:
            stats.append(infer_all(url)[1])
    assert stats[0] == stats[1]
    assert 0 < stats[0].select_instructions <= stats[0].budget_instructions < stats[0].last_instructions
    assert stats[0].open_instructions > stats[0].last_instructions / 10


@needs_qemu
def test_a_budget_in_microseconds_uses_the_instructions_of_the_core(int8_model_path: Path) -> None:
    with boot("qemu:cortex-m4", int8_model_path) as url, Bench(url) as bench:
        assert [bench.budget(microseconds=limit) for limit in (30, 29, 20, 10)] == [0, 1, 1, 2]
        with pytest.raises(DeviceError, match="No subnetwork fits"):
            bench.budget(microseconds=9)


@needs_qemu
def test_a_budget_in_microseconds_finds_nothing_on_a_core_without_counts(int8_model_path: Path) -> None:
    with (
        boot("qemu:cortex-m0plus", int8_model_path) as url,
        Bench(url) as bench,
        pytest.raises(DeviceError, match="No subnetwork fits"),
    ):
        bench.budget(microseconds=30)


@needs_qemu
def test_the_operations_cost_what_the_inference_costs(int8_model_path: Path) -> None:
    with boot("qemu:cortex-m4", int8_model_path) as url, Bench(url) as bench:
        bench.upload(SAMPLE)
        bench.infer()
        operations = bench.operations()
        assert operations == bench.operations()
        assert sum(operation.instructions for operation in operations) == pytest.approx(
            bench.stats().last_instructions, rel=0.02
        )


@needs_qemu
def test_eight_pasted_commands_are_all_answered(int8_model_path: Path) -> None:
    with boot("qemu:cortex-m4", int8_model_path) as url, serial.serial_for_url(url, timeout=2) as port:
        expected = b"m-name-dut-[reds-qemu-cortex-m4]\r\nm-ready\r\n" * 8
        port.write(b"name%" * 8)
        assert port.read(len(expected)) == expected


@needs_qemu
def test_a_model_that_the_device_refuses_is_a_device_error(tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(b"not a model")
    with boot("qemu:cortex-m4", path) as url, Bench(url) as bench, pytest.raises(DeviceError, match="reds list"):
        bench.subnetworks()


@needs_qemu
def test_what_qemu_says_is_in_the_error(int8_model_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(emulator.QEMU_BOARDS, "qemu:cortex-m4", QemuBoard("cortex-m4", "no-such-machine", 0x21000000))
    with pytest.raises(DeviceError, match="unsupported machine type"), boot("qemu:cortex-m4", int8_model_path):
        pass


@pytest.mark.parametrize(
    ("board", "model", "name", "message"),
    [
        ("z80", "small.tflite", "reds", "`board` must be one of x86, qemu:cortex-m0plus"),
        ("x86", "none.tflite", "reds", "`model_path` must be"),
        ("x86", "small.tflite", "", "`model_name` must be"),
        ("x86", "small.tflite", "a name too long", "`model_name` must be"),
    ],
)
def test_wrong_arguments_are_usage_errors(
    int8_model_path: Path, board: str, model: str, name: str, message: str
) -> None:
    with pytest.raises(UsageError, match=message), boot(board, int8_model_path.with_name(model), name):
        pass


def test_missing_qemu_names_the_package(int8_model_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UsageError, match="Debian package"), boot("qemu:cortex-m4", int8_model_path):
        pass


def test_missing_firmware_names_the_build(
    int8_model_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(emulator, "ARTIFACTS", tmp_path)
    monkeypatch.setattr(shutil, "which", lambda program: program)
    with pytest.raises(UsageError, match="build it with `scons`"), boot("qemu:cortex-m4", int8_model_path):
        pass
