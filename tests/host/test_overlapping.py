"""The distances between input and output are those that a walk through every position finds."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reds.compiled import CompiledLayer
from reds.graph import (
    INPUT,
    Activation,
    Add,
    Concatenate,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    Dequantize,
    DeviceOperation,
    Pad,
    Pool2D,
    Quantize,
)
from reds.overlapping import sharing
from reds.schema.conventions import CONVOLUTION_LOOKBACK_POSITIONS, DEPTHWISE_LOOKBACK_ROWS
from reds.windows import geometry

same_for_all = settings(derandomize=True, deadline=None, max_examples=150)
seeds = st.integers(0, 2**32 - 1)


def layer_of(operation: DeviceOperation, input_shape: tuple[int, int, int], output_channels: int) -> CompiledLayer:
    height, width, _ = input_shape
    if isinstance(operation, Conv2D | DepthwiseConv2D | Pool2D):
        kernel = operation.pool_size if isinstance(operation, Pool2D) else operation.kernel_size
        dilation = (1, 1) if isinstance(operation, Pool2D) else operation.dilation
        same = operation.padding == "same"
        height, width = (
            -(-size // stride) if same else (size - (taps - 1) * spread - 1) // stride + 1
            for size, taps, stride, spread in zip(input_shape[:2], kernel, operation.strides, dilation, strict=True)
        )
    shape = (height, width, output_channels)
    return CompiledLayer("layer", operation, "none", (INPUT,), input_shape, shape, 0, None)


def drawn_layer(seed: int, *kinds: type) -> CompiledLayer | None:
    """A layer with a window, or None where no window fits."""
    random = np.random.default_rng(seed)

    def pair(most: int) -> tuple[int, int]:
        first, second = random.integers(1, most + 1, 2)
        return int(first), int(second)

    kind = kinds[random.integers(len(kinds))]
    padding = ("valid", "same")[random.integers(2)]
    shape = (*pair(8), int(random.integers(1, 5)))
    if kind is Pool2D:
        layer = layer_of(Pool2D("max", pair(4), pair(3), padding), shape, shape[2])
    else:
        # No spread-out window that misses a narrow map.
        strides, dilation = (pair(3), (1, 1)) if random.integers(2) else ((1, 1), (pair(3)[0], 1))
        channels = shape[2] if kind is DepthwiseConv2D else int(random.integers(1, 9))
        layer = layer_of(kind(pair(4), strides, padding, dilation), shape, channels)
    return layer if min(layer.output_shape) >= 1 else None


@dataclass(frozen=True)
class Walk:
    """A layer whose elements are looked at one by one; a position has the given numbers of them."""

    layer: CompiledLayer
    input_elements: int
    output_elements: int
    backward: bool = False

    @cached_property
    def windows(self) -> list[set[int]]:
        """Per position of the output, in the order of the walk, the elements of the input under its window."""
        window = geometry(self.layer)
        input_height, input_width, _ = self.layer.input_shape
        result = []
        for y in range(self.layer.output_shape[0]):
            for x in range(self.layer.output_shape[1]):
                rows = (
                    y * window.strides[0] - window.padding[0] + tap * window.dilation[0]
                    for tap in range(window.kernel[0])
                )
                columns = [
                    x * window.strides[1] - window.padding[1] + tap * window.dilation[1]
                    for tap in range(window.kernel[1])
                ]
                taps = [
                    (row, column)
                    for row in rows
                    if 0 <= row < input_height
                    for column in columns
                    if 0 <= column < input_width
                ]
                positions = [row * input_width + column for row, column in taps]
                result.append(
                    {
                        place * self.input_elements + element
                        for place in positions
                        for element in range(self.input_elements)
                    }
                )
        return result[::-1] if self.backward else result

    def is_safe(self, before: int, lookback: int) -> bool:
        """Whether the output may begin that many elements before the input.

        After the walk has written a position, it may still read the window of the one `lookback` before it, and those
        behind that.
        """
        needed = [set[int]()]
        for window in reversed(self.windows):
            needed.insert(0, needed[0] | window)
        count = len(self.windows)
        for place in range(count):
            position = count - 1 - place if self.backward else place
            written = {position * self.output_elements + element - before for element in range(self.output_elements)}
            if written & needed[max(0, place - lookback)]:
                return False
        return True

    def nearest(self, lookback: int) -> int:
        """The least distance from which on every one is safe."""
        sign = -1 if self.backward else 1
        size = max(self.input_elements, self.output_elements) * max(
            np.prod(self.layer.input_shape[:2]), len(self.windows)
        )
        return next(
            (distance + 1 for distance in range(int(size), -1, -1) if not self.is_safe(sign * distance, lookback)), 0
        )


@same_for_all
@given(seeds)
def test_convolutions_and_pools_read_before_they_write(seed: int) -> None:
    layer = drawn_layer(seed, Conv2D, Pool2D)
    if layer is None:
        return
    channels, outputs = layer.input_shape[2], layer.output_shape[2]
    lookback = CONVOLUTION_LOOKBACK_POSITIONS if isinstance(layer.operation, Conv2D) else 0
    shared = sharing(layer, channels, outputs, 1)
    assert shared is not None
    # Windows count from the begin of their row, and up to the end of it.
    row = layer.input_shape[1] * channels + layer.output_shape[1] * outputs
    row = 0 if geometry(layer).kernel == (1, 1) == geometry(layer).strides else row
    nearest = Walk(layer, channels, outputs).nearest(lookback)
    assert nearest <= shared.before <= nearest + row
    if isinstance(layer.operation, Conv2D):
        nearest = Walk(layer, channels, outputs, backward=True).nearest(lookback)
        assert nearest <= shared.behind <= nearest + row
    else:
        assert shared.behind is None


@same_for_all
@given(seeds)
def test_depthwise_convolutions_read_a_channel_before_they_write_it(seed: int) -> None:
    """Whole positions lie between, so that every channel is a map of its own."""
    layer = drawn_layer(seed, DepthwiseConv2D)
    if layer is None:
        return
    channels = layer.input_shape[2]
    lookback = DEPTHWISE_LOOKBACK_ROWS * layer.output_shape[1]
    shared = sharing(layer, channels, channels, 4)
    assert shared is not None
    nearest = Walk(layer, 1, 1).nearest(lookback)
    assert nearest <= shared.before / (4 * channels) <= nearest + layer.input_shape[1] + layer.output_shape[1]
    assert shared.multiple == 4 * channels


@pytest.mark.parametrize("operation", [Activation("softmax"), Activation("relu"), Activation("tanh"), Add()])
def test_what_goes_element_by_element_works_in_place(operation: DeviceOperation) -> None:
    shared = sharing(layer_of(operation, (3, 4, 5), 5), 5, 5, 1)
    assert shared is not None
    assert (shared.before, shared.behind, shared.multiple) == (0, None, 1)


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        (Quantize("float32"), (0, None)),
        (Quantize("uint8"), (0, None)),
        (Dequantize("uint8"), (0, None)),
        # All of it before the input, or at least its first byte behind.
        (Dequantize("float32"), (3 * 4 * 5 * 4, 1)),
    ],
)
def test_ports_of_another_type(operation: DeviceOperation, expected: tuple[int, int | None]) -> None:
    shared = sharing(layer_of(operation, (3, 4, 5), 5), 5, 5, 1)
    assert shared is not None
    assert (shared.before, shared.behind) == expected


@pytest.mark.parametrize(
    ("operation", "channels"),
    [
        pytest.param(Dense(), 5, id="fully connected"),
        pytest.param(Pad((1, 1), (1, 1)), 5, id="border"),
        pytest.param(Concatenate(), 9, id="concatenation"),
        pytest.param(DepthwiseConv2D((3, 3)), 10, id="two channels of one"),
    ],
)
def test_other_operations_overlap_nothing(operation: DeviceOperation, channels: int) -> None:
    assert sharing(layer_of(operation, (6, 6, 5), channels), 5, channels, 1) is None


def test_alternatives_are_computed_at_once() -> None:
    layer = layer_of(Conv2D((3, 3), (2, 2), "same"), (9, 7, 8), 16)
    inputs, outputs = np.arange(1, 9)[:, np.newaxis], np.arange(1, 17)
    shared = sharing(layer, inputs, outputs, 4)
    assert shared is not None
    for one in (1, 4, 8):
        for other in (1, 9, 16):
            alone = sharing(layer, one, other, 4)
            assert alone is not None
            assert (alone.before, alone.behind) == (
                shared.before[one - 1, other - 1],
                shared.behind[one - 1, other - 1],
            )
