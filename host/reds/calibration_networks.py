"""Small untrained networks that hold every kind of operation, to measure what these cost."""

from collections.abc import Iterator
from itertools import cycle, permutations

import keras
import numpy as np
from keras import layers

from reds.compiled import (
    CompiledExit,
    CompiledLayer,
    CompiledNetwork,
    CompiledStep,
    CompiledSubnetwork,
    ElementType,
)
from reds.graph import (
    INPUT,
    BatchMatMul,
    Dequantize,
    DeviceOperation,
    Graph,
    Mean,
    Quantize,
    Resize,
    Shape,
    Slice,
    Transpose,
)
from reds.requantize import Quantization
from reds.tracing import trace

LEAST_SIZE, LARGEST_SIZE = 2, 14
"""Rows, columns and channels that maps of random sizes have."""

ORDERS = tuple(permutations(range(3)))[1:]
"""All but the one in which nothing moves."""

CHAINS, ROUNDS_OF_A_CHAIN = 6, 3
"""Networks of operations without weights, and how often each of these is in one of them."""

_EVERYWHERE = Quantization(np.float32(0.05), 3)
"""Any quantisation does where only the cost of an operation is of interest."""


def narrowable_networks() -> Iterator[Graph]:
    """Networks of Keras layers, with several windows and sizes of maps."""
    keras.utils.set_random_seed(0)
    stacks = {
        "separable": [
            layers.Input((12, 9, 3)),
            layers.Conv2D(24, 3, padding="same"),
            layers.DepthwiseConv2D(3, padding="same"),
            layers.Conv2D(32, 1),
            layers.DepthwiseConv2D(3, 2, padding="same"),
            layers.Conv2D(20, 1),
            layers.DepthwiseConv2D((5, 3)),
            layers.Conv2D(28, 1),
            layers.AveragePooling2D(2),
            layers.Flatten(),
            layers.Dense(10),
            layers.Softmax(),
        ],
        "convolutional": [
            layers.Input((20, 10, 2)),
            layers.ReLU(),
            layers.Conv2D(16, (10, 4), 2, padding="same"),
            layers.Conv2D(20, 3),
            layers.MaxPooling2D(2, padding="same"),
            layers.Conv2D(24, 3, padding="same"),
            layers.AveragePooling2D(3, 1, padding="same"),
            layers.Conv2D(12, 1, 2),
            layers.Flatten(),
            layers.Dense(40),
            layers.Dense(12),
            layers.Softmax(),
        ],
        "large_maps": [
            layers.Input((32, 24, 1)),
            layers.Conv2D(12, 3, 2, padding="same"),
            layers.MaxPooling2D(2),
            layers.DepthwiseConv2D(3, padding="same"),
            layers.Conv2D(16, 1),
            layers.Conv2D(10, 5),
            layers.DepthwiseConv2D((2, 2)),
            layers.Conv2D(12, 1),
            layers.GlobalAveragePooling2D(),
            layers.Dense(3),
        ],
        "large_windows": [
            layers.Input((26, 10, 1)),
            layers.Conv2D(28, (10, 4)),
            layers.Conv2D(30, (10, 4), (2, 1)),
            layers.Conv2D(24, 3, padding="same"),
            layers.Flatten(),
            layers.Dense(16),
        ],
        "many_channels": [
            layers.Input((8, 8, 8)),
            layers.Conv2D(48, 3, padding="same"),
            layers.Conv2D(64, 3, 2, padding="same"),
            layers.Conv2D(48, 3, padding="same"),
            layers.Conv2D(40, 3),
            layers.Conv2D(64, 1, 2),
            layers.Flatten(),
            layers.Dense(10),
        ],
        "functions": [
            layers.Input((14, 11, 3)),
            layers.Conv2D(20, 3),
            layers.LeakyReLU(),
            layers.DepthwiseConv2D((2, 3), padding="same"),
            layers.ZeroPadding2D(((2, 1), (0, 3))),
            layers.Conv2D(24, 3, 2, activation="tanh"),
            layers.ZeroPadding2D(2),
            layers.Conv2D(12, 5, activation="sigmoid"),
            layers.DepthwiseConv2D(3, padding="same"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(30, activation="hard_swish"),
            layers.Dense(5),
        ],
        "transposed": [
            layers.Input((5, 4, 6)),
            layers.Conv2DTranspose(20, 3, 2, padding="same"),
            _prelu(),
            layers.Cropping2D(((1, 0), (2, 1))),
            layers.Conv2DTranspose(12, (2, 3)),
            _prelu(),
            layers.UpSampling2D((1, 2)),
            layers.Conv2DTranspose(16, 3, padding="same"),
            layers.MaxPooling2D(3),
            layers.UpSampling2D(2),
            layers.Conv2DTranspose(24, 2, 2),
            _prelu(),
            layers.Cropping2D(2),
            layers.Conv2DTranspose(8, 1),
        ],
        "grouped": [layers.Input((14, 21, 12)), *_grouped_convolutions(), layers.Flatten(), layers.Dense(5)],
        "dense": [layers.Input((250,)), layers.Dense(120), layers.Dense(64), layers.Dense(33), layers.Dense(4)],
    }
    for name, stack in stacks.items():
        yield trace(keras.Sequential(stack, name=name))
    yield trace(_branched())
    yield trace(_gated())


def _grouped_convolutions() -> Iterator[layers.Conv2D]:
    """As many sizes as one network can have, since the channels of grouped convolutions are never narrowed."""
    filters = cycle((24, 12, 36))
    for groups in (3, 12, 2, 6, 4, 12, 3, 6):
        for window, padding in ((1, "same"), (3, "same"), ((2, 3), "valid"), ((5, 1), "same")):
            yield layers.Conv2D(next(filters), window, padding=padding, groups=groups)


def _branched() -> keras.Model:
    """Sums and concatenations; what they join has a fixed number of channels or one width."""
    keras.utils.set_random_seed(0)
    source = layers.Input((10, 7, 3))
    stem = layers.Conv2D(24, 3, padding="same")(source)
    total = layers.Add()([stem, layers.Conv2D(24, 3, padding="same")(stem)])
    total = layers.Add()([total, layers.DepthwiseConv2D(3, padding="same")(total)])
    narrow, wide = layers.Conv2D(7, 1)(total), layers.Conv2D(16, 3, 2, padding="same")(total)
    pooled = layers.AveragePooling2D(2, padding="same")(narrow)
    joined = layers.Concatenate()([pooled, wide, layers.MaxPooling2D(2, padding="same")(narrow)])
    last = layers.Conv2D(20, 1)(joined)
    again = layers.Add()([last, layers.Conv2D(20, 1)(last)])
    scores = layers.Dense(5)(layers.GlobalAveragePooling2D()(again))
    return keras.Model(source, scores, name="branched")


def _gated() -> keras.Model:
    """Products and differences, of maps and with one position for all."""
    keras.utils.set_random_seed(0)
    source = x = layers.Input((11, 8, 3))
    for filters in (24, 20, 12):
        first = layers.Conv2DTranspose(filters, 1)(x)
        second = layers.Conv2DTranspose(filters, 1)(first)
        product = layers.Multiply()([first, second])
        gate = layers.GlobalAveragePooling2D(keepdims=True)(product)
        difference = layers.Subtract()([layers.Multiply()([product, gate]), second])
        total = layers.Add()([layers.Subtract()([difference, gate]), gate])
        x = layers.MaxPooling2D(2)(total)
    return keras.Model(source, layers.Conv2DTranspose(5, 1)(x), name="gated")


def _prelu() -> layers.PReLU:
    """A slope per channel."""
    return layers.PReLU(keras.initializers.Constant(0.25), shared_axes=(1, 2))


def fixed_networks(seed: int) -> Iterator[CompiledNetwork]:
    """int8 networks of operations without weights that only files of other tools have; they keep all channels.

    Args:
        seed: of the sizes of their maps.
    """
    generator = np.random.default_rng(seed)
    for number in range(CHAINS):
        yield _Chain(generator, converts=number > 0).network()


class _Chain:
    """A network whose every layer reads the one before it."""

    def __init__(self, generator: np.random.Generator, converts: bool) -> None:
        """Draws the layers.

        Args:
            generator: of the sizes.
            converts: whether input and output are float32.
        """
        self._generator = generator
        self._shape = self._input_shape = self._sizes()
        self._layers: list[CompiledLayer] = []
        if converts:
            self._add(Quantize("float32"), self._shape)
        for _ in range(ROUNDS_OF_A_CHAIN):
            self._add_each()
        if converts:
            self._add(Dequantize("float32"), self._shape)

    def network(self) -> CompiledNetwork:
        """The chain with its full network alone."""
        steps = tuple(_step(index, layer) for index, layer in enumerate(self._layers))
        return CompiledNetwork(
            "chain",
            ElementType.INT8,
            self._input_shape,
            self._shape,
            tuple(self._layers),
            (CompiledExit("output", len(self._layers) - 1),),
            (CompiledSubnetwork("100%", 0, (), steps),),
        )

    def _add_each(self) -> None:
        height, width, channels = self._sizes()
        self._add(Resize((height, width)), (height, width, self._shape[2]))
        self._add_transpose()
        first = int(self._generator.integers(self._shape[2] - LEAST_SIZE + 1))
        kept = int(self._generator.integers(LEAST_SIZE, self._shape[2] - first + 1))
        self._add(Slice(first), (*self._shape[:2], kept))
        self._add_product(transpose_first=bool(self._generator.integers(2)))
        self._add(Mean(), (1, 1, self._shape[2]))
        self._add(Resize((height, channels)), (height, channels, self._shape[2]))

    def _add_transpose(self) -> None:
        rows, columns, channels = ORDERS[self._generator.integers(len(ORDERS))]
        shape = (self._shape[rows], self._shape[columns], self._shape[channels])
        self._add(Transpose((rows, columns, channels)), shape)

    def _add_product(self, transpose_first: bool) -> None:
        """Of each matrix and its transpose."""
        height, width, channels = self._shape
        size = channels if transpose_first else width
        self._add(BatchMatMul(transpose_first, not transpose_first), (height, size, size), inputs=2)

    def _add(self, operation: DeviceOperation, shape: Shape, inputs: int = 1) -> None:
        last = len(self._layers) - 1 if self._layers else INPUT
        name = f"{type(operation).__name__.lower()}_{len(self._layers)}"
        self._layers.append(CompiledLayer(name, operation, "none", (last,) * inputs, self._shape, shape, 0, None))
        self._shape = shape

    def _sizes(self) -> Shape:
        height, width, channels = (int(size) for size in self._generator.integers(LEAST_SIZE, LARGEST_SIZE + 1, 3))
        return height, width, channels


def _step(index: int, layer: CompiledLayer) -> CompiledStep:
    reads_float, writes_float = (isinstance(layer.operation, kind) for kind in (Quantize, Dequantize))
    sources = () if reads_float else (_EVERYWHERE,) * len(layer.inputs)
    target = None if writes_float else _EVERYWHERE
    return CompiledStep(index, layer.input_shape[2], layer.output_shape[2], sources, target, None, None)
