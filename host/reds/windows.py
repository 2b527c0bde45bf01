"""How the window of an operation moves over a map."""

from dataclasses import dataclass

from reds.compiled import CompiledLayer
from reds.fold import FusedLayer
from reds.graph import (
    Activation,
    BatchMatMul,
    Concatenate,
    Conv2DTranspose,
    Crop,
    Dense,
    Dequantize,
    Mean,
    Pad,
    Pair,
    Pool2D,
    PRelu,
    Quantize,
    Requantize,
    Resize,
    Slice,
    Transpose,
    Upsample,
)


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
    if isinstance(
        operation, Activation | Dense | Concatenate | Pair | PRelu | Slice | Transpose | BatchMatMul | Resize
    ):
        return WindowGeometry()
    if isinstance(operation, Requantize | Quantize | Dequantize):
        return WindowGeometry()
    if isinstance(operation, Pad | Crop):
        return WindowGeometry(padding=(operation.rows[0], operation.columns[0]))
    if isinstance(operation, Upsample):
        return WindowGeometry(strides=operation.size)
    if isinstance(operation, Conv2DTranspose):
        return _transposed_geometry(layer, operation)
    if isinstance(operation, Mean):
        return WindowGeometry(kernel=layer.input_shape[:2])
    kernel = operation.pool_size if isinstance(operation, Pool2D) else operation.kernel_size
    dilation = (1, 1) if isinstance(operation, Pool2D) else operation.dilation
    padding = (0, 0)
    if operation.padding == "same":
        padding = (
            _same_padding(layer.input_shape[0], layer.output_shape[0], kernel[0], operation.strides[0], dilation[0]),
            _same_padding(layer.input_shape[1], layer.output_shape[1], kernel[1], operation.strides[1], dilation[1]),
        )
    return WindowGeometry(kernel, operation.strides, dilation, padding)


def _transposed_geometry(layer: CompiledLayer | FusedLayer, operation: Conv2DTranspose) -> WindowGeometry:
    """That of the convolution from the output to the input."""
    padding = (0, 0)
    if operation.padding == "same":
        source, target = layer.output_shape, layer.input_shape
        padding = (
            _same_padding(source[0], target[0], operation.kernel_size[0], operation.strides[0], 1),
            _same_padding(source[1], target[1], operation.kernel_size[1], operation.strides[1], 1),
        )
    return WindowGeometry(operation.kernel_size, operation.strides, padding=padding)


def _same_padding(size: int, output: int, kernel: int, stride: int, dilation: int) -> int:
    """Rows before the map: half of the total, rounded down (TFLite)."""
    return max((output - 1) * stride + (kernel - 1) * dilation + 1 - size, 0) // 2
