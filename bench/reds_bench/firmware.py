"""The bench firmware inside this process: the board `x86`."""

import ctypes
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import reds.errors
from reds.errors import DeviceError, UsageError

ARTIFACTS = Path(reds.errors.__file__).parent / "artifacts"
"""Where the build puts what runs on boards."""

LIBRARY = ARTIFACTS / "libreds_firmware.so"
ARENA_BYTES = 2 << 20
"""As on the emulated boards."""

_CHUNK_BYTES = 1 << 16


def artifact(path: Path) -> Path:
    """Returns the path of a build product.

    Raises:
        UsageError: if it was not built.
    """
    if not path.exists():
        raise UsageError(f"`{path.name}` is missing from {path.parent}; build it with `scons`.")
    return path


def _load_library() -> ctypes.CDLL:
    library = ctypes.CDLL(str(artifact(LIBRARY)))
    library.reds_firmware_create.restype = ctypes.c_void_p
    library.reds_firmware_create.argtypes = (ctypes.c_char_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t)
    library.reds_firmware_feed.restype = None
    library.reds_firmware_feed.argtypes = (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t)
    library.reds_firmware_take.restype = ctypes.c_size_t
    library.reds_firmware_take.argtypes = (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t)
    library.reds_firmware_destroy.restype = None
    library.reds_firmware_destroy.argtypes = (ctypes.c_void_p,)
    return library


class Firmware:
    """A board in this process. A context manager: leaving it frees the board."""

    def __init__(self, model: bytes, model_name: str = "reds", arena_bytes: int = ARENA_BYTES) -> None:
        """Starts the board.

        Args:
            model: a .tflite file.
            model_name: what the command `profile` says.
            arena_bytes: size of the arena.
        """
        self._library = _load_library()
        self._board = self._library.reds_firmware_create(model, len(model), model_name.encode("ascii"), arena_bytes)
        if not self._board:
            raise DeviceError(f"There is no memory for a board with {arena_bytes} bytes of arena.")

    def __enter__(self) -> "Firmware":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Frees the board. Closing it twice is harmless."""
        self._library.reds_firmware_destroy(self._board)
        self._board = None

    def exchange(self, sent: bytes) -> bytes:
        """Sends bytes to the board and returns all that it has said since the last call."""
        self._library.reds_firmware_feed(self._board, sent, len(sent))
        buffer = ctypes.create_string_buffer(_CHUNK_BYTES)
        said = bytearray()
        while size := self._library.reds_firmware_take(self._board, buffer, _CHUNK_BYTES):
            said += buffer.raw[:size]
        return bytes(said)


@contextmanager
def serve(firmware: Firmware) -> Iterator[str]:
    """Gives a board a port on the loopback interface, for one connection at a time, and yields the port's URL."""
    listener = socket.create_server(("127.0.0.1", 0))
    stopped = threading.Event()
    thread = threading.Thread(target=_serve_connections, args=(listener, firmware, stopped), daemon=True)
    thread.start()
    try:
        yield f"socket://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        stopped.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def _serve_connections(listener: socket.socket, firmware: Firmware, stopped: threading.Event) -> None:
    while not stopped.is_set():
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        with connection:
            connection.settimeout(0.1)
            _serve_connection(connection, firmware, stopped)


def _serve_connection(connection: socket.socket, firmware: Firmware, stopped: threading.Event) -> None:
    while not stopped.is_set():
        try:
            received = connection.recv(_CHUNK_BYTES)
            if not received:
                return
            connection.sendall(firmware.exchange(received))
        except TimeoutError:
            continue
        except OSError:
            return
