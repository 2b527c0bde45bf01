"""What operations cost on a core, in instructions: tables that `reds calibrate` fits to measurements.

A table is a JSON file. For each kind of operation it has one coefficient per quantity of the operation at its active
channels, and the instructions of the operation are the sum of coefficient times quantity:

| quantity | of an operation with P output positions, a window of T taps, i input and o output channels in g groups |
|---|---|
| `calls` | 1 |
| `channels` | o |
| `positions` | P |
| `weights` | T i o / g, of a depthwise convolution T o |
| `outputs` | P o |
| `reads` | elements of the input |
| `window` | P T i / g, of other operations than convolutions 0 |
| `odd_window` | the same where i / g is no multiple of four, otherwise 0 |
| `odd_taps` | P T where a tap is a run and i / g is no multiple of four, otherwise 0 |
| `outside` | P T without taps inside of the map, of other operations than convolutions 0 |
| `macs` | P T i o / g, of a depthwise convolution, a pool or a softmax P T o |
| `inside` | the same without taps outside of the map |
| `inside_taps` | the same for one input channel |
| `runs` | P o times the runs of a window |
| `left_inside` | `inside` for the output channels behind the last full four of a group |
| `left_outputs` | `outputs` for them |
| `odd_outputs` | `outputs` where a run is no multiple of four, otherwise 0 |

A run is what lies together in the weights: i / g, and T i of a convolution in one group that leaves out no input
channel. Of a product of matrices, i is what each output sums. A transposed convolution multiplies at each position of
its input, so `macs` count those. Kernels take weights, output channels and positions several at a time. `lanes`
says how many: a run, the o of a group and P count as rounded up to multiples of the three. Kernels whose buffer is too
small gather windows again for every `block` of output channels: `window`, `odd_window`, `odd_taps` and `outside` count
for each.

Kernels have other ways for short runs and for large windows, so a kind has several rows of coefficients. The first
counts whose `most_run` is not below the run and whose `most_window` is not below T i / g. A convolution in one run
whose window is the whole map counts as fully connected.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from reds.compiled import CompiledLayer
from reds.errors import UsageError
from reds.fold import FusedLayer
from reds.graph import (
    Activation,
    Add,
    BatchMatMul,
    Concatenate,
    Conv2D,
    Conv2DTranspose,
    Crop,
    Dense,
    DepthwiseConv2D,
    Dequantize,
    Mean,
    Multiply,
    Pad,
    Pool2D,
    PRelu,
    Quantize,
    Requantize,
    Resize,
    Slice,
    Subtract,
    Transpose,
    Upsample,
)
from reds.lookup import TABLED
from reds.windows import geometry

Layer = FusedLayer | CompiledLayer

LEFT_BEHIND = 4
"""Output channels that kernels finish at a time; those behind the last full number go one by one."""

WORD = 4
"""Weights, and elements of a map, that kernels load at a time."""

QUANTITIES = (
    "calls",
    "channels",
    "positions",
    "weights",
    "outputs",
    "reads",
    "window",
    "odd_window",
    "odd_taps",
    "outside",
    "macs",
    "inside",
    "inside_taps",
    "runs",
    "left_inside",
    "left_outputs",
    "odd_outputs",
)


@dataclass(frozen=True)
class Costs:
    """What one kind of operation costs up to a length of runs and a size of the window."""

    most_run: int | None
    """Weights that lie together; None for any."""
    most_window: int | None
    """Taps times input channels; None for any."""
    lanes: tuple[int, int, int]
    """Weights of a run, output channels and positions that the kernel takes at a time."""
    block: int | None
    """Output channels for which a window is gathered once; None for all."""
    coefficients: Mapping[str, float]
    """Instructions per unit of each quantity; quantities that are not named cost nothing."""
    measured: int
    """Operations that it was fitted to."""
    mean_error: float
    """Of the fit, relative to the measured instructions."""
    largest_error: float

    def covers(self, layer: Layer, inputs: Any) -> Any:
        """Whether it is for an operation with these input channels, a number or an array."""
        inputs = np.asarray(inputs)
        within = np.ones(inputs.shape, np.bool_)
        if self.most_run is not None:
            within &= run_of(layer, inputs) <= self.most_run
        if self.most_window is not None:
            within &= window_of(layer, inputs) <= self.most_window
        return within

    def instructions(self, layer: Layer, inputs: Any, outputs: Any) -> Any:
        """Instructions of an operation with these channels, numbers or arrays."""
        amounts = quantities(layer, inputs, outputs, self.lanes, self.block)
        return sum(coefficient * amounts[name] for name, coefficient in self.coefficients.items())


@dataclass(frozen=True)
class Target:
    """The cost table of a core."""

    name: str
    inference: float
    """Instructions of an inference outside of its operations."""
    operations: Mapping[str, tuple[Costs, ...]]
    """By kind, see `kind_of`; of its rows, the first that covers an operation counts."""

    def instructions(self, layer: Layer, inputs: Any, outputs: Any) -> Any:
        """Instructions of one operation.

        Args:
            layer: the operation.
            inputs: active input channels, a number or an array.
            outputs: active output channels, a number or an array.

        Returns:
            A float, or an array of the common shape.

        Raises:
            UsageError: if the table lacks the operation.
        """
        dense = is_dense(layer, inputs)
        if np.all(dense):
            return self._of_kind("fully_connected", layer, inputs, outputs)
        result = self._of_kind(kind_of(layer), layer, inputs, outputs)
        if not np.any(dense):
            return result
        return np.where(dense, self._of_kind("fully_connected", layer, inputs, outputs), result)

    def _of_kind(self, kind: str, layer: Layer, inputs: Any, outputs: Any) -> Any:
        costs = self.operations.get(kind)
        if costs is None:
            raise UsageError(
                f"Target '{self.name}' has no costs of {kind}, which layer '{layer.name}' is; calibrate it again."
            )
        result: Any = np.nan
        for row in reversed(costs):
            result = np.where(row.covers(layer, inputs), row.instructions(layer, inputs, outputs), result)
        return result

    def to_json(self) -> str:
        """The table as a JSON object."""
        operations = {kind: [asdict(row) for row in rows] for kind, rows in self.operations.items()}
        return json.dumps({"name": self.name, "inference": self.inference, "operations": operations}, indent=2) + "\n"


def kind_of(layer: Layer) -> str:
    """The kind of an operation in cost tables."""
    match layer.operation:
        case Conv2D(groups=groups) if groups > 1:
            return "grouped_conv2d"
        case Conv2D(kernel_size=(1, 1), strides=(1, 1)):
            return "pointwise"
        case Conv2D():
            return "conv2d"
        case Conv2DTranspose():
            return "transpose_conv2d"
        case DepthwiseConv2D():
            return "depthwise_conv2d"
        case Dense():
            return "fully_connected"
        case BatchMatMul():
            return "batch_matmul"
        case Pool2D(kind=kind):
            return f"{kind}_pool2d"
        case Activation(function="softmax"):
            return "softmax"
        case Activation(function=function) if function in TABLED:
            return "lookup"
        case Activation():
            return "relu"
        case Mean():
            return "mean"
        case PRelu():
            return "prelu"
        case Quantize(source="float32"):
            return "quantize"
        case Dequantize(target="float32"):
            return "dequantize"
        case Requantize() | Quantize() | Dequantize():
            return "lookup"
        case Add(spread=spread):
            return "spread_add" if spread else "add"
        case Subtract(spread=spread):
            return "spread_subtract" if spread else "subtract"
        case Multiply(spread=spread):
            return "spread_multiply" if spread else "multiply"
        case Concatenate():
            return "concatenate"
        case Pad():
            return "pad"
        case Upsample():
            return "upsample"
        case Resize():
            return "resize"
        case Crop() | Slice():
            return "slice"
        case Transpose():
            return "transpose"


def run_of(layer: Layer, inputs: Any) -> Any:
    """How many weights lie together at these input channels, a number or an array."""
    if isinstance(layer.operation, BatchMatMul):
        return np.full(np.shape(inputs), layer.operation.depth(layer.input_shape))
    if not isinstance(layer.operation, Conv2D):
        return np.asarray(inputs)
    if layer.operation.groups > 1:
        return np.asarray(inputs) // layer.operation.groups
    return np.where(np.asarray(inputs) == layer.input_shape[2], _taps(layer), 1) * inputs


def window_of(layer: Layer, inputs: Any) -> Any:
    """Taps times the input channels of one group, at these input channels, a number or an array."""
    return _taps(layer) * (inputs // _groups(layer))


def is_dense(layer: Layer, inputs: Any) -> Any:
    """Whether a convolution counts as fully connected at these input channels, a number or an array."""
    window = geometry(layer)
    covers_map = window.kernel == layer.input_shape[:2] and window.padding == (0, 0)
    is_one_product = covers_map and layer.output_shape[:2] == (1, 1) and _groups(layer) == 1
    in_one_run = run_of(layer, inputs) == window_of(layer, inputs)
    return in_one_run & (is_one_product and isinstance(layer.operation, Conv2D))


def quantities(
    layer: Layer, inputs: Any, outputs: Any, lanes: tuple[int, int, int], block: int | None = None
) -> dict[str, Any]:
    """What the costs of an operation are proportional to.

    Args:
        layer: the operation.
        inputs: active input channels, a number or an array.
        outputs: active output channels, a number or an array.
        lanes: weights of a run, output channels and positions that its kernel takes at a time.
        block: output channels for which it gathers a window once; None for all.

    Returns:
        One amount per name in `QUANTITIES`.
    """
    positions = _rounded_up(layer.output_shape[0] * layer.output_shape[1], lanes[2])
    taps = _taps(layer)
    groups = _groups(layer)
    left = groups * (np.asarray(outputs) // groups % LEFT_BEHIND)
    blocks = 1 if block is None else _rounded_up(np.asarray(outputs) // groups, block) // block
    mixes = isinstance(layer.operation, Conv2D | Dense | Conv2DTranspose | BatchMatMul)
    gathered = positions * blocks if isinstance(layer.operation, Conv2D) else 0
    run = run_of(layer, inputs)
    reads = np.asarray(inputs)
    inputs = run if isinstance(layer.operation, BatchMatMul) else reads // groups
    outputs = groups * _rounded_up(np.asarray(outputs) // groups, lanes[1])
    runs = taps * inputs // run if mixes else taps
    fan_in = runs * _rounded_up(run, lanes[0]) if mixes else taps
    odd = inputs % WORD != 0
    inside = _taps_inside(layer)
    kernel_places = _kernel_places(layer)
    return {
        "calls": 1,
        "channels": outputs,
        "positions": positions,
        "weights": fan_in * outputs,
        "outputs": positions * outputs,
        "reads": layer.input_shape[0] * layer.input_shape[1] * (reads if mixes else outputs),
        "window": gathered * taps * inputs,
        "odd_window": gathered * taps * inputs * odd,
        "odd_taps": gathered * taps * (odd & (run == inputs)),
        "outside": gathered * (taps - inside / kernel_places),
        "macs": _rounded_up(kernel_places, lanes[2]) * fan_in * outputs,
        "inside": inside * (inputs if mixes else 1) * outputs,
        "inside_taps": inside * outputs,
        "runs": positions * runs * outputs,
        "left_inside": inside * (inputs if mixes else 1) * left,
        "left_outputs": positions * left,
        "odd_outputs": positions * outputs * (run % WORD != 0),
    }


def target_names() -> tuple[str, ...]:
    """Targets that come with the package."""
    names = (file.name for file in resources.files(__name__).iterdir() if file.name.endswith(".json"))
    return tuple(sorted(name.removesuffix(".json") for name in names))


def load_target(name: str) -> Target:
    """Reads a cost table.

    Args:
        name: a target that comes with the package, or the path of a file that `reds calibrate` wrote.

    Returns:
        The table.

    Raises:
        UsageError: if there is no such target, or the file is no table.
    """
    try:
        if name in target_names():
            text = (resources.files(__name__) / f"{name}.json").read_text(encoding="utf-8")
        else:
            text = Path(name).read_text(encoding="utf-8")
        return _parse(json.loads(text))
    except OSError as error:
        raise UsageError(
            f"There is no target '{name}': choose among {', '.join(target_names())} or name a file of `reds calibrate`."
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(f"'{name}' is not a cost table; write one with `reds calibrate`.") from error


def _parse(content: dict) -> Target:
    operations = {kind: tuple(_parse_row(row) for row in rows) for kind, rows in content["operations"].items()}
    if not all(rows and rows[-1].most_run is None and rows[-1].most_window is None for rows in operations.values()):
        raise ValueError("the last row of each operation must be for any size")
    return Target(str(content["name"]), float(content["inference"]), operations)


def _parse_row(row: dict) -> Costs:
    lanes, block, coefficients = row["lanes"], row["block"], row["coefficients"]
    if min(*lanes, 1 if block is None else block) < 1 or any(
        name not in QUANTITIES or value < 0 for name, value in coefficients.items()
    ):
        raise ValueError("lanes and blocks are from 1, coefficients of known quantities from 0")
    return Costs(
        row["most_run"],
        row["most_window"],
        (int(lanes[0]), int(lanes[1]), int(lanes[2])),
        block,
        {name: float(value) for name, value in coefficients.items()},
        int(row["measured"]),
        float(row["mean_error"]),
        float(row["largest_error"]),
    )


def _taps(layer: Layer) -> int:
    match layer.operation:
        case Conv2D(kernel_size=size) | DepthwiseConv2D(kernel_size=size) | Pool2D(pool_size=size):
            return size[0] * size[1]
        case Conv2DTranspose(kernel_size=size):
            return size[0] * size[1]
        case Mean():
            return layer.input_shape[0] * layer.input_shape[1]
        case _:
            return 1


def _groups(layer: Layer) -> int:
    """In how many runs of channels a kernel works."""
    return layer.operation.groups if isinstance(layer.operation, Conv2D) else 1


def _kernel_places(layer: Layer) -> int:
    """Where a kernel is applied: at every output, a transposed one at every input."""
    shape = layer.input_shape if isinstance(layer.operation, Conv2DTranspose) else layer.output_shape
    return shape[0] * shape[1]


def _taps_inside(layer: Layer) -> int:
    """Taps of all output positions that lie on the map; of a transposed kernel, of all inputs that reach the output."""
    window = geometry(layer)
    places, reached = layer.output_shape, layer.input_shape
    if isinstance(layer.operation, Conv2DTranspose):
        places, reached = reached, places
    result = 1
    for axis in (0, 1):
        first = np.arange(places[axis]) * window.strides[axis] - window.padding[axis]
        taps = first[:, np.newaxis] + np.arange(window.kernel[axis]) * window.dilation[axis]
        result *= int(((taps >= 0) & (taps < reached[axis])).sum())
    return result


def _rounded_up(channels: Any, lanes: int) -> Any:
    return (np.asarray(channels) + lanes - 1) // lanes * lanes
