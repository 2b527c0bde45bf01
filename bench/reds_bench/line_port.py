"""Lines over a serial port, with time limits and with errors that say what to check."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import serial

from reds.errors import DeviceError, UsageError
from reds.schema import protocol

Trace = Callable[[Literal["<", ">"], str], None]
"""Called with each line: `>` for what is sent to the device, `<` for what comes back."""

POLL_SECONDS = 0.02
"""How long one read of the port may wait; the time limits below are kept to this precision."""

MAX_LINE_BYTES = 1 << 20
"""No reply is longer; a device that sends more without an end of line is not speaking the protocol."""


@dataclass(frozen=True)
class Timeouts:
    """Seconds to wait for a device, line by line."""

    connect: float = 2.0
    """For the answer to `name` after the port is opened."""
    reply: float = 5.0
    """For each line of a reply."""
    inference: float = 30.0
    """For each line of a reply to a command that runs inferences."""


class LinePort:
    """A serial port that sends commands and receives lines."""

    def __init__(self, url: str, trace: Trace | None = None) -> None:
        """Opens a port.

        Args:
            url: any URL of `serial.serial_for_url`: a device such as `/dev/ttyACM0` or `COM3`, `socket://HOST:PORT`,
                `rfc2217://HOST:PORT`, `loop://`.
            trace: called with each line sent and received.

        Raises:
            UsageError: if the URL is not one.
            DeviceError: if the port cannot be opened.
        """
        self.url = url
        self._trace = trace
        self._received = bytearray()
        try:
            self._port = serial.serial_for_url(url, baudrate=protocol.BAUD, timeout=POLL_SECONDS)
        except ValueError as error:
            raise UsageError(
                f"`port` must be a serial device or a URL such as socket://HOST:PORT. Received: {url!r} ({error})."
            ) from error
        except (serial.SerialException, OSError) as error:
            raise DeviceError(
                f"Port {url} cannot be opened ({error}); check that the board is plugged in, that you may read and "
                "write the port, and that no other program holds it."
            ) from error

    def close(self) -> None:
        """Closes the port. Closing it twice is harmless."""
        self._port.close()

    def send(self, command: str) -> None:
        """Sends one command and the byte that ends it."""
        if self._trace:
            self._trace(">", command)
        try:
            self._port.write((command + protocol.TERMINATOR).encode("ascii"))
        except (serial.SerialException, OSError) as error:
            raise self._lost(error) from error

    def discard_input(self) -> None:
        """Forgets what was received and not read."""
        self._received.clear()
        try:
            self._port.reset_input_buffer()
        except (serial.SerialException, OSError) as error:
            raise self._lost(error) from error

    def read_line(self, timeout: float) -> str | None:
        """Reads one line, without its end.

        Args:
            timeout: seconds to wait for the whole line.

        Returns:
            The line, or None if it did not come in time. Bytes that are not ASCII become `?`.

        Raises:
            DeviceError: if the port is lost, or a line has no end.
        """
        deadline = time.monotonic() + timeout
        while (end := self._received.find(b"\n")) < 0:
            if len(self._received) > MAX_LINE_BYTES:
                raise DeviceError(f"The device on {self.url} sends no lines; check the baud rate and the firmware.")
            if time.monotonic() >= deadline:
                return None
            self._receive()
        line = self._received[:end].rstrip(b"\r").decode("ascii", errors="replace").replace("\ufffd", "?")
        del self._received[: end + 1]
        if self._trace:
            self._trace("<", line)
        return line

    def _receive(self) -> None:
        try:
            self._received += self._port.read(max(1, self._port.in_waiting))
        except (serial.SerialException, OSError) as error:
            raise self._lost(error) from error

    def _lost(self, error: Exception) -> DeviceError:
        return DeviceError(
            f"The connection to {self.url} was lost ({error}); check the cable, or whether the emulator ended."
        )
