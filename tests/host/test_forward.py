"""The forward pass over a graph equals Keras, at full width and at every narrower one."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers

from reds.forward import activations, forward, forward_with_moments, predict
from reds.graph import (
    INPUT,
    Activation,
    BatchNormalization,
    ChannelGroup,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    Graph,
    Node,
    Operation,
    Pool2D,
)

TOLERANCE = {"rtol": 1e-5, "atol": 1e-5}
CONV, DEPTHWISE, POINTWISE = 0, 1, 2  # Channel groups of `_convolutional` in order of their layers.


def _graph(model: keras.Model, operations: dict[str, tuple[Operation, int | None, int | None]]) -> Graph:
    """Pairs the layers of a sequential model with the operations and channel groups that they are."""
    nodes = []
    sizes: dict[int, ChannelGroup] = {}
    for index, (name, (operation, input_group, output_group)) in enumerate(operations.items()):
        layer = model.get_layer(name)
        shape = tuple(layer.output.shape[1:])
        shape = shape if len(shape) == 3 else (1, 1, shape[0])
        weights = {variable.name: variable.numpy() for variable in layer.weights}
        nodes.append(
            Node(name, operation, (INPUT if index == 0 else index - 1,), shape, input_group, output_group, weights)
        )
        if output_group is not None:
            sizes.setdefault(output_group, ChannelGroup(name, shape[2]))
    return Graph(
        "network",
        tuple(model.input_shape[1:]),
        tuple(model.output_shape[1:]),
        tuple(nodes),
        tuple(sizes[group] for group in sorted(sizes)),
    )


def _randomize(model: keras.Model) -> keras.Model:
    """Gives every weight a value of its own, variances a positive one."""
    generator = np.random.default_rng(0)
    for variable in model.weights:
        lowest = 0.5 if variable.name == "moving_variance" else -0.6
        variable.assign(generator.uniform(lowest, 1.0, variable.shape))
    return model


def _convolutional(widths: tuple[int, int] = (8, 6)) -> tuple[keras.Model, Graph]:
    first, second = widths
    model = keras.Sequential(
        [
            layers.Input((9, 8, 2)),
            layers.Conv2D(first, (4, 3), strides=(2, 1), padding="same", name="conv"),
            layers.BatchNormalization(name="conv_bn"),
            layers.ReLU(name="conv_relu"),
            layers.DepthwiseConv2D(3, padding="same", name="dw"),
            layers.BatchNormalization(name="dw_bn"),
            layers.ReLU(6, name="dw_relu"),
            layers.AveragePooling2D(2, padding="same", name="mean"),
            layers.Conv2D(second, 1, use_bias=False, name="pw"),
            layers.MaxPooling2D(2, strides=1, name="max"),
            layers.AveragePooling2D((2, 3), name="pool"),
            layers.Flatten(),
            layers.Dense(3, name="classes"),
            layers.Softmax(name="softmax"),
        ]
    )
    graph = _graph(
        _randomize(model),
        {
            "conv": (Conv2D((4, 3), (2, 1), "same"), None, 0),
            "conv_bn": (BatchNormalization(1e-3), 0, 0),
            "conv_relu": (Activation("relu"), 0, 0),
            "dw": (DepthwiseConv2D((3, 3), padding="same"), 0, 0),
            "dw_bn": (BatchNormalization(1e-3), 0, 0),
            "dw_relu": (Activation("relu6"), 0, 0),
            "mean": (Pool2D("average", (2, 2), (2, 2), "same"), 0, 0),
            "pw": (Conv2D((1, 1)), 0, 1),
            "max": (Pool2D("max", (2, 2), (1, 1)), 1, 1),
            "pool": (Pool2D("average", (2, 3), (2, 3)), 1, 1),
            "classes": (Dense(), 1, None),
            "softmax": (Activation("softmax"), None, None),
        },
    )
    return model, graph


def _perceptron() -> tuple[keras.Model, Graph]:
    model = keras.Sequential(
        [
            layers.Input((7,)),
            layers.Dense(5, name="hidden"),
            layers.ReLU(name="relu"),
            layers.Dense(4, name="classes"),
        ]
    )
    graph = _graph(
        _randomize(model),
        {
            "hidden": (Dense(), None, 0),
            "relu": (Activation("relu"), 0, 0),
            "classes": (Dense(), 0, None),
        },
    )
    return model, graph


def _batch(graph: Graph, size: int = 5) -> np.ndarray:
    return np.random.default_rng(1).normal(size=(size, *graph.input_shape)).astype(np.float32)


@pytest.mark.parametrize("build", [_convolutional, _perceptron])
def test_full_network_equals_keras(build) -> None:
    model, graph = build()
    x = _batch(graph)
    np.testing.assert_allclose(predict(graph, x, batch_size=2), model(x), **TOLERANCE)


def test_batch_statistics_equal_keras_in_training_mode() -> None:
    model, graph = _convolutional()
    x = _batch(graph)
    output, moments = forward_with_moments(graph, x)
    np.testing.assert_allclose(output, model(x, training=True), **TOLERANCE)
    before = activations(graph, x)["conv"]
    np.testing.assert_allclose(moments["conv_bn"].mean, np.mean(before, axis=(0, 1, 2)), **TOLERANCE)
    np.testing.assert_allclose(moments["conv_bn"].variance, np.var(before, axis=(0, 1, 2)), **TOLERANCE)
    assert set(moments) == {"conv_bn", "dw_bn"}


@settings(derandomize=True, deadline=None, max_examples=8)
@given(st.integers(1, 8), st.integers(1, 6))
def test_subnetwork_equals_keras_model_with_sliced_weights(first: int, second: int) -> None:
    full, graph = _convolutional()
    narrow, _ = _convolutional((first, second))
    for wide, thin in zip(full.weights, narrow.weights, strict=True):
        thin.assign(wide.numpy()[tuple(slice(length) for length in thin.shape)])
    x = _batch(graph)
    np.testing.assert_allclose(forward(graph, x, widths=(first, second)), narrow(x), **TOLERANCE)


def test_given_weights_and_batch_norm_take_the_place_of_the_graphs_own() -> None:
    _, graph = _convolutional()
    x = _batch(graph)
    weights = {
        node.name: {name: keras.Variable(2 * value) for name, value in node.weights.items()} for node in graph.nodes
    }
    identity = {"gamma": 1, "beta": 0.5, "moving_mean": 0, "moving_variance": 1 - 1e-3}
    batch_norm = {"conv_bn": {name: np.full(3, value, np.float32) for name, value in identity.items()}}
    maps = activations(graph, x, weights, (3, 2), batch_norm, until=1)
    single = forward(graph, x, widths=(3, 2), until=0)
    np.testing.assert_allclose(maps["conv"], 2 * np.asarray(single), **TOLERANCE)
    np.testing.assert_allclose(maps["conv_bn"], np.asarray(maps["conv"]) + 0.5, **TOLERANCE)


def test_until_and_stop_before_softmax() -> None:
    model, graph = _convolutional()
    x = _batch(graph)
    logits = forward(graph, x, stop_before_softmax=True)
    np.testing.assert_allclose(keras.ops.softmax(logits), model(x), **TOLERANCE)
    assert forward(graph, x, widths=(4, 6), until=2).shape == (5, 5, 8, 4)


def test_maps_with_fewer_channels_use_the_first_input_channels() -> None:
    _, graph = _convolutional()
    x = _batch(graph)
    x[..., 1] = 0
    np.testing.assert_allclose(forward(graph, x[..., :1]), forward(graph, x), **TOLERANCE)
