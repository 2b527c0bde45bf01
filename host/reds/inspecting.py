"""What each subnetwork of a file costs and gives, read from the file alone."""

from dataclasses import asdict, dataclass
from pathlib import Path

from reds.model_file import PORT_TYPE_NAMES, ModelFile, read_model_file
from reds.plan import text

COUNTED_IN_CYCLES = frozenset({"rp2040"})
"""Targets whose counts are cycles."""


def unit_of(target: str) -> str:
    """What a target's counts are: "instructions" or "cycles"."""
    return "cycles" if target in COUNTED_IN_CYCLES else "instructions"


@dataclass(frozen=True)
class TargetReport:
    """Instructions, or cycles, of one inference on one core."""

    instructions: int
    measured: bool
    """True when counted on the core or its emulator."""
    unit: str = "instructions"
    """What the instructions are: "instructions" or "cycles"."""


@dataclass(frozen=True)
class SubnetworkReport:
    """One line of the table."""

    id: int
    name: str
    exit: str
    widths: tuple[int, ...]
    macs: int
    parameters: int
    flash_bytes: int
    """Bytes of the file that an inference reads."""
    arena_bytes: int
    accuracy: float | None
    """Fraction of the test split answered right by libreds; None where it was not measured."""
    threshold: float
    """Confidence from which on the answer is taken where it leaves through an exit; 0 without one."""
    targets: dict[str, TargetReport]


@dataclass(frozen=True)
class ModelReport:
    """A file's table."""

    name: str
    element_type: str
    file_bytes: int
    input_type: str
    """NumPy name of the input's type, as of the output's; they may differ from the type of what lies between."""
    input_shape: tuple[int, ...]
    output_type: str
    output_shape: tuple[int, ...]
    subnetworks: tuple[SubnetworkReport, ...]

    def as_dict(self) -> dict:
        """For JSON."""
        return asdict(self)


def inspect(source: Path | str | bytes) -> ModelReport:
    """Reads a file's table.

    Args:
        source: path or bytes of a file that `emit` wrote.

    Returns:
        One row per subnetwork.

    Raises:
        UsageError: if the file is foreign or damaged.
    """
    file = read_model_file(source)
    element_type = ("float32", "int8", "int16")[file.plan.elementType]
    return ModelReport(
        name=text(file.model.description or ""),
        element_type=element_type,
        file_bytes=len(file.content),
        input_type=PORT_TYPE_NAMES.get(file.plan.input.type, element_type),
        input_shape=tuple(int(size) for size in file.plan.input.shape),
        output_type=PORT_TYPE_NAMES.get(file.plan.output.type, element_type),
        output_shape=tuple(int(size) for size in file.plan.output.shape),
        subnetworks=tuple(_row(file, index) for index in range(len(file.plan.subnetworks))),
    )


def _row(file: ModelFile, index: int) -> SubnetworkReport:
    subnetwork = file.plan.subnetworks[index]
    return SubnetworkReport(
        id=index,
        name=text(subnetwork.name),
        exit=text(file.plan.exits[subnetwork.exit].name),
        widths=tuple(int(width) for width in subnetwork.widths),
        macs=subnetwork.macs,
        parameters=subnetwork.parameters,
        flash_bytes=subnetwork.flashBytes,
        arena_bytes=subnetwork.arenaBytes,
        accuracy=None if subnetwork.accuracy < 0 else subnetwork.accuracy,
        threshold=float(subnetwork.threshold or file.plan.exits[subnetwork.exit].threshold),
        targets={
            text(target.name): TargetReport(
                int(target.instructions[index]),
                bool(target.measured),
                unit_of(text(target.name)),
            )
            for target in file.plan.targets or []
        },
    )
