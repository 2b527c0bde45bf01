"""The small networks that make class scores of a tapped map, as Keras models."""

from collections.abc import Callable, Iterator
from itertools import count
from typing import Literal, TypeAlias, cast, get_args

import keras
from keras import layers

from reds.errors import UsageError
from reds.graph import Conv2DTranspose, Graph, Shape, as_map
from reds.tracing import trace

HeadKind = Literal["auxiliary", "dense", "compact"]
Head: TypeAlias = "HeadKind | keras.Model | Callable[[Shape, int], keras.Model]"
"""A kind, a model, or a function from the tapped map's shape (height, width, channels) and the number of classes to a
model."""

AUXILIARY_CHANNELS = (32, 16)
"""Output channels of the two blocks of an auxiliary network."""

DENSE_UNITS = (64, 32)
"""Units of the hidden layers of a dense head."""

COMPACT_STRIDE_FROM = 4
"""Height and width from which a compact head looks at every second row and column only."""

COMPACT_CHANNELS = (8, 32)
"""The least and the most output channels of a compact head's first block; half of the map's lie between."""


def build_head(head: Head, name: str, shape: Shape, classes: int, function: str | None, seed: int) -> Graph:
    """A head for a map.

    Args:
        head: what to build.
        name: of the head; it begins the names of its layers.
        shape: of the map that it reads (height, width, channels).
        classes: how many scores it gives.
        function: what the network makes of its scores, and the head must make too: softmax, sigmoid, tanh or None.
        seed: of its initial weights (Glorot uniform); a model of one's own keeps those it has.

    Returns:
        The head as a network of its own.

    Raises:
        UsageError: if a kind is unknown, or a model of one's own does not fit the map, the classes or the function, or
            has layers that are not supported in a head.
    """
    if isinstance(head, keras.Model):
        return _own(head, name, shape, classes, function)
    if not isinstance(head, str):
        built = head(shape, classes)
        if not isinstance(built, keras.Model):
            raise UsageError(f"`head` must return a `keras.Model`. Received: {type(built).__name__}")
        return _own(built, name, shape, classes, function)
    if head not in get_args(HeadKind):
        raise UsageError(
            f"`head` must be one of {', '.join(get_args(HeadKind))}, a `keras.Model`, or a function that returns one. "
            f"Received: head={head!r}"
        )
    kind = cast(HeadKind, head)
    builder = _Builder(name, count(seed))
    source = layers.Input(shape[2:] if shape[:2] == (1, 1) else shape)
    output = builder.dense(_features(builder, source, kind, shape), classes, "classes")
    if function is not None:
        output = layers.Activation(function, name=f"{name}_{function}")(output)
    return trace(keras.Model(source, output, name=name))


def function_of_scores(graph: Graph) -> str | None:
    """What a network makes of its class scores: softmax, sigmoid, tanh or nothing."""
    function = getattr(graph.nodes[-1].operation, "function", None)
    return function if function in ("softmax", "sigmoid", "tanh") else None


class _Builder:
    """Makes layers with names of their own and weights from a row of seeds."""

    def __init__(self, name: str, seeds: Iterator[int]) -> None:
        self._name = name
        self._seeds = seeds

    def dense(self, x: keras.KerasTensor, units: int, part: str) -> keras.KerasTensor:
        """A dense layer without activation."""
        return layers.Dense(units, kernel_initializer=self._glorot(), name=f"{self._name}_{part}")(x)

    def activated_dense(self, x: keras.KerasTensor, units: int, number: int) -> keras.KerasTensor:
        """A hidden layer."""
        part = f"dense_{number}"
        return layers.ReLU(name=f"{self._name}_{part}_relu")(self.dense(x, units, part))

    def separable_block(self, x: keras.KerasTensor, channels: int, number: int, stride: int = 1) -> keras.KerasTensor:
        """A depthwise convolution of 3 x 3 and a pointwise one."""
        depthwise = layers.DepthwiseConv2D(
            3,
            strides=stride,
            padding="same",
            depthwise_initializer=self._glorot(),
            name=f"{self._name}_depthwise_{number}",
        )
        pointwise = layers.Conv2D(
            channels, 1, kernel_initializer=self._glorot(), name=f"{self._name}_pointwise_{number}"
        )
        for layer in (depthwise, pointwise):
            x = layers.BatchNormalization(name=f"{layer.name}_batch_norm")(layer(x))
            x = layers.ReLU(name=f"{layer.name}_relu")(x)
        return x

    def pool(self, x: keras.KerasTensor) -> keras.KerasTensor:
        """The average over the whole map."""
        return layers.GlobalAveragePooling2D(name=f"{self._name}_pool")(x)

    def _glorot(self) -> keras.initializers.Initializer:
        return keras.initializers.GlorotUniform(next(self._seeds))


def _features(builder: _Builder, x: keras.KerasTensor, kind: HeadKind, shape: Shape) -> keras.KerasTensor:
    """What the classes are told from. A vector has no neighbours to look at, so every head of one is dense."""
    height, width, channels = shape
    if (height, width) == (1, 1) or kind == "dense":
        x = x if (height, width) == (1, 1) else builder.pool(x)
        units = (min(DENSE_UNITS[1], channels),) if kind == "compact" else DENSE_UNITS
        for number, size in enumerate(units, start=1):
            x = builder.activated_dense(x, size, number)
        return x
    if kind == "auxiliary":
        # De Leon and Atienza, "Depth pruning with auxiliary networks for tinyML", 2022.
        for number, size in enumerate(AUXILIARY_CHANNELS, start=1):
            x = builder.separable_block(x, size, number)
        return builder.pool(x)
    least, most = COMPACT_CHANNELS
    first = min(max(least, channels // 2 // 4 * 4), most)
    stride = 2 if min(height, width) >= COMPACT_STRIDE_FROM else 1
    x = builder.separable_block(x, first, 1, stride)
    return builder.pool(builder.separable_block(x, first // 2, 2))


def _own(model: keras.Model, name: str, shape: Shape, classes: int, function: str | None) -> Graph:
    """A user's model as a head, after a look whether it fits."""
    graph = trace(model)
    if as_map(graph.input_shape) != shape:
        raise UsageError(f"`head` of '{name}' must read a map of shape {shape}. Received: {graph.input_shape}")
    if graph.output_shape != (classes,):
        raise UsageError(f"`head` of '{name}' must give {classes} class scores. Received: {graph.output_shape}")
    if function_of_scores(graph) != function:
        raise UsageError(
            f"`head` of '{name}' must end with {function or 'no function'}, as the network does. "
            f"Received: {function_of_scores(graph) or 'no function'}"
        )
    for node in graph.nodes:
        if isinstance(node.operation, Conv2DTranspose):
            raise UsageError(
                f"`head` of '{name}' must not have transposed convolutions, with which TFLite Micro cannot load a "
                f"second subgraph. Received: '{node.name}'"
            )
    return graph
