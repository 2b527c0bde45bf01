"""Every operation in libreds equals TFLite Micro's on the extracted stand-alone subnetwork."""

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from layer_drawing import Draw, joined_slices, product_of_matrices
from model_builder import LayerSpec, NetworkBuilder, output_shape

from reds.compiled import EMITTED_TYPES, ElementType
from reds.emitting import encode, extract
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
    Mean,
    Multiply,
    Pool2D,
    PRelu,
    Quantize,
    Requantize,
    Resize,
    Shape,
    Subtract,
    Upsample,
)
from reds.model_file import decode, read_model_file
from reds.reference import run_tflite_micro
from reds.runtime import Runtime

SAMPLES = 2

seeds = st.integers(0, (1 << 32) - 1)


def check(
    element_type: ElementType,
    input_shape: Shape,
    specs: Sequence[LayerSpec],
    widths: Sequence[int],
    seed: int,
    loudness: float = 1.0,
) -> None:
    """Compares the full network and a narrow one with TFLite Micro."""
    builder = NetworkBuilder(element_type, input_shape, seed, loudness)
    model = encode(builder.build(specs, [widths]))
    runtime = Runtime(model)
    x = builder.input(SAMPLES)
    for subnetwork in (0, 1):
        runtime.select(subnetwork)
        expected = run_tflite_micro(extract(model, subnetwork), x)
        actual = runtime.invoke(x)
        if element_type is not ElementType.FLOAT32:
            np.testing.assert_array_equal(actual, expected)
        else:
            np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())
        assert runtime.guards_intact


def check_hidden(
    element_type: ElementType, draw: Draw, operation: DeviceOperation, seed: int, depth_multiplier: int = 1
) -> None:
    """Compares an operation between two 1 x 1 convolutions, so that its input and output are prefixes."""
    before, after = draw.pair(11, 11)
    specs = [
        LayerSpec(Conv2D((1, 1)), before),
        LayerSpec(operation, after, draw.activation(), depth_multiplier),
        LayerSpec(Conv2D((1, 1)), 3),
    ]
    widths = [draw.size(before), draw.size(after), 3]
    check(element_type, (*drawn_map(draw, specs[1], before), 2), specs, widths, seed)


def drawn_map(draw: Draw, spec: LayerSpec, channels: int) -> tuple[int, int]:
    """Height and width of a map that a layer's window fits on."""
    height, width = draw.pair(9, 9)
    while min(output_shape(spec, (height, width, channels))) < 1:
        height, width = height + 1, width + 1
    return height, width


examples = settings(max_examples=60, deadline=None, derandomize=True)


@pytest.mark.parametrize("element_type", EMITTED_TYPES)
class TestOperation:
    @examples
    @given(seed=seeds)
    def test_conv2d(self, element_type: ElementType, seed: int) -> None:
        draw = Draw(seed)
        check_hidden(element_type, draw, draw.convolution(Conv2D), seed)

    @examples
    @given(seed=seeds)
    def test_depthwise_conv2d(self, element_type: ElementType, seed: int) -> None:
        draw = Draw(seed)
        check_hidden(element_type, draw, draw.convolution(DepthwiseConv2D), seed, draw.choice(1, 1, 2, 3))

    @examples
    @given(seed=seeds)
    def test_grouped_conv2d(self, element_type: ElementType, seed: int) -> None:
        """Between layers that are narrowed; its own channels stay."""
        draw = Draw(seed)
        operation = draw.grouped_convolution()
        before, after = (operation.groups * draw.size(6) for _ in range(2))
        first, last = draw.pair(11, 11)
        specs = [
            LayerSpec(Conv2D((1, 1)), first),
            LayerSpec(Conv2D((1, 1)), before),
            LayerSpec(operation, after, draw.activation()),
            LayerSpec(Conv2D((1, 1)), last),
            LayerSpec(Conv2D((1, 1)), 3),
        ]
        widths = [draw.size(first), before, after, draw.size(last), 3]
        check(element_type, (*drawn_map(draw, specs[2], before), 2), specs, widths, seed)

    @examples
    @given(seed=seeds)
    def test_transpose_conv(self, element_type: ElementType, seed: int) -> None:
        draw = Draw(seed)
        check_hidden(element_type, draw, draw.transposed(), seed)

    @examples
    @given(seed=seeds)
    def test_average_pool2d(self, element_type: ElementType, seed: int) -> None:
        draw = Draw(seed)
        check_hidden(element_type, draw, draw.pool("average"), seed)

    @examples
    @given(seed=seeds)
    def test_max_pool2d(self, element_type: ElementType, seed: int) -> None:
        draw = Draw(seed)
        check_hidden(element_type, draw, draw.pool("max"), seed)

    @pytest.mark.parametrize("kind", ["average", "max"])
    def test_pooling_alone(self, element_type: ElementType, kind: Literal["average", "max"]) -> None:
        """The plan has no constants then."""
        check(element_type, (4, 6, 3), [LayerSpec(Pool2D(kind, (4, 3), (1, 2)))], [0], 1)

    @examples
    @given(seed=seeds)
    def test_mean(self, element_type: ElementType, seed: int) -> None:
        draw = Draw(seed)
        check_hidden(element_type, draw, Mean(), seed)

    @examples
    @given(seed=seeds)
    def test_relu(self, element_type: ElementType, seed: int) -> None:
        draw = Draw(seed)
        check_hidden(element_type, draw, Activation(draw.choice("relu", "relu6")), seed)

    @examples
    @given(seed=seeds)
    def test_tabled_activations(self, element_type: ElementType, seed: int) -> None:
        draw = Draw(seed)
        check_hidden(element_type, draw, draw.tabled(), seed)

    @examples
    @given(seed=seeds)
    def test_upsample(self, element_type: ElementType, seed: int) -> None:
        draw = Draw(seed)
        check_hidden(element_type, draw, Upsample(draw.pair(3, 2)), seed)

    @pytest.mark.parametrize("size", [(40, 1), (1, 39)])
    def test_upsample_far(self, element_type: ElementType, size: tuple[int, int]) -> None:
        specs = [LayerSpec(Conv2D((1, 1)), 2), LayerSpec(Upsample(size)), LayerSpec(Conv2D((1, 1)), 1)]
        check(element_type, (5, 7, 1), specs, [1, 0, 1], 1)

    @examples
    @given(seed=seeds)
    def test_resize(self, element_type: ElementType, seed: int) -> None:
        draw = Draw(seed)
        size = draw.choice(draw.pair(9, 9), draw.pair(300, 4), draw.pair(3, 200))
        check_hidden(element_type, draw, Resize(size, *draw.choice((False, False), (True, False), (False, True))), seed)

    @examples
    @given(seed=seeds)
    def test_crop(self, element_type: ElementType, seed: int) -> None:
        draw = Draw(seed)
        check_hidden(element_type, draw, draw.crop(), seed)

    @examples
    @given(seed=seeds)
    def test_slices_of_channels(self, element_type: ElementType, seed: int) -> None:
        draw = Draw(seed)
        specs = joined_slices(draw)
        check(element_type, (*draw.pair(5, 5), 2), specs, [specs[0].channels, 0, 0, 0, 3], seed)

    @examples
    @given(seed=seeds)
    def test_transpose(self, element_type: ElementType, seed: int) -> None:
        draw = Draw(seed)
        height, width, channels = 1 + draw.size(6), 1 + draw.size(6), 1 + draw.size(9)
        specs = [
            LayerSpec(Conv2D((1, 1)), channels),
            LayerSpec(draw.transpose()),
            LayerSpec(draw.convolution(Conv2D), draw.size(5)),
        ]
        if min(output_shape(specs[2], output_shape(specs[1], (height, width, channels)))) < 1:
            specs[2] = LayerSpec(Conv2D((1, 1)), 3)
        check(element_type, (height, width, 2), specs, [channels, 0, specs[2].channels], seed)

    @examples
    @given(seed=seeds)
    def test_batch_matmul(self, element_type: ElementType, seed: int) -> None:
        draw = Draw(seed)
        specs = product_of_matrices(draw)
        check(element_type, (1, 1, 5), specs, [spec.channels for spec in specs], seed, draw.choice(1.0, 30.0))

    @examples
    @given(seed=seeds)
    def test_prelu(self, element_type: ElementType, seed: int) -> None:
        draw = Draw(seed)
        check_hidden(element_type, draw, PRelu(), seed)

    @examples
    @given(seed=seeds)
    def test_prelu_of_vectors(self, element_type: ElementType, seed: int) -> None:
        draw = Draw(seed)
        hidden = draw.size(20)
        specs = [LayerSpec(Dense(), hidden), LayerSpec(PRelu()), LayerSpec(Dense(), 3)]
        check(element_type, (1, 1, 5), specs, [draw.size(hidden), 0, 3], seed)

    @examples
    @given(seed=seeds)
    def test_pad(self, element_type: ElementType, seed: int) -> None:
        draw = Draw(seed)
        check_hidden(element_type, draw, draw.pad(), seed)

    @examples
    @given(seed=seeds)
    def test_fully_connected(self, element_type: ElementType, seed: int) -> None:
        draw = Draw(seed)
        inputs, hidden, outputs = draw.size(40), draw.size(40), draw.size(40)
        specs = [LayerSpec(Dense(), hidden, draw.activation()), LayerSpec(Dense(), outputs)]
        check(element_type, (1, 1, inputs), specs, [draw.size(hidden), outputs], seed)

    @examples
    @given(seed=seeds)
    def test_softmax(self, element_type: ElementType, seed: int) -> None:
        draw = Draw(seed)
        classes = draw.choice(draw.size(20), draw.size(300))
        specs = [LayerSpec(Dense(), classes), LayerSpec(Activation("softmax"))]
        check(element_type, (1, 1, 5), specs, [classes, classes], seed)

    @examples
    @given(seed=seeds)
    def test_sums(self, element_type: ElementType, seed: int) -> None:
        """Of two maps with scales of their own, and of what comes out with itself, loud or nearly silent."""
        draw = Draw(seed)
        pair = draw.choice(Add, Subtract)
        channels, width = draw.size(11), draw.size(11)
        specs = [
            LayerSpec(Conv2D((1, 1)), channels),
            LayerSpec(Conv2D((1, 1)), channels, inputs=draw.choice((INPUT,), (0,))),
            LayerSpec(pair(), activation=draw.activation(), inputs=draw.choice((0, 1), (1, 0))),
            LayerSpec(pair(), activation=draw.activation(), inputs=draw.choice((2, 2), (2, 0))),
            LayerSpec(Conv2D((1, 1)), 3),
        ]
        widths = [min(width, channels)] * 4 + [3]
        check(element_type, (*draw.pair(5, 5), 2), specs, widths, seed, draw.choice(1e-2, 1.0, 30.0))

    @examples
    @given(seed=seeds)
    def test_multiply(self, element_type: ElementType, seed: int) -> None:
        draw = Draw(seed)
        channels = draw.size(11)
        # Six is too many units of a loud product's scale for TFLite Micro.
        loudness, activation = draw.choice((1e-2, "relu6"), (1e-2, "none"), (1.0, "relu"), (30.0, "none"))
        specs = [
            LayerSpec(Conv2D((1, 1)), channels),
            LayerSpec(Conv2D((1, 1)), channels, inputs=draw.choice((INPUT,), (0,))),
            LayerSpec(Multiply(), activation=activation, inputs=draw.choice((0, 1), (1, 0), (1, 1))),
            LayerSpec(Conv2D((1, 1)), 3),
        ]
        widths = [draw.size(channels)] * 3 + [3]
        check(element_type, (*draw.pair(5, 5), 2), specs, widths, seed, loudness)

    @examples
    @given(seed=seeds)
    def test_pairs_with_one_position(self, element_type: ElementType, seed: int) -> None:
        """What one position says of each channel meets every position of a map."""
        draw = Draw(seed)
        pair = draw.choice(Add, Subtract, Multiply)
        channels, size = draw.size(11), (1 + draw.size(5), draw.size(5))
        specs = [
            LayerSpec(Conv2D((1, 1)), channels),
            LayerSpec(Pool2D("average", size, size)),
            LayerSpec(draw.tabled()),
            LayerSpec(pair(spread=True), activation=draw.activation(), inputs=(0, draw.choice(1, 2))),
            LayerSpec(pair(spread=True), activation=draw.activation(), inputs=(3, 1)),
            LayerSpec(Conv2D((1, 1)), 3),
        ]
        check(element_type, (*size, 2), specs, [draw.size(channels), 0, 0, 0, 0, 3], seed)

    @examples
    @given(seed=seeds)
    def test_pairs_with_constants(self, element_type: ElementType, seed: int) -> None:
        """One value, one for each channel, or one for each element, which then are all there."""
        draw = Draw(seed)
        channels = draw.size(40)
        specs, narrow = [LayerSpec(Conv2D((1, 1)), channels)], draw.size(channels)
        for index in range(3):
            spread, scalar = draw.choice((True, True), (True, False), (False, False))
            pair = draw.choice(Add(spread), Multiply(spread), Subtract(spread), Subtract(spread, exchanged=True))
            activation = "none" if isinstance(pair, Multiply) else draw.activation()
            specs.append(LayerSpec(pair, activation=activation, inputs=(index,), scalar=scalar))
            narrow = narrow if spread else channels
        specs.append(LayerSpec(Conv2D((1, 1)), 3))
        check(element_type, (*draw.pair(5, 5), 2), specs, [narrow, 0, 0, 0, 3], seed)

    @examples
    @given(seed=seeds)
    def test_add_to_the_input(self, element_type: ElementType, seed: int) -> None:
        draw = Draw(seed)
        channels = draw.size(9)
        specs = [LayerSpec(Conv2D((1, 1)), channels), LayerSpec(Add(), inputs=draw.choice((INPUT, 0), (0, INPUT)))]
        check(element_type, (*draw.pair(5, 5), channels), specs, [channels, channels], seed)

    @examples
    @given(seed=seeds)
    def test_concatenation(self, element_type: ElementType, seed: int) -> None:
        draw = Draw(seed)
        joined = [LayerSpec(Conv2D((1, 1)), draw.size(9), inputs=(INPUT,)) for _ in range(draw.size(9))]
        order = (INPUT, *reversed(range(len(joined))))
        specs = [*joined, LayerSpec(Concatenate(), inputs=order), LayerSpec(Conv2D((1, 1)), 3)]
        widths = [draw.size(spec.channels) for spec in joined] + [0, 3]
        check(element_type, (*draw.pair(4, 4), draw.size(3)), specs, widths, seed)


@examples
@given(seed=seeds)
def test_requantize(seed: int) -> None:
    draw = Draw(seed)
    check_hidden(ElementType.INT8, draw, Requantize(), seed)


@examples
@given(seed=seeds)
def test_converted_ports(seed: int) -> None:
    """Inputs and outputs of another type than what lies between."""
    draw = Draw(seed)
    channels, outputs, shape = draw.size(9), draw.size(5), (*draw.pair(5, 5), draw.size(4))
    specs = [
        LayerSpec(Quantize(draw.choice("float32", "uint8"))),
        LayerSpec(Conv2D((1, 1)), channels),
        LayerSpec(Conv2D((1, 1)), outputs),
        LayerSpec(Dequantize(draw.choice("float32", "uint8"))),
    ]
    check(ElementType.INT8, shape, specs, [0, draw.size(channels), outputs, 0], seed)


def test_real_values_become_the_nearest_integers() -> None:
    """Halves away from zero, as in TFLite Micro; what it leaves undefined becomes the nearest element, or the least."""
    builder = NetworkBuilder(ElementType.INT8, (1, 1, 9), seed=1)
    model = encode(builder.build([LayerSpec(Quantize("float32")), LayerSpec(Dequantize("uint8"))]))
    (subnetwork,) = decode(read_model_file(model)).subnetworks
    quantization = subnetwork.steps[0].output_quantization
    assert quantization is not None
    units = np.concatenate([np.arange(-300, 300, 0.5), np.nextafter(np.float32(0.5), np.float32([0, 1])), [1e9, -1e9]])
    x = (units.astype(np.float32) * quantization.scale)[: len(units) // 9 * 9].reshape(-1, 1, 1, 9)
    runtime = Runtime(model)
    np.testing.assert_array_equal(runtime.invoke(x), run_tflite_micro(extract(model, 0), x))

    far = np.full((1, 1, 9), 1e9 * quantization.scale, np.float32)
    largest, smallest = runtime.invoke(far), runtime.invoke(-far)
    beyond = np.array([[[3e38, np.inf, 1e30, -3e38, -np.inf, -1e30, np.nan, -np.nan, np.nan]]], np.float32)
    np.testing.assert_array_equal(runtime.invoke(beyond)[..., :3], largest[..., :3])
    np.testing.assert_array_equal(runtime.invoke(beyond)[..., 3:], smallest[..., 3:])


HIDDEN_IN_INT16: dict[str, Callable[[Draw], DeviceOperation]] = {
    "conv2d": lambda draw: draw.convolution(Conv2D),
    "depthwise_conv2d": lambda draw: draw.convolution(DepthwiseConv2D),
    "average_pool2d": lambda draw: draw.pool("average"),
    "max_pool2d": lambda draw: draw.pool("max"),
    "mean": lambda draw: Mean(),
    "relu": lambda draw: Activation("relu"),
    "requantize": lambda draw: Requantize(),
    "softmax": lambda draw: Activation("softmax"),
    "pad": lambda draw: draw.pad(),
    "crop": lambda draw: draw.crop(),
    "upsample": lambda draw: Upsample(draw.pair(3, 2)),
    "resize": lambda draw: Resize(draw.pair(9, 9), *draw.choice((False, False), (True, False), (False, True))),
}


class TestInt16:
    """Int16 activations with int8 weights, and biases of 32 and 64 bits."""

    @pytest.mark.parametrize("name", HIDDEN_IN_INT16)
    @examples
    @given(seed=seeds)
    def test_hidden(self, name: str, seed: int) -> None:
        draw = Draw(seed)
        operation = HIDDEN_IN_INT16[name](draw)
        multiplier = draw.choice(1, 1, 2, 3) if isinstance(operation, DepthwiseConv2D) else 1
        check_hidden(ElementType.INT16, draw, operation, seed, multiplier)

    @examples
    @given(seed=seeds)
    def test_loud_convolutions(self, seed: int) -> None:
        """Whose outputs are clipped and whose factors are above 1."""
        draw = Draw(seed)
        specs = [LayerSpec(draw.convolution(Conv2D), draw.size(9), draw.activation()), LayerSpec(Conv2D((1, 1)), 3)]
        shape = (*drawn_map(draw, specs[0], 2), 2)
        check(ElementType.INT16, shape, specs, [draw.size(specs[0].channels), 3], seed, draw.choice(30.0, 1e3))

    @examples
    @given(seed=seeds)
    def test_grouped_conv2d(self, seed: int) -> None:
        draw = Draw(seed)
        operation = draw.grouped_convolution()
        before, after = (operation.groups * draw.size(6) for _ in range(2))
        specs = [LayerSpec(Conv2D((1, 1)), before), LayerSpec(operation, after, draw.activation())]
        shape = (*drawn_map(draw, specs[1], before), 2)
        check(ElementType.INT16, shape, [*specs, LayerSpec(Conv2D((1, 1)), 3)], [before, after, 3], seed)

    @examples
    @given(seed=seeds)
    def test_fully_connected(self, seed: int) -> None:
        draw = Draw(seed)
        inputs, hidden, outputs = draw.size(40), draw.size(40), draw.size(40)
        specs = [LayerSpec(Dense(), hidden, draw.activation()), LayerSpec(Dense(), outputs)]
        check(ElementType.INT16, (1, 1, inputs), specs, [draw.size(hidden), outputs], seed)

    @examples
    @given(seed=seeds)
    def test_softmax_of_many_classes(self, seed: int) -> None:
        draw = Draw(seed)
        classes = draw.size(300)
        specs = [LayerSpec(Dense(), classes), LayerSpec(Activation("softmax"))]
        check(ElementType.INT16, (1, 1, 5), specs, [classes, classes], seed, draw.choice(0.3, 1.0, 30.0))

    @examples
    @given(seed=seeds)
    def test_sums(self, seed: int) -> None:
        draw = Draw(seed)
        channels = draw.size(11)
        specs = [
            LayerSpec(Conv2D((1, 1)), channels),
            LayerSpec(Conv2D((1, 1)), channels, inputs=draw.choice((INPUT,), (0,))),
            LayerSpec(Add(), activation=draw.activation(), inputs=draw.choice((0, 1), (1, 0))),
            LayerSpec(Mean()),
            LayerSpec(Add(spread=True), inputs=(2, 3)),
            LayerSpec(Conv2D((1, 1)), 3),
        ]
        widths = [draw.size(channels)] * 5 + [3]
        check(ElementType.INT16, (*draw.pair(5, 5), 2), specs, widths, seed, draw.choice(0.3, 1.0))

    @examples
    @given(seed=seeds)
    def test_joined_slices(self, seed: int) -> None:
        draw = Draw(seed)
        specs = joined_slices(draw)
        check(ElementType.INT16, (*draw.pair(5, 5), 2), specs, [specs[0].channels, 0, 0, 0, 3], seed)

    @examples
    @given(seed=seeds)
    def test_converted_ports(self, seed: int) -> None:
        draw = Draw(seed)
        outputs = draw.size(5)
        specs = [
            LayerSpec(Quantize("float32")),
            LayerSpec(Conv2D((1, 1)), outputs),
            LayerSpec(Dequantize("float32")),
        ]
        check(ElementType.INT16, (*draw.pair(5, 5), draw.size(4)), specs, [0, outputs, 0], seed)
