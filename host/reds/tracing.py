"""Reads a Keras model: layers become operations, and channels that must move together become groups."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import keras
import numpy as np

from reds.errors import UsageError
from reds.graph import (
    INPUT,
    Activation,
    Add,
    Array,
    BatchNormalization,
    Concatenate,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    Graph,
    Node,
    Operation,
    Padding,
    Pool2D,
    Shape,
    as_map,
)
from reds.grouping import MAKES_CHANNELS, with_groups
from reds.schema import conventions
from reds.walking import calls, shape_of

ActivationName = Literal["linear", "relu", "relu6", "softmax"]

_ACTIVATIONS: Mapping[Any, ActivationName] = {
    keras.activations.linear: "linear",
    keras.activations.relu: "relu",
    keras.activations.relu6: "relu6",
    keras.activations.softmax: "softmax",
}


@dataclass(frozen=True)
class Requirement:
    """Something a layer must fulfil to be supported."""

    text: str
    """Completes the sentence "it needs ..."."""
    holds: Callable[[Any], bool]
    """Whether a given layer fulfils it."""


@dataclass(frozen=True)
class SupportedLayer:
    """How a type of Keras layer is traced."""

    requirements: tuple[Requirement, ...]
    append: Callable[["_Tracer", Any, str], None]
    """Appends the layer's nodes to a tracer under a name."""
    note: str = ""
    """What its use means for the subnetworks."""


def trace(model: keras.Model) -> Graph:
    """Reads a network of supported layers into a graph.

    Nested models are flattened, their layers named `submodel/layer`. An `activation=` argument becomes a
    node `layer/activation`. An `Add` of more than two becomes sums of two. Dropout disappears. A `Dense` after
    a `Flatten` becomes a valid convolution over the whole map, and a `Dense` on a map a 1 x 1 convolution, so
    that every value keeps its place (h, w, c) when the map is narrowed.

    Args:
        model: a built Sequential or functional model with one output and one input, (channels,) or
            (height, width, channels) without the batch. `SUPPORTED_LAYERS` lists the layers it may hold.

    Returns:
        The graph, with the weights as float32. The channels of the last convolution or dense layer, and of
        what follows it, are the model's outputs and belong to no group.

    Raises:
        UsageError: if the model is not made of supported layers; the sentence names the layer.
    """
    input_shape, output_shape = shape_of(model, "inputs"), shape_of(model, "outputs")
    tracer = _Tracer()
    values = {INPUT: _Value(INPUT, as_map(input_shape))}
    for index, call in enumerate(calls(model)):
        tracer.values = tuple(values[source] for source in call.inputs)
        _append_layer(tracer, call.name, call.layer)
        values[index] = tracer.values[0]
    if not any(isinstance(node.operation, MAKES_CHANNELS) for node in tracer.nodes):
        raise UsageError(f"`model` must have a convolution or a dense layer. Received: model '{model.name}' without.")
    for node in tracer.nodes:
        if not all(np.isfinite(values).all() for values in node.weights.values()):
            raise UsageError(f"Layer '{node.name}' has weights that are NaN or infinite; train the model again.")
    nodes, groups = with_groups(tracer.nodes)
    graph = Graph(model.name, input_shape, output_shape, nodes, groups)
    _check_batch_normalizations(graph)
    return graph


@dataclass(frozen=True)
class _Value:
    """What a layer made."""

    node: int
    """The node whose output it is, or INPUT."""
    shape: Shape
    flattened: bool = False
    """Whether the model sees the map as a vector of more than its channels."""


class _Tracer:
    """Appends nodes and follows the values that they make."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.values: tuple[_Value, ...] = ()
        """What the next node takes: a layer's inputs at first, then what the layer's last node made."""

    @property
    def shape(self) -> Shape:
        """Shape of the first value."""
        return self.values[0].shape

    @property
    def flattened(self) -> bool:
        """Whether the model sees the first value as a vector of more than its channels."""
        return self.values[0].flattened

    def append(self, name: str, operation: Operation, shape: Shape, weights: Mapping[str, Array]) -> None:
        """Appends a node that takes the values; its channel groups are found later."""
        inputs = tuple(value.node for value in self.values)
        self.nodes.append(Node(name, operation, inputs, shape, None, None, weights))
        self.values = (_Value(len(self.nodes) - 1, shape, self.flattened),)

    def flatten(self) -> None:
        """Makes the map a vector for the model; the map itself stays."""
        self.values = (replace(self.values[0], flattened=self.shape[:2] != (1, 1)),)

    def unflatten(self) -> None:
        """Ends the effect of `flatten`."""
        self.values = (replace(self.values[0], flattened=False),)

    def append_activation(self, layer: Any, name: str, function: ActivationName) -> None:
        """Appends an elementwise function or a softmax over the channels."""
        if function == "linear":
            return
        if function == "softmax" and self.flattened:
            raise _unsupported(layer, f"it takes a softmax over a flattened map {self.shape}")
        self.append(name, Activation(function), self.shape, {})


def _append_layer(tracer: _Tracer, name: str, layer: Any) -> None:
    supported = SUPPORTED_LAYERS.get(type(layer))
    if not isinstance(layer, keras.Layer):
        raise _unsupported(layer, "it is an operation outside of a layer; for a + b write keras.layers.Add()([a, b])")
    if supported is None:
        raise _unsupported(layer, "no operation stands for it")
    for requirement in supported.requirements:
        if not requirement.holds(layer):
            raise _unsupported(layer, f"it needs {requirement.text}")
    for value in tracer.values:
        if value.flattened and type(layer) not in _ALLOWED_AFTER_FLATTEN:
            raise _unsupported(
                layer, f"it follows a Flatten of a map {value.shape}, which only a Dense may take as its input"
            )
    supported.append(tracer, layer, name)


def _unsupported(layer: Any, reason: str) -> UsageError:
    names = ", ".join(sorted(supported.__name__ for supported in SUPPORTED_LAYERS))
    return UsageError(
        f"Layer '{layer.name}' ({type(layer).__name__}) is not supported: {reason}; "
        f"supported are {names}. Replace the layer and train the model again."
    )


def _append_convolution(tracer: _Tracer, layer: Any, name: str) -> None:
    operation = Conv2D(layer.kernel_size, layer.strides, layer.padding, layer.dilation_rate)
    shape = _window_shape(
        tracer.shape, layer.kernel_size, layer.strides, layer.padding, layer.dilation_rate, layer.filters
    )
    tracer.append(name, operation, shape, _kernel_and_bias(layer.kernel, layer.bias))
    _append_argument(tracer, layer, name)


def _append_depthwise(tracer: _Tracer, layer: Any, name: str) -> None:
    _append_depthwise_node(tracer, layer, name, _kernel_and_bias(layer.kernel, layer.bias))
    _append_argument(tracer, layer, name)


def _append_separable(tracer: _Tracer, layer: Any, name: str) -> None:
    _append_depthwise_node(tracer, layer, f"{name}/depthwise", _kernel_and_bias(layer.depthwise_kernel, None))
    shape = (*tracer.shape[:2], layer.filters)
    weights = _kernel_and_bias(layer.pointwise_kernel, layer.bias)
    tracer.append(f"{name}/pointwise", Conv2D((1, 1)), shape, weights)
    _append_argument(tracer, layer, name)


def _append_depthwise_node(tracer: _Tracer, layer: Any, name: str, weights: Mapping[str, Array]) -> None:
    operation = DepthwiseConv2D(layer.kernel_size, layer.strides, layer.padding, layer.dilation_rate)
    channels = tracer.shape[2]
    shape = _window_shape(tracer.shape, layer.kernel_size, layer.strides, layer.padding, layer.dilation_rate, channels)
    tracer.append(name, operation, shape, weights)


def _append_dense(tracer: _Tracer, layer: Any, name: str) -> None:
    height, width, channels = tracer.shape
    weights = _kernel_and_bias(layer.kernel, layer.bias)
    if (height, width) == (1, 1):
        tracer.append(name, Dense(), (1, 1, layer.units), weights)
    else:
        window = (height, width) if tracer.flattened else (1, 1)
        kernel = weights["kernel"].reshape(*window, channels, layer.units)
        shape = _window_shape(tracer.shape, window, (1, 1), "valid", (1, 1), layer.units)
        tracer.append(name, Conv2D(window), shape, {**weights, "kernel": kernel})
    tracer.unflatten()
    _append_argument(tracer, layer, name)


def _append_batch_normalization(tracer: _Tracer, layer: Any, name: str) -> None:
    source = tracer.values[0].node
    if source == INPUT or not isinstance(tracer.nodes[source].operation, Conv2D | DepthwiseConv2D | Dense):
        raise _unsupported(layer, "it must directly follow a convolution or dense layer whose activation is linear")
    channels = tracer.shape[2]
    weights = {
        "gamma": _array(layer.gamma) if layer.scale else np.ones(channels, np.float32),
        "beta": _array(layer.beta) if layer.center else np.zeros(channels, np.float32),
        "moving_mean": _array(layer.moving_mean),
        "moving_variance": _array(layer.moving_variance),
    }
    tracer.append(name, BatchNormalization(float(layer.epsilon)), tracer.shape, weights)


def _append_relu(tracer: _Tracer, layer: Any, name: str) -> None:
    tracer.append_activation(layer, name, "relu" if layer.max_value is None else "relu6")


def _append_softmax(tracer: _Tracer, layer: Any, name: str) -> None:
    tracer.append_activation(layer, name, "softmax")


def _append_activation_layer(tracer: _Tracer, layer: Any, name: str) -> None:
    tracer.append_activation(layer, name, _ACTIVATIONS[layer.activation])


def _append_argument(tracer: _Tracer, layer: Any, name: str) -> None:
    function = _ACTIVATIONS[layer.activation]
    tracer.append_activation(layer, f"{name}/{function}", function)


def _append_pool(kind: Literal["average", "max"]) -> Callable[[_Tracer, Any, str], None]:
    def append(tracer: _Tracer, layer: Any, name: str) -> None:
        operation = Pool2D(kind, layer.pool_size, layer.strides, layer.padding)
        channels = tracer.shape[2]
        shape = _window_shape(tracer.shape, layer.pool_size, layer.strides, layer.padding, (1, 1), channels)
        tracer.append(name, operation, shape, {})

    return append


def _append_global_pool(kind: Literal["average", "max"]) -> Callable[[_Tracer, Any, str], None]:
    def append(tracer: _Tracer, layer: Any, name: str) -> None:
        height, width, channels = tracer.shape
        tracer.append(name, Pool2D(kind, (height, width), (height, width)), (1, 1, channels), {})

    return append


def _append_flatten(tracer: _Tracer, layer: Any, name: str) -> None:
    tracer.flatten()


def _append_add(tracer: _Tracer, layer: Any, name: str) -> None:
    total, *others = tracer.values
    for number, value in enumerate(others, start=1):
        tracer.values = (total, value)
        tracer.append(name if number == len(others) else f"{name}/{number}", Add(), value.shape, {})
        total = tracer.values[0]


def _append_concatenate(tracer: _Tracer, layer: Any, name: str) -> None:
    height, width, _ = tracer.shape
    if len(tracer.values) > 1:
        tracer.append(name, Concatenate(), (height, width, sum(value.shape[2] for value in tracer.values)), {})


def _append_nothing(tracer: _Tracer, layer: Any, name: str) -> None:
    """For layers that only act during training."""


def _kernel_and_bias(kernel: Any, bias: Any) -> dict[str, Array]:
    weights = {"kernel": _array(kernel)}
    if bias is not None:
        weights["bias"] = _array(bias)
    return weights


def _array(variable: Any) -> Array:
    return np.array(keras.ops.convert_to_numpy(variable), np.float32)


def _window_shape(
    shape: Shape,
    window: tuple[int, int],
    strides: tuple[int, int],
    padding: Padding,
    dilation: tuple[int, int],
    channels: int,
) -> Shape:
    """Shape of what a sliding window makes of a map."""
    height, width = (
        math.ceil((size - (0 if padding == "same" else (extent - 1) * rate)) / stride)
        for size, extent, stride, rate in zip(shape[:2], window, strides, dilation, strict=True)
    )
    return (height, width, channels)


def _check_batch_normalizations(graph: Graph) -> None:
    readers = graph.readers()
    for node in graph.nodes:
        if isinstance(node.operation, BatchNormalization) and readers[node.input] > 1:
            raise UsageError(
                f"Layer '{node.name}' (BatchNormalization) is not supported: it cannot be folded into "
                f"'{graph.nodes[node.input].name}', whose output another layer reads too. Let that layer read "
                f"'{node.name}' and train the model again."
            )


def _input_shapes(layer: Any) -> list[tuple[int | None, ...]]:
    return [tuple(tensor.shape) for tensor in layer._inbound_nodes[0].input_tensors]


def _input_rank(layer: Any) -> int:
    return len(_input_shapes(layer)[0])


_CHANNELS_LAST = Requirement("data_format='channels_last'", lambda layer: layer.data_format == "channels_last")
_PADDING = Requirement("padding 'valid' or 'same'", lambda layer: layer.padding in ("valid", "same"))
_ACTIVATION = Requirement(
    "an activation of linear, relu, relu6, softmax",
    lambda layer: layer.activation in _ACTIVATIONS,
)
_ONE_GROUP = Requirement("groups=1", lambda layer: layer.groups == 1)
_ONE_FILTER_PER_CHANNEL = Requirement("depth_multiplier=1", lambda layer: layer.depth_multiplier == 1)
_PLAIN_RELU = Requirement(
    "max_value None or 6, negative_slope 0 and threshold 0",
    lambda layer: layer.max_value in (None, 6) and not layer.negative_slope and not layer.threshold,
)
_CHANNEL_AXIS = Requirement("axis=-1", lambda layer: layer.axis in (-1, _input_rank(layer) - 1))
_ONE_SHAPE = Requirement("inputs of one shape", lambda layer: len(set(_input_shapes(layer))) == 1)
_FEW_INPUTS = Requirement(
    f"up to {conventions.MAXIMUM_CONCATENATION_INPUTS} inputs",
    lambda layer: len(_input_shapes(layer)) <= conventions.MAXIMUM_CONCATENATION_INPUTS,
)
_WINDOW = (_CHANNELS_LAST, _PADDING)

SUPPORTED_LAYERS: Mapping[type[keras.layers.Layer], SupportedLayer] = {
    keras.layers.InputLayer: SupportedLayer((), _append_nothing),
    keras.layers.Conv2D: SupportedLayer((*_WINDOW, _ONE_GROUP, _ACTIVATION), _append_convolution),
    keras.layers.DepthwiseConv2D: SupportedLayer((*_WINDOW, _ONE_FILTER_PER_CHANNEL, _ACTIVATION), _append_depthwise),
    keras.layers.SeparableConv2D: SupportedLayer((*_WINDOW, _ONE_FILTER_PER_CHANNEL, _ACTIVATION), _append_separable),
    keras.layers.Dense: SupportedLayer((_ACTIVATION,), _append_dense),
    keras.layers.BatchNormalization: SupportedLayer((_CHANNEL_AXIS,), _append_batch_normalization),
    keras.layers.ReLU: SupportedLayer((_PLAIN_RELU,), _append_relu),
    keras.layers.Softmax: SupportedLayer((_CHANNEL_AXIS,), _append_softmax),
    keras.layers.Activation: SupportedLayer((_ACTIVATION,), _append_activation_layer),
    keras.layers.Add: SupportedLayer((_ONE_SHAPE,), _append_add, "all that it adds is narrowed alike"),
    keras.layers.Concatenate: SupportedLayer(
        (_CHANNEL_AXIS, _FEW_INPUTS),
        _append_concatenate,
        "what it joins keeps all channels: a narrower input would move those behind it",
    ),
    keras.layers.AveragePooling2D: SupportedLayer(_WINDOW, _append_pool("average")),
    keras.layers.MaxPooling2D: SupportedLayer(_WINDOW, _append_pool("max")),
    keras.layers.GlobalAveragePooling2D: SupportedLayer((_CHANNELS_LAST,), _append_global_pool("average")),
    keras.layers.GlobalMaxPooling2D: SupportedLayer((_CHANNELS_LAST,), _append_global_pool("max")),
    keras.layers.Flatten: SupportedLayer((_CHANNELS_LAST,), _append_flatten),
    keras.layers.Dropout: SupportedLayer((), _append_nothing),
    keras.layers.SpatialDropout2D: SupportedLayer((), _append_nothing),
}
"""Every Keras layer that `trace` takes, with what it requires of it."""

_ALLOWED_AFTER_FLATTEN = (
    keras.layers.Dense,
    keras.layers.Dropout,
    keras.layers.Flatten,
    keras.layers.ReLU,
    keras.layers.Activation,
    keras.layers.Softmax,
)
