"""How the window of an operation moves over a map."""

from dataclasses import dataclass

from reds.compiled import CompiledLayer
from reds.fold import FusedLayer
from reds.graph import Activation, Add, Concatenate, Dense, Pad, Pool2D


@dataclass(frozen=True)
class WindowGeometry:
    """How a window moves over a map."""

    kernel: tuple[int, int] = (1, 1)
    strides: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    """Rows above and columns left of the map."""


def geometry(layer: CompiledLayer | FusedLayer) -> WindowGeometry:
    """The window of a layer; 1 x 1 for an operation without one."""
    operation = layer.operation
    if isinstance(operation, Activation | Dense | Add | Concatenate):
        return WindowGeometry()
    if isinstance(operation, Pad):
        return WindowGeometry(padding=(operation.rows[0], operation.columns[0]))
    kernel = operation.pool_size if isinstance(operation, Pool2D) else operation.kernel_size
    dilation = (1, 1) if isinstance(operation, Pool2D) else operation.dilation
    padding = (0, 0)
    if operation.padding == "same":
        padding = (
            _same_padding(layer.input_shape[0], layer.output_shape[0], kernel[0], operation.strides[0], dilation[0]),
            _same_padding(layer.input_shape[1], layer.output_shape[1], kernel[1], operation.strides[1], dilation[1]),
        )
    return WindowGeometry(kernel, operation.strides, dilation, padding)


def _same_padding(size: int, output: int, kernel: int, stride: int, dilation: int) -> int:
    """Rows before the map: half of the total, rounded down (TFLite)."""
    return max((output - 1) * stride + (kernel - 1) * dilation + 1 - size, 0) // 2
