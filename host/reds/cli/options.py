"""Options and values that several commands share."""

import argparse
import math
import zipfile
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
UNTRAINED_IMPORTANCE = ("paths", "l1", "fluctuation")
OBJECTIVES = ("product", "sum")
HEADS = ("auxiliary", "dense", "compact")
EXIT_TRAININGS = ("frozen", "joint")
LOSSES = ("distillation", "weighted")
BATCH_NORMS = ("own", "shared")
DECAYS = ("cosine", "steps")
PRECISIONS = ("float32", "mixed_float16", "mixed_bfloat16")
ORDERS = ("bottom_up", "top_down", "joint")
LARGEST_SEED = 2**32 - 1


def add_data(parser: argparse.ArgumentParser, required: bool = False) -> None:
    """--data, --data-dir and --download."""
    parser.add_argument("--data", required=required, metavar="NAME", help="spoken_commands, speech_commands, ...")
    parser.add_argument("--data-dir", type=Path, metavar="DIR", help="folder of the data set; default: $REDS_DATA")
    parser.add_argument("--download", action="store_true", help="download the official files where they are not found")


def add_c_files(parser: argparse.ArgumentParser) -> None:
    """--c-array and --operations: what firmware compiles."""
    parser.add_argument("--c-array", type=Path, metavar="model.h", help="write the same bytes as a C header too")
    parser.add_argument(
        "--operations", type=Path, metavar="operations.c", help="write a C file that links only the model's kernels"
    )


def write_c_files(arguments: argparse.Namespace, model: Path) -> list[tuple[Path, str]]:
    """Writes what --c-array and --operations ask for; returns each file and what it is."""
    from reds.emitting import write_c_array, write_operations

    written = []
    if arguments.c_array:
        write_c_array(model.read_bytes(), arguments.c_array)
        written.append((arguments.c_array, "the same as a C array"))
    if arguments.operations:
        write_operations(model, arguments.operations)
        written.append((arguments.operations, "the operations that it links"))
    return written


def add_json(parser: argparse.ArgumentParser) -> None:
    """--json."""
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def add_search(parser: argparse.ArgumentParser) -> None:
    """Options of the search."""
    add_budgets(parser)
    parser.add_argument(
        "--kernels", action="store_true", help="value pointwise convolutions by the kernels they keep, as REDS does"
    )
    add_seed(parser)


def add_budgets(parser: argparse._ActionsContainer) -> None:
    """Which subnetworks to search, whatever their channels are ranked by."""
    parser.add_argument(
        "--budgets",
        type=budgets,
        default=(0.25, 0.5, 0.75),
        metavar="B,B,...",
        help="fractions of the full network up to 1, or whole numbers; default 0.25,0.5,0.75",
    )
    parser.add_argument(
        "--metric",
        default="macs",
        help="what budgets limit: macs, flash, arena, cycles:TARGET, or nominal_macs as in REDS; default macs",
    )
    parser.add_argument(
        "--objective", choices=OBJECTIVES, default="product", help="of the importance kept; default product"
    )
    parser.add_argument("--max-arena", type=positive, metavar="BYTES", help="largest arena of a subnetwork")
    parser.add_argument(
        "--limit",
        type=limit,
        action="append",
        default=[],
        dest="limits",
        metavar="METRIC=L",
        help="what every subnetwork may cost besides its budget, such as flash=20000 or macs=0.5; may be repeated",
    )
    parser.add_argument(
        "--minimum", type=rate, default=1.0, metavar="N", help="smallest width; below 1 a fraction of the layer's"
    )
    parser.add_argument("--order", choices=ORDERS, default="bottom_up", help="default bottom_up")


def add_seed(parser: argparse.ArgumentParser) -> None:
    """--seed."""
    parser.add_argument("--seed", type=seed, default=0)


def budgets(text: str) -> tuple[float, ...]:
    """A list of budgets such as 0.25,0.5 or 600000."""
    values = tuple(_number(part, "budgets are numbers separated by commas", text) for part in text.split(","))
    return tuple(int(value) if value > 1 and value.is_integer() else value for value in values)


def limit(text: str) -> tuple[str, float]:
    """A metric and its limit, such as flash=20000."""
    metric, equals, amount = text.partition("=")
    if not metric or not equals:
        raise argparse.ArgumentTypeError(f"it must be a metric and its limit, such as flash=20000, not '{text}'")
    return metric, _number(amount, "a limit is a number", text)


def positive(text: str) -> int:
    """A whole number from 1."""
    return _whole_number(text, 1)


def not_negative(text: str) -> int:
    """A whole number from 0."""
    return _whole_number(text, 0)


def seed(text: str) -> int:
    """A whole number that every random generator takes as its seed."""
    return _whole_number(text, 0, LARGEST_SEED)


def seeds(text: str) -> tuple[int, ...]:
    """A list of seeds such as 0,1,2."""
    return tuple(seed(part) for part in text.split(","))


def indices(text: str) -> tuple[int, ...]:
    """A list of subnetworks such as 0,2."""
    return tuple(not_negative(part) for part in text.split(","))


def rate(text: str) -> float:
    """A number above 0."""
    value = _number(text, "it must be a number above 0", text)
    if value <= 0:
        raise argparse.ArgumentTypeError(f"it must be a number above 0, not '{text}'")
    return value


def fraction(text: str) -> float:
    """A number from 0 to 1."""
    value = _number(text, "it must be a number from 0 to 1", text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"it must be a number from 0 to 1, not '{text}'")
    return value


def _number(part: str, expected: str, received: str) -> float:
    """A finite number."""
    try:
        value = float(part)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"{expected}, not '{received}'")
    return value


def _whole_number(text: str, smallest: int, largest: int | None = None) -> int:
    try:
        value = int(text)
    except ValueError:
        value = smallest - 1
    if value < smallest or (largest is not None and value > largest):
        limit = "" if largest is None else f" to {largest}"
        raise argparse.ArgumentTypeError(f"it must be a whole number from {smallest}{limit}, not '{text}'")
    return value


def share(text: str) -> float:
    """A number from 0 to 1."""
    value = _number(text, "it must be a number from 0 to 1", text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"it must be a number from 0 to 1, not '{text}'")
    return value


def names(text: str) -> tuple[str, ...]:
    """A list of names separated by commas."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def load_dataset(name: str, data_dir: Path | None, seed: int = 0, download: bool = False) -> "Dataset":
    """The data set of --data, --data-dir and --download."""
    from reds.datasets import load

    return load(name, data_dir, seed, download)


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


def load_array(path: Path) -> NDArray:
    """The array of a .npy file.

    Raises:
        UsageError: if the file cannot be read as one array.
    """
    try:
        array = np.load(path, allow_pickle=False)
    except OSError as error:
        raise UsageError(f"Cannot read '{path}': {error.strerror}.") from error
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise UsageError(f"'{path}' is not an array of numbers; write one with `numpy.save`.") from error
    if not isinstance(array, np.ndarray):
        raise UsageError(f"'{path}' holds several arrays; write one with `numpy.save`.")
    return array


def load_inputs(path: Path, model: Path) -> NDArray:
    """A batch of inputs of a model from a .npy file.

    Args:
        path: the .npy file; one input alone is a batch of one.
        model: the .tflite file that says their type and shape.

    Returns:
        (inferences, *input shape) in the model's own type, at least one; a batch above 1 is in the input shape.

    Raises:
        UsageError: if a file cannot be read, or the inputs do not fit the model.
    """
    from reds.inspecting import inspect
    from reds.runtime import inference_shape

    report = inspect(model)
    at_once, *sizes = report.input_shape
    shape = tuple(sizes)
    inputs = load_array(path)
    if inputs.dtype != report.input_type or shape not in (inputs.shape, inputs.shape[1:]):
        raise UsageError(
            f"'{path}' must hold {report.input_type} inputs of shape {shape} or a batch of them. "
            f"Received: {inputs.dtype} of shape {inputs.shape}; `Runtime.quantize` makes them of real values."
        )
    samples = inputs.reshape(-1, *shape)
    if len(samples) == 0:
        raise UsageError(f"'{path}' holds no samples; give at least one.")
    if len(samples) % at_once != 0:
        raise UsageError(
            f"'{path}' holds {len(samples)} samples; the model takes {at_once} at a time, so give a multiple."
        )
    return samples.reshape(-1, *inference_shape(report.input_shape))


def check_board(name: str) -> None:
    """Raises UsageError if there is no such board."""
    from reds_bench.emulator import boards

    if name not in boards():
        raise UsageError(f"`--board` must be one of {', '.join(boards())}. Received: {name}")


def first_line(error: Exception) -> str:
    """What an error says, in one line."""
    lines: Sequence[str] = str(error).splitlines() or [type(error).__name__]
    return lines[0].rstrip(".") + "."
