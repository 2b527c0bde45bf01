"""How near an operation's output may lie to its input, where both overlap in the arena.

A kernel walks the positions of its output in a known order (device/kernels/kernels.h), so an output may take the place
of what is not read any more. device/src/overlap.h computes the same numbers when a file is opened.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from reds.compiled import CompiledLayer
from reds.fold import FusedLayer
from reds.graph import (
    Activation,
    Conv2D,
    DepthwiseConv2D,
    Dequantize,
    Pair,
    Pool2D,
    PRelu,
    Quantize,
    Requantize,
)
from reds.schema import conventions
from reds.tensors import Sharing, Size
from reds.windows import geometry

Layer = CompiledLayer | FusedLayer

FLOAT_BYTES = 4


def sharing(layer: Layer, input_channels: Size, output_channels: Size, element_bytes: int) -> Sharing | None:
    """How an operation may share memory between its input and its output.

    Args:
        layer: the operation.
        input_channels: active channels of its input, or an array of alternatives.
        output_channels: active channels of its output, or an array of alternatives.
        element_bytes: bytes of one activation.

    Returns:
        The distances, or None where input and output must not overlap.
    """
    operation = layer.operation
    if isinstance(operation, Dequantize) and operation.target == "float32":
        # Wider elements are written from the last to the first.
        return Sharing(before=int(np.prod(layer.output_shape)) * FLOAT_BYTES, behind=1)
    if isinstance(operation, Activation | PRelu | Requantize | Quantize | Dequantize) or _reads_elements_once(layer):
        return Sharing(before=0)
    if isinstance(operation, DepthwiseConv2D) and layer.output_shape[2] != layer.input_shape[2]:
        return None
    if not isinstance(operation, Conv2D | DepthwiseConv2D | Pool2D):
        return None
    walk = _walk(layer, input_channels * element_bytes, output_channels * element_bytes)
    if isinstance(operation, Conv2D):
        lookback = conventions.CONVOLUTION_LOOKBACK_POSITIONS
        return Sharing(walk.before(lookback), walk.behind(lookback) if operation.groups == 1 else None)
    if isinstance(operation, DepthwiseConv2D):
        lookback = conventions.DEPTHWISE_LOOKBACK_ROWS * layer.output_shape[1]
        return Sharing(walk.before(lookback), multiple=input_channels * element_bytes)
    return Sharing(walk.before(0))


def _reads_elements_once(layer: Layer) -> bool:
    """Whether it is a pair that reads no position of the arena again: the second map is whole, or constant."""
    return isinstance(layer.operation, Pair) and (not layer.operation.spread or len(layer.inputs) == 1)


@dataclass(frozen=True)
class _Walk:
    """A window that goes through a map row by row. Positions have sizes in bytes."""

    input_height: int
    input_row: Size
    """Bytes of a row of the input."""
    output_height: int
    output_width: int
    output_position: Size
    """Bytes of a position of the output."""
    stride: int
    padding: int
    reach: int
    """Rows from a window's first tap to its last."""

    def before(self, lookback: int) -> Size:
        """How far the output has to begin before the input for a walk from the first position to the last.

        When the last position that looks back to row y has been written, all from that row's first tap on has to be
        there. The difference is concave in y, so its maximum is at one of its bends or ends.
        """
        positions = self.output_height * self.output_width
        clipped = self.padding // self.stride
        whole = self.output_height - 1 - lookback // self.output_width

        def needed(y: int) -> Size:
            written = min((y + 1) * self.output_width + lookback, positions) * self.output_position
            return written - max(0, y * self.stride - self.padding) * self.input_row

        return self._largest(needed, (clipped, clipped + 1, whole - 1, whole))

    def behind(self, lookback: int) -> Size:
        """The same behind the input for a walk from the last position to the first."""
        clipped = (self.input_height - 1 + self.padding - self.reach) // self.stride
        whole = lookback // self.output_width

        def needed(y: int) -> Size:
            rows = min(self.input_height, y * self.stride - self.padding + self.reach + 1)
            return rows * self.input_row - max(0, y * self.output_width - lookback) * self.output_position

        return self._largest(needed, (clipped, clipped + 1, whole, whole + 1))

    def _largest(self, needed: Callable[[int], Size], bends: Iterable[int]) -> Size:
        last = self.output_height - 1
        rows = {0, last, *(min(max(bend, 0), last) for bend in bends)}
        largest: Size = 0
        for y in sorted(rows):
            largest = np.maximum(largest, needed(y))
        return largest


def _walk(layer: Layer, input_position: Size, output_position: Size) -> _Walk:
    window = geometry(layer)
    input_height, input_width, _ = layer.input_shape
    output_height, output_width, _ = layer.output_shape
    if window.kernel == (1, 1) == window.strides:
        # Every position is a row of its own.
        input_height, input_width = input_height * input_width, 1
        output_height, output_width = output_height * output_width, 1
    reach = (window.kernel[0] - 1) * window.dilation[0]
    return _Walk(
        input_height,
        input_width * input_position,
        output_height,
        output_width,
        output_position,
        window.strides[0],
        window.padding[0],
        reach,
    )
