"""Host side of the line protocol (docs/protocol.md)."""

import dataclasses
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType

from reds.errors import DeviceError, UsageError
from reds.schema import protocol
from reds_bench.line_port import LinePort, Timeouts, Trace

NAME_RETRY_SECONDS = 0.5
"""A device that was just reset may miss the first `name`, and one that holds half a command answers the second."""

MAX_REPLY_LINES = 1 << 16
"""No reply has more lines; a device that sends more is not speaking the protocol."""


@dataclass(frozen=True)
class Subnetwork:
    """One line of `reds list`."""

    id: int
    name: str
    exit: str
    macs: int
    arena_bytes: int
    instructions: int | None
    """Of one inference on the device's core, as the file predicts; None where it is unknown."""
    accuracy: float | None
    """Fraction answered right; None where it was not measured."""


@dataclass(frozen=True)
class InferenceResult:
    """What `infer` measured and computed."""

    iterations: int
    microseconds: int
    """Of all iterations together."""
    results: tuple[float, ...]
    """Scores of the last inference, with three decimals."""

    @property
    def microseconds_per_inference(self) -> float:
        return self.microseconds / self.iterations


@dataclass(frozen=True)
class Stats:
    """What `reds stats` counts and measures. Instructions are 0 on a board that does not count them.

    A board that counts cycles gives them as instructions, and says so in `unit`.
    """

    selected: int
    subnetworks: int
    inferences: int
    switches: int
    """How often a command changed the selected subnetwork."""
    arena_bytes: int
    """Of the selected subnetwork."""
    input_bytes: int
    output_bytes: int
    last_instructions: int
    """Of the last inference, without the copy of its input."""
    select_instructions: int
    """Of one call of `reds_select`."""
    budget_instructions: int
    """Of one call of `reds_set_budget` whose limits only the smallest subnetwork keeps."""
    open_instructions: int
    unit: str = "instructions"
    """What the instructions are: "instructions" or "cycles"."""


@dataclass(frozen=True)
class OperationCost:
    """One line of `reds profile`."""

    step: int
    layer: int
    operation: int
    """Value of `Operation` in shared/schema/reds.fbs."""
    instructions: int


class Bench:
    """A device that speaks the protocol. A context manager: leaving it closes the port.

    Example:

    ```python
    with Bench("/dev/ttyACM0") as bench:
        bench.budget(macs=600_000)
        bench.upload(sample.tobytes())
        print(bench.infer(iterations=10, warmup=1).microseconds_per_inference)
    ```
    """

    def __init__(self, port_url: str, timeouts: Timeouts | None = None, trace: Trace | None = None) -> None:
        """Opens the port and waits until the device answers.

        Args:
            port_url: any URL of `serial.serial_for_url`, such as `/dev/ttyACM0` or `socket://127.0.0.1:4000`.
            timeouts: seconds to wait for the device.
            trace: called with each line, `>` for what is sent and `<` for what is received.

        Raises:
            UsageError: if `port_url` is not a URL of a port.
            DeviceError: if the port cannot be opened or nothing that speaks the protocol answers.
        """
        self._timeouts = timeouts or Timeouts()
        self._port = LinePort(port_url, trace)
        try:
            self._connect()
        except BaseException:
            self._port.close()
            raise

    def __enter__(self) -> "Bench":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the port. Closing it twice is harmless."""
        self._port.close()

    def name(self) -> str:
        """Returns the name of the device."""
        return self._fields_of(protocol.COMMAND_NAME, protocol.REPLY_NAME)[0]

    def profile(self) -> str:
        """Returns the name of the model, such as `kws01` (MLPerf Tiny's word for it is the profile's model)."""
        return self._fields_of(protocol.COMMAND_PROFILE, protocol.REPLY_MODEL)[0]

    def timestamp(self) -> int:
        """Returns the device's time in microseconds."""
        return self._integer(self._fields_of(protocol.COMMAND_TIMESTAMP, protocol.REPLY_LAP)[0])

    def upload(self, sample: bytes) -> None:
        """Sends the next input.

        Args:
            sample: the input tensor's bytes: int8 values, or float32 values in little-endian order.

        Raises:
            UsageError: if the sample is empty.
            DeviceError: if the device refuses it, for example because it is too large.
        """
        if not sample:
            raise UsageError("`sample` must hold at least one byte. Received an empty one.")
        self._command(protocol.COMMAND_UPLOAD.format(len(sample)))
        lines: list[str] = []
        for begin in range(0, len(sample), protocol.UPLOAD_CHUNK_BYTES):
            chunk = sample[begin : begin + protocol.UPLOAD_CHUNK_BYTES]
            lines = self._command(protocol.COMMAND_UPLOAD_DATA.format(chunk.hex()))
        if protocol.REPLY_LOAD_DONE not in lines:
            raise self._unexpected(f"{len(sample)} uploaded bytes", lines)

    def infer(self, iterations: int = 1, warmup: int = 0) -> InferenceResult:
        """Runs inferences on the uploaded input.

        Args:
            iterations: inferences that are timed, at least 1.
            warmup: inferences before them, at least 0.
        """
        if iterations < 1 or warmup < 0:
            raise UsageError(
                "`iterations` must be at least 1 and `warmup` at least 0. "
                f"Received: iterations={iterations}, warmup={warmup}."
            )
        lines = self._command(protocol.COMMAND_INFER.format(iterations, warmup), self._timeouts.inference)
        laps = [self._integer(fields[0]) for fields in _matches(protocol.REPLY_LAP, lines)]
        if len(laps) < 2:
            raise self._unexpected("`infer`", lines)
        return InferenceResult(iterations, laps[-1] - laps[0], self._scores(lines))

    def results(self) -> tuple[float, ...]:
        """Returns the scores of the last inference, with three decimals."""
        return self._scores(self._command(protocol.COMMAND_RESULTS))

    def subnetworks(self) -> tuple[Subnetwork, ...]:
        """Returns the model's subnetworks."""
        lines = self._command(protocol.COMMAND_REDS_LIST)
        return tuple(self._subnetwork(fields) for fields in _matches(protocol.REPLY_REDS_SUBNETWORK, lines))

    def select(self, subnetwork: int) -> None:
        """Selects the subnetwork that the next inference runs."""
        self._fields_of(protocol.COMMAND_REDS_SELECT.format(subnetwork), protocol.REPLY_REDS_SELECTED)

    def budget(self, macs: int | None = None, arena_bytes: int | None = None, microseconds: int | None = None) -> int:
        """Selects the most accurate subnetwork that keeps every limit.

        Args:
            macs: most multiply-accumulates of one inference.
            arena_bytes: most bytes of the arena.
            microseconds: most microseconds of one inference.

        Returns:
            The selected subnetwork.

        Raises:
            DeviceError: if no subnetwork fits; the selection stays as it was.
        """
        limits = {"macs": macs, "arena": arena_bytes, "us": microseconds}
        for name, limit in limits.items():
            if limit is not None and limit < 1:
                raise UsageError(f"A budget's limits must be at least 1. Received: {name}={limit}.")
        words = " ".join(f"{name}={limit}" for name, limit in limits.items() if limit is not None)
        command = protocol.COMMAND_REDS_BUDGET.format(words)
        return self._integer(self._fields_of(command, protocol.REPLY_REDS_SELECTED)[0])

    def continue_in(self, subnetwork: int, operations: int) -> int:
        """Runs one inference of the uploaded input that goes on in another subnetwork on its way.

        Args:
            subnetwork: where it goes on.
            operations: how many of the selected subnetwork run before.

        Returns:
            Instructions of the change; 0 on a board that does not count them.

        Raises:
            DeviceError: if it cannot go on there; then it has gone on as it was.
        """
        command = protocol.COMMAND_REDS_CONTINUE.format(operations, subnetwork)
        fields = self._fields_of(command, protocol.REPLY_REDS_CONTINUED, self._timeouts.inference)
        return self._integer(fields[1])

    def cascade(self, subnetworks: Sequence[int]) -> tuple[int, int]:
        """Runs one inference of the uploaded input and asks further subnetworks until one is sure enough.

        It begins in the selected subnetwork.

        Args:
            subnetworks: those to ask in turn. One that cannot go on where the last one ended runs from the input.

        Returns:
            The subnetwork that gave the answer, and the instructions of the inference; 0 on a board that does not count
            them.

        Raises:
            DeviceError: if there is no such subnetwork, or the arena is too small for it.
        """
        command = protocol.COMMAND_REDS_CASCADE.format(" ".join(map(str, subnetworks)))
        fields = self._fields_of(command, protocol.REPLY_REDS_CASCADED, self._timeouts.inference)
        return self._integer(fields[0]), self._integer(fields[1])

    def stats(self) -> Stats:
        """Returns the device's counters, and the costs of switching measured now."""
        pairs = self._fields_of(protocol.COMMAND_REDS_STATS, protocol.REPLY_REDS_STATS)[0]
        values = dict(pair.partition("=")[::2] for pair in pairs.split(","))
        unit = values.get("unit", Stats.unit)
        names = [field.name for field in dataclasses.fields(Stats) if field.name != "unit"]
        missing = [name for name in names if name not in values]
        if missing:
            raise DeviceError(f"The device on {self._port.url} does not report {', '.join(missing)} in its stats.")
        return Stats(**{name: self._integer(values[name]) for name in names}, unit=unit)

    def output(self) -> bytes:
        """Returns the output tensor's bytes after the last inference."""
        digits = self._fields_of(protocol.COMMAND_REDS_OUTPUT, protocol.REPLY_REDS_OUTPUT)[0]
        try:
            return bytes.fromhex(digits)
        except ValueError as error:
            raise self._unexpected("`reds output`", [digits]) from error

    def operations(self) -> tuple[OperationCost, ...]:
        """Runs one inference of the uploaded input and returns what each operation cost."""
        lines = self._command(protocol.COMMAND_REDS_PROFILE, self._timeouts.inference)
        return tuple(
            OperationCost(*(self._integer(field) for field in fields))
            for fields in _matches(protocol.REPLY_REDS_OPERATION, lines)
        )

    def _connect(self) -> None:
        """Finds the device and the start of the conversation."""
        self._port.discard_input()
        deadline = time.monotonic() + self._timeouts.connect
        while (remaining := deadline - time.monotonic()) > 0:
            self._port.send(protocol.COMMAND_NAME)
            if self._find(protocol.REPLY_NAME, min(NAME_RETRY_SECONDS, remaining)):
                self._skip_other_answers()
                return
        raise DeviceError(
            f"Port {self._port.url} did not answer `name` within {self._timeouts.connect:g} s; check that it is the "
            f"board's port, that the bench firmware runs on it, and the baud rate ({protocol.BAUD})."
        )

    def _skip_other_answers(self) -> None:
        """Skips the answers to more `name` commands, sent while the device was still starting."""
        self._port.send(protocol.COMMAND_TIMESTAMP)
        in_time = self._find(protocol.REPLY_LAP, self._timeouts.reply)
        if not in_time or not self._find(protocol.REPLY_READY, self._timeouts.reply):
            raise DeviceError(
                f"Port {self._port.url} answers `name` but not `timestamp`; check that the bench firmware runs on it."
            )

    def _find(self, template: str, timeout: float) -> bool:
        """Skips lines up to one of this format. Returns whether it came within so many seconds."""
        deadline = time.monotonic() + timeout
        while (remaining := deadline - time.monotonic()) > 0:
            line = self._port.read_line(remaining)
            if line is not None and _fields(template, line) is not None:
                return True
        return False

    def _command(self, command: str, timeout: float | None = None) -> list[str]:
        """Sends a command; returns the reply's lines up to `m-ready`; raises the device's error if there is one."""
        timeout = self._timeouts.reply if timeout is None else timeout
        self._port.send(command)
        lines = list(self._reply(command, timeout))
        for line in lines:
            error = _fields(protocol.ERROR_MODEL, line)
            if error is not None:
                raise DeviceError(f"The device on {self._port.url} answered `{_shown(command)}` with: {error[0]}.")
        return lines

    def _reply(self, command: str, timeout: float) -> Iterator[str]:
        for _ in range(MAX_REPLY_LINES):
            line = self._port.read_line(timeout)
            if line is None:
                raise DeviceError(
                    f"Port {self._port.url} did not answer `{_shown(command)}` within {timeout:g} s; check the cable, "
                    "and whether one inference takes longer than that."
                )
            if line == protocol.REPLY_READY:
                return
            yield line
        raise DeviceError(f"The reply to `{_shown(command)}` on {self._port.url} does not end; check the firmware.")

    def _fields_of(self, command: str, reply: str, timeout: float | None = None) -> tuple[str, ...]:
        """Sends a command and returns the fields of the first line that has the reply's format."""
        lines = self._command(command, timeout)
        for fields in _matches(reply, lines):
            return fields
        raise self._unexpected(f"`{_shown(command)}`", lines)

    def _scores(self, lines: list[str]) -> tuple[float, ...]:
        for (scores,) in _matches(protocol.REPLY_RESULTS, lines):
            try:
                return tuple(float(score) for score in scores.split(",") if score)
            except ValueError:
                break
        raise self._unexpected("its results", lines)

    def _subnetwork(self, fields: tuple[str, ...]) -> Subnetwork:
        identifier, name, exit_name, *numbers = fields
        macs, arena_bytes, instructions, accuracy = (self._integer(number) for number in numbers)
        return Subnetwork(
            self._integer(identifier),
            name,
            exit_name,
            macs,
            arena_bytes,
            instructions or None,
            None if accuracy < 0 else accuracy / 10000,
        )

    def _integer(self, text: str) -> int:
        if not re.fullmatch(r"-?[0-9]{1,20}", text):
            raise self._unexpected("a number", [text])
        return int(text)

    def _unexpected(self, what: str, lines: list[str]) -> DeviceError:
        received = " | ".join(line[:80] for line in lines[:4]) or "nothing"
        return DeviceError(
            f"The device on {self._port.url} did not answer {what} as the protocol says; received: {received}."
        )


def _fields(template: str, line: str) -> tuple[str, ...] | None:
    """Returns what a line has in place of each `{}` of a reply's format, or None if it has another format."""
    pattern = "(.*)".join(re.escape(part) for part in template.split("{}"))
    match = re.fullmatch(pattern, line)
    return match.groups() if match else None


def _matches(template: str, lines: list[str]) -> Iterator[tuple[str, ...]]:
    return (fields for line in lines if (fields := _fields(template, line)) is not None)


def _shown(command: str) -> str:
    return command if len(command) <= 24 else command[:21] + "..."
