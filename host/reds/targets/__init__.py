"""What operations cost on a core, in instructions: tables that `reds calibrate` fits to measurements.

A table is a JSON file. For each kind of operation it has one coefficient per quantity of the operation at its active
channels, and the instructions of the operation are the sum of coefficient times quantity:

| quantity | of an operation with P output positions, a window of T taps, i input and o output channels |
|---|---|
| `calls` | 1 |
| `channels` | o |
| `positions` | P |
| `weights` | T i o, of a depthwise convolution T o |
| `outputs` | P o |
| `window` | P T i, of operations without weights 0 |
| `macs` | P T i o, of a depthwise convolution, a pool or a softmax P T o |

Kernels take channels several at a time. `lanes` says how many: i and o count as rounded up to multiples of the two.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from reds.errors import UsageError
from reds.fold import FusedLayer
from reds.graph import Activation, Conv2D, Dense, DepthwiseConv2D, Pool2D

QUANTITIES = ("calls", "channels", "positions", "weights", "outputs", "window", "macs")


@dataclass(frozen=True)
class OperationCosts:
    """What one kind of operation costs."""

    lanes: tuple[int, int]
    """Channels of the input and of the output that its kernel takes at a time."""
    coefficients: Mapping[str, float]
    """Instructions per unit of each quantity; quantities that are not named cost nothing."""
    largest_error: float
    """Of the fit, relative to the measured instructions."""


@dataclass(frozen=True)
class Target:
    """The cost table of a core."""

    name: str
    inference: float
    """Instructions of an inference outside of its operations."""
    operations: Mapping[str, OperationCosts]
    """By kind, see `kind_of`."""

    def instructions(self, layer: FusedLayer, inputs: Any, outputs: Any) -> Any:
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
        kind = kind_of(layer)
        costs = self.operations.get(kind)
        if costs is None:
            raise UsageError(
                f"Target '{self.name}' has no costs of {kind}, which layer '{layer.name}' is; calibrate it again."
            )
        amounts = quantities(layer, inputs, outputs, costs.lanes)
        return sum(coefficient * amounts[name] for name, coefficient in costs.coefficients.items())

    def to_json(self) -> str:
        """The table as a JSON object."""
        operations = {
            kind: {
                "lanes": list(costs.lanes),
                "coefficients": dict(costs.coefficients),
                "largest_error": costs.largest_error,
            }
            for kind, costs in self.operations.items()
        }
        return json.dumps({"name": self.name, "inference": self.inference, "operations": operations}, indent=2) + "\n"


def kind_of(layer: FusedLayer) -> str:
    """The kind of an operation in cost tables."""
    match layer.operation:
        case Conv2D(kernel_size=(1, 1), strides=(1, 1)):
            return "pointwise"
        case Conv2D():
            return "conv2d"
        case DepthwiseConv2D():
            return "depthwise_conv2d"
        case Dense():
            return "fully_connected"
        case Pool2D(kind=kind):
            return f"{kind}_pool2d"
        case Activation(function="softmax"):
            return "softmax"
        case _:
            return "relu"


def quantities(layer: FusedLayer, inputs: Any, outputs: Any, lanes: tuple[int, int]) -> dict[str, Any]:
    """What the costs of an operation are proportional to.

    Args:
        layer: the operation.
        inputs: active input channels, a number or an array.
        outputs: active output channels, a number or an array.
        lanes: channels of the input and of the output that its kernel takes at a time.

    Returns:
        One amount per name in `QUANTITIES`.
    """
    positions = layer.output_shape[0] * layer.output_shape[1]
    taps = _taps(layer)
    outputs = _rounded_up(outputs, lanes[1])
    fan_in = taps * _rounded_up(inputs, lanes[0]) if isinstance(layer.operation, Conv2D | Dense) else taps
    return {
        "calls": 1,
        "channels": outputs,
        "positions": positions,
        "weights": fan_in * outputs,
        "outputs": positions * outputs,
        "window": positions * fan_in if isinstance(layer.operation, Conv2D) else 0,
        "macs": positions * fan_in * outputs,
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
    operations = {
        kind: OperationCosts(
            (int(costs["lanes"][0]), int(costs["lanes"][1])),
            {quantity: float(costs["coefficients"][quantity]) for quantity in costs["coefficients"]},
            float(costs["largest_error"]),
        )
        for kind, costs in content["operations"].items()
    }
    if any(coefficient < 0 for costs in operations.values() for coefficient in costs.coefficients.values()):
        raise ValueError("a coefficient is negative")
    return Target(str(content["name"]), float(content["inference"]), operations)


def _taps(layer: FusedLayer) -> int:
    match layer.operation:
        case Conv2D(kernel_size=size) | DepthwiseConv2D(kernel_size=size) | Pool2D(pool_size=size):
            return size[0] * size[1]
        case _:
            return 1


def _rounded_up(channels: Any, lanes: int) -> Any:
    return (np.asarray(channels) + lanes - 1) // lanes * lanes
