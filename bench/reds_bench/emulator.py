"""Boards without hardware: QEMU and rp2040js with the bench firmware, and the firmware in this process."""

import re
import selectors
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from reds.errors import DeviceError, UsageError
from reds.schema import protocol
from reds_bench import rp2040
from reds_bench.firmware import ARENA_BYTES, ARTIFACTS, Firmware, artifact, serve
from reds_bench.model_memory import MODEL_HEADER_BYTES, MODEL_NAME_BYTES, model_memory

QEMU = "qemu-system-arm"
QEMU_PACKAGE = "qemu-system-arm"
X86 = "x86"

BOOT_SECONDS = 30.0
"""Time for an emulated board to say `m-ready`; it has to verify the model first."""


@dataclass(frozen=True)
class QemuBoard:
    """A board that QEMU emulates."""

    core: str
    machine: str
    model_address: int
    """Where the firmware looks for the header and the model."""
    model_memory_bytes: int = 16 << 20


QEMU_BOARDS = {
    f"qemu:{board.core}": board
    for board in (
        QemuBoard("cortex-m0plus", "mps2-an385", 0x21000000),
        QemuBoard("cortex-m3", "mps2-an385", 0x21000000),
        QemuBoard("cortex-m4", "mps2-an386", 0x21000000),
        QemuBoard("cortex-m7", "mps2-an500", 0x60000000),
        QemuBoard("cortex-m33", "mps2-an505", 0x80000000),
        QemuBoard("cortex-m55", "mps3-an547", 0x60000000),
    )
}

RP2040JS = "rp2040js"
RP2040JS_BOARDS = {RP2040JS: 0, f"{RP2040JS}:flash": rp2040.MISS_CYCLES}
"""The Raspberry Pi Pico with flash as fast as SRAM, and with a model of the cache in front of it: cycles of a miss."""

COUNTING_TARGETS = {
    **{name: board.core for name, board in QEMU_BOARDS.items()},
    **dict.fromkeys(RP2040JS_BOARDS, rp2040.TARGET),
}
"""By board the name under which a file keeps what it counts: its core, or a chip whose cycles are counted."""


def boards() -> tuple[str, ...]:
    """Returns the names of the boards that `boot` knows."""
    return (X86, *QEMU_BOARDS, *RP2040JS_BOARDS)


def counting_target(board: str) -> str:
    """Returns the name under which a file keeps what a board counts.

    Raises:
        UsageError: if there is no such board or it does not count.
    """
    if board not in COUNTING_TARGETS:
        raise UsageError(f"`board` must be one that counts instructions, such as 'qemu:cortex-m4'. Received: {board!r}")
    return COUNTING_TARGETS[board]


@contextmanager
def boot(
    board: str, model_path: str | Path, model_name: str = "reds", emulator_options: Sequence[str] = ()
) -> Iterator[str]:
    """Starts a board with a model; leaving the context ends it.

    Args:
        board: one of `boards()`.
        model_path: a .tflite file.
        model_name: what the board says its model is, such as `kws01`; at most 12 ASCII characters.
        emulator_options: further arguments of the emulator's command.

    Yields:
        The URL of the board's serial port, for `Bench`.

    Raises:
        UsageError: if there is no such board or file, or the emulator or the firmware is missing.
        DeviceError: if the board does not start.
    """
    path = Path(model_path)
    _check_arguments(board, path, model_name)
    if board == X86:
        with Firmware(path.read_bytes(), model_name, ARENA_BYTES) as firmware:
            firmware.exchange(b"")
            with serve(firmware) as url:
                yield url
    else:
        with tempfile.TemporaryDirectory(prefix="reds-") as folder:
            command = _command(board, path, model_name, Path(folder) / "memory")
            with _run(board, [*command, *emulator_options]) as url:
                yield url


def _check_arguments(board: str, model_path: Path, model_name: str) -> None:
    if board not in boards():
        raise UsageError(f"`board` must be one of {', '.join(boards())}. Received: {board!r}.")
    if not model_path.is_file():
        raise UsageError(f"`model_path` must be a .tflite file. Received: {str(model_path)!r}, which is no file.")
    if not model_name.isascii() or not 0 < len(model_name) <= MODEL_NAME_BYTES:
        raise UsageError(f"`model_name` must be 1 to {MODEL_NAME_BYTES} ASCII characters. Received: {model_name!r}.")


def _command(board: str, model_path: Path, model_name: str, memory: Path) -> list[str]:
    """Writes the memory that a board starts with; returns the command that emulates it."""
    if board in RP2040JS_BOARDS:
        memory.write_bytes(rp2040.flash_contents(model_path.read_bytes(), model_name))
        return rp2040.emulator_command(memory, RP2040JS_BOARDS[board])
    if shutil.which(QEMU) is None:
        raise UsageError(f"`{QEMU}` is missing; install the Debian package `{QEMU_PACKAGE}`.")
    qemu_board = QEMU_BOARDS[board]
    room = qemu_board.model_memory_bytes - MODEL_HEADER_BYTES
    if model_path.stat().st_size > room:
        raise UsageError(f"A model on {board} may have {room} bytes. Received: {model_path}, which has more.")
    memory.write_bytes(model_memory(model_path.read_bytes(), model_name))
    return _qemu_command(qemu_board, memory)


@contextmanager
def _run(board: str, command: list[str]) -> Iterator[str]:
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        yield _start(board, process)
    finally:
        process.kill()
        process.communicate()


def _qemu_command(board: QemuBoard, image: Path) -> list[str]:
    firmware = artifact(ARTIFACTS / "firmware" / f"{board.core}.elf")
    return [
        QEMU,
        *("-machine", board.machine),
        *("-icount", "shift=0"),
        *("-display", "none"),
        *("-monitor", "none"),
        # QEMU picks a free port, says which, and waits with the first instruction until somebody listens.
        *("-serial", "tcp:127.0.0.1:0,server=on,wait=on,nodelay=on"),
        *("-kernel", str(firmware)),
        *("-device", f"loader,file={_quoted(image)},addr={board.model_address:#x},force-raw=on"),
    ]


def _quoted(path: Path) -> str:
    """A path inside a QEMU option, where a comma ends the value and two stand for one."""
    return str(path).replace(",", ",,")


def _start(board: str, process: subprocess.Popen[bytes]) -> str:
    """Waits for the board to say `m-ready` and returns the URL of its port."""
    deadline = time.monotonic() + BOOT_SECONDS
    assert process.stderr is not None
    port = _serial_port(board, process.stderr, deadline)
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=BOOT_SECONDS) as connection:
            _await_ready(connection, deadline)
    except OSError as error:
        process.kill()
        said = process.stderr.read().decode(errors="replace")
        raise _did_not_start(board, said or str(error)) from error
    return f"socket://127.0.0.1:{port}"


def _serial_port(board: str, said_by_emulator: IO[bytes], deadline: float) -> int:
    said = b""
    with selectors.DefaultSelector() as selector:
        selector.register(said_by_emulator, selectors.EVENT_READ)
        while selector.select(max(0.0, deadline - time.monotonic())):
            line = said_by_emulator.readline()
            said += line
            match = re.search(rb"waiting for connection on: .*?tcp:127\.0\.0\.1:(\d+)", line)
            if match:
                return int(match[1])
            if not line:
                break
    raise _did_not_start(board, said.decode(errors="replace"))


def _await_ready(connection: socket.socket, deadline: float) -> None:
    said = b""
    ready = f"{protocol.REPLY_READY}\r\n".encode()
    while ready not in said:
        connection.settimeout(max(0.001, deadline - time.monotonic()))
        received = connection.recv(4096)
        if not received:
            raise ConnectionError("it ended before it was ready")
        said += received


def _did_not_start(board: str, said: str) -> DeviceError:
    reason = " ".join(said.split()) or "it said nothing"
    return DeviceError(f"The emulated board {board} did not start: {reason}.")
