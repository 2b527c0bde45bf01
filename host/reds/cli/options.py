"""Options and values that several commands share."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from reds.errors import UsageError

if TYPE_CHECKING:
    import keras

    from reds.datasets import Dataset


TYPES = ("int8", "float32")
IMPORTANCE = ("taylor", "l1", "l2", "random")
OBJECTIVES = ("product", "sum")
ORDERS = ("bottom_up", "top_down")


def add_data(parser: argparse.ArgumentParser, required: bool = False) -> None:
    """--data and --data-dir."""
    parser.add_argument("--data", required=required, metavar="NAME", help="spoken_commands, speech_commands, ...")
    parser.add_argument("--data-dir", type=Path, metavar="DIR", help="folder of the data set; default: $REDS_DATA")


def add_json(parser: argparse.ArgumentParser) -> None:
    """--json."""
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def add_search(parser: argparse.ArgumentParser) -> None:
    """Options of the search."""
    parser.add_argument(
        "--budgets",
        type=budgets,
        default=(0.25, 0.5, 0.75),
        metavar="B,B,...",
        help="fractions of the full network up to 1, or whole numbers; default 0.25,0.5,0.75",
    )
    parser.add_argument("--metric", default="macs", help="what budgets limit; default macs")
    parser.add_argument(
        "--objective", choices=OBJECTIVES, default="product", help="of the importance kept; default product"
    )
    parser.add_argument("--max-arena", type=int, metavar="BYTES", help="largest arena of a subnetwork")
    parser.add_argument("--order", choices=ORDERS, default="bottom_up")
    parser.add_argument("--seed", type=int, default=0)


def budgets(text: str) -> tuple[float, ...]:
    """A list of budgets such as 0.25,0.5 or 600000."""
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"budgets are numbers separated by commas, not '{text}'") from error
    return tuple(int(value) if value > 1 else value for value in values)


def names(text: str) -> tuple[str, ...]:
    """A list of names separated by commas."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def load_dataset(name: str, data_dir: Path | None, seed: int = 0) -> "Dataset":
    """The data set of --data and --data-dir."""
    from reds.datasets import load

    return load(name, data_dir, seed)


def load_keras_model(path: Path) -> "keras.Model":
    """A .keras file.

    Raises:
        UsageError: if there is no such file or Keras cannot read it.
    """
    if not path.is_file():
        raise UsageError(f"There is no model '{path}'. Train one with `reds train ARCHITECTURE --data NAME`.")
    import keras

    try:
        return keras.models.load_model(path)
    except Exception as error:  # Keras raises whatever a foreign or damaged file leads it to
        raise UsageError(f"'{path}' is not a model that Keras can load: {first_line(error)}") from error


def load_model_or_architecture(name: str, seed: int = 0) -> "keras.Model":
    """A .keras file, or an architecture of the zoo with fresh weights."""
    if name.endswith(".keras") or Path(name).exists():
        return load_keras_model(Path(name))
    from reds import zoo

    return zoo.build(name, seed)


def load_inputs(path: Path) -> NDArray:
    """A batch of inputs from a .npy file.

    Raises:
        UsageError: if the file cannot be read as one array.
    """
    try:
        return np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise UsageError(f"Cannot read inputs from '{path}': {first_line(error)}") from error


def first_line(error: Exception) -> str:
    """What an error says, in one line."""
    lines: Sequence[str] = str(error).splitlines() or [type(error).__name__]
    return lines[0].rstrip(".") + "."
