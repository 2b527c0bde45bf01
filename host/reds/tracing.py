"""Reads a Keras model: layers become operations, and channels that must move together become groups."""

import math
from collections.abc import Callable, Mapping, Sequence
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
    Conv2DTranspose,
    Crop,
    Dense,
    DepthwiseConv2D,
    Graph,
    Multiply,
    Node,
    Operation,
    Pad,
    Padding,
    Pool2D,
    PRelu,
    Shape,
    Subtract,
    Upsample,
    as_map,
)
from reds.grouping import MAKES_CHANNELS, with_groups
from reds.normalizing import with_foldable_normalizations
from reds.padding import absorb_padding, window_positions
from reds.plan import LARGEST_UPSAMPLING
from reds.schema import conventions
from reds.walking import calls, shape_of

DEFAULT_LEAKY_RELU_SLOPE = 0.2
"""Of `keras.activations.leaky_relu`."""

_ACTIVATIONS: Mapping[Any, Activation | None] = {
    keras.activations.linear: None,
    keras.activations.relu: Activation("relu"),
    keras.activations.relu6: Activation("relu6"),
    keras.activations.leaky_relu: Activation("leaky_relu", DEFAULT_LEAKY_RELU_SLOPE),
    keras.activations.sigmoid: Activation("sigmoid"),
    keras.activations.tanh: Activation("tanh"),
    keras.activations.hard_swish: Activation("hard_swish"),
    keras.activations.softmax: Activation("softmax"),
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
    node `layer/activation`. An `Add` or `Multiply` of more than two becomes several of two. Layers that only act during
    training disappear. A `Dense` after a `Flatten` becomes a valid convolution over the whole map, and a `Dense` on a
    map a 1 x 1 convolution, so that every value keeps its place (h, w, c) when the map is narrowed. A `Rescaling`
    becomes a 1 x 1 depthwise convolution with its scale as kernel and its offset as bias. A `BatchNormalization` that
    no convolution or dense layer can take in follows a 1 x 1 depthwise convolution of ones, `layer/ones`. A
    `ZeroPadding2D` becomes the padding of the convolution behind it where the two are what "same" padding does. A
    `Reshape` of the network's input says as which map it is read.

    Args:
        model: a built Sequential or functional model with one output and one input, (channels,),
            (width, channels) or (height, width, channels) without the batch. `SUPPORTED_LAYERS` lists the layers it
            may hold.

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
    reshaped_input = _reshaped_input(model, tracer, as_map(input_shape))
    input_map = reshaped_input or as_map(input_shape)
    nodes, groups = with_groups(with_foldable_normalizations(absorb_padding(tracer.nodes, input_map)))
    return Graph(model.name, input_shape, output_shape, nodes, groups, reshaped_input)


def _reshaped_input(model: keras.Model, tracer: "_Tracer", input_map: Shape) -> Shape | None:
    """The map as which all nodes read the network's input, where it is another one than its shape says."""
    maps = tracer.input_maps or {input_map}
    if len(maps) > 1:
        raise UsageError(
            f"`model` must read its input as a map of one shape. Received: model '{model.name}', which reads it as "
            f"{' and '.join(map(str, sorted(maps)))}; let all layers read the same Reshape."
        )
    (shape,) = maps
    return None if shape == input_map else shape


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
        self.input_maps: set[Shape] = set()
        """The shapes of map as which nodes read the network's input."""

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
        self.input_maps.update(value.shape for value in self.values if value.node == INPUT)
        self.nodes.append(Node(name, operation, inputs, shape, None, None, weights))
        self.values = (_Value(len(self.nodes) - 1, shape, self.flattened),)

    def flatten(self) -> None:
        """Makes the map a vector for the model; the map itself stays."""
        self.values = (replace(self.values[0], flattened=self.shape[:2] != (1, 1)),)

    def unflatten(self) -> None:
        """Ends the effect of `flatten`."""
        self.values = (replace(self.values[0], flattened=False),)

    def read_input_as(self, shape: Shape) -> None:
        """Takes the network's input as another map of as many elements."""
        self.values = (_Value(INPUT, shape),)

    def append_activation(self, layer: Any, name: str, activation: Activation) -> None:
        """Appends an elementwise function or a softmax over the channels."""
        if activation.function == "softmax" and self.flattened:
            raise _unsupported(layer, f"it takes a softmax over a flattened map {self.shape}")
        self.append(name, activation, self.shape, {})


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
    operation = Conv2D(layer.kernel_size, layer.strides, layer.padding, layer.dilation_rate, layer.groups)
    shape = _window_shape(
        tracer.shape, layer.kernel_size, layer.strides, layer.padding, layer.dilation_rate, layer.filters
    )
    tracer.append(name, operation, shape, _kernel_and_bias(layer.kernel, layer.bias))
    _append_argument(tracer, layer, name)


def _append_transposed(tracer: _Tracer, layer: Any, name: str) -> None:
    operation = Conv2DTranspose(layer.kernel_size, layer.strides, layer.padding)
    height, width = (
        size * stride if layer.padding == "same" else (size - 1) * stride + max(taps, stride)
        for size, stride, taps in zip(tracer.shape, layer.strides, layer.kernel_size, strict=False)
    )
    weights = _kernel_and_bias(layer.kernel, layer.bias)
    weights["kernel"] = weights["kernel"].swapaxes(-1, -2)
    tracer.append(name, operation, (height, width, layer.filters), weights)
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
    channels = tracer.shape[2] * layer.depth_multiplier
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
    channels = tracer.shape[2]
    weights = {
        "gamma": _array(layer.gamma) if layer.scale else np.ones(channels, np.float32),
        "beta": _array(layer.beta) if layer.center else np.zeros(channels, np.float32),
        "moving_mean": _array(layer.moving_mean),
        "moving_variance": _array(layer.moving_variance),
    }
    tracer.append(name, BatchNormalization(float(layer.epsilon)), tracer.shape, weights)


def _append_relu(tracer: _Tracer, layer: Any, name: str) -> None:
    if layer.max_value is None:
        _append_leaky_relu(tracer, layer, name)
    else:
        tracer.append_activation(layer, name, Activation("relu6"))


def _append_leaky_relu(tracer: _Tracer, layer: Any, name: str) -> None:
    slope = float(layer.negative_slope)
    tracer.append_activation(layer, name, Activation("leaky_relu", slope) if slope else Activation("relu"))


def _append_prelu(tracer: _Tracer, layer: Any, name: str) -> None:
    tracer.append(name, PRelu(), tracer.shape, {"slope": _array(layer.alpha).reshape(-1)})


def _append_softmax(tracer: _Tracer, layer: Any, name: str) -> None:
    tracer.append_activation(layer, name, Activation("softmax"))


def _append_activation_layer(tracer: _Tracer, layer: Any, name: str) -> None:
    activation = _ACTIVATIONS[layer.activation]
    if activation is not None:
        tracer.append_activation(layer, name, activation)


def _append_argument(tracer: _Tracer, layer: Any, name: str) -> None:
    activation = _ACTIVATIONS[layer.activation]
    if activation is not None:
        tracer.append_activation(layer, f"{name}/{activation.function}", activation)


def _append_rescaling(tracer: _Tracer, layer: Any, name: str) -> None:
    channels = tracer.shape[2]
    scale, offset = (np.full(channels, values, np.float32) for values in (layer.scale, layer.offset))
    weights = {"kernel": scale.reshape(1, 1, channels, 1), "bias": offset}
    tracer.append(name, DepthwiseConv2D((1, 1)), tracer.shape, weights)


def _append_zero_padding(tracer: _Tracer, layer: Any, name: str) -> None:
    rows, columns = ((int(before), int(after)) for before, after in layer.padding)
    height, width, channels = tracer.shape
    tracer.append(name, Pad(rows, columns), (height + sum(rows), width + sum(columns), channels), {})


def _append_upsampling(tracer: _Tracer, layer: Any, name: str) -> None:
    size = (int(layer.size[0]), int(layer.size[1]))
    height, width, channels = tracer.shape
    tracer.append(name, Upsample(size), (height * size[0], width * size[1], channels), {})


def _append_cropping(tracer: _Tracer, layer: Any, name: str) -> None:
    rows, columns = ((int(before), int(after)) for before, after in layer.cropping)
    height, width, channels = tracer.shape
    tracer.append(name, Crop(rows, columns), (height - sum(rows), width - sum(columns), channels), {})


def _append_reshape(tracer: _Tracer, layer: Any, name: str) -> None:
    shape = _target_shape(layer.target_shape, math.prod(tracer.shape))
    if shape == tracer.shape:
        tracer.unflatten()
    elif tracer.values[0].node == INPUT and len(shape) in (2, 3):
        tracer.read_input_as(as_map(shape))
    elif len(shape) == 1:
        tracer.flatten()
    else:
        raise _unsupported(
            layer,
            f"it makes {shape} of a map {tracer.shape}; a reshape must flatten, undo a Flatten, or stand at the "
            "network's input and make a map of it",
        )


def _target_shape(shape: tuple[int, ...], elements: int) -> tuple[int, ...]:
    """The shape with its -1 replaced."""
    known = math.prod(size for size in shape if size != -1)
    return tuple(elements // known if size == -1 else int(size) for size in shape)


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


def _append_all(operation: type[Add] | type[Multiply]) -> Callable[[_Tracer, Any, str], None]:
    """Appends operations on two for all inputs, whose order does not matter: whole maps come first."""

    def append(tracer: _Tracer, layer: Any, name: str) -> None:
        total, *others = sorted(tracer.values, key=lambda value: -math.prod(value.shape))
        for number, value in enumerate(others, start=1):
            tracer.values = (total, value)
            spread = value.shape != total.shape
            own = name if number == len(others) else f"{name}/{number}"
            tracer.append(own, operation(spread), total.shape, {})
            total = tracer.values[0]

    return append


def _append_subtract(tracer: _Tracer, layer: Any, name: str) -> None:
    first, second = tracer.values
    tracer.append(name, Subtract(first.shape != second.shape), first.shape, {})


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
        window_positions(size, taps, stride, rate, padding).count
        for size, taps, stride, rate in zip(shape[:2], window, strides, dilation, strict=True)
    )
    return (height, width, channels)


def _input_shapes(layer: Any) -> list[tuple[int | None, ...]]:
    return [tuple(tensor.shape) for tensor in layer._inbound_nodes[0].input_tensors]


def _input_maps(layer: Any) -> list[Shape]:
    return [as_map(tuple(int(size or 0) for size in shape[1:])) for shape in _input_shapes(layer)]


def _fits(maps: Sequence[Shape]) -> bool:
    """Whether all maps have the shape of the largest, or one position with its channels."""
    largest = max(maps, key=math.prod)
    return all(shape in (largest, (1, 1, largest[2])) for shape in maps)


def _input_rank(layer: Any) -> int:
    return len(_input_shapes(layer)[0])


_CHANNELS_LAST = Requirement("data_format='channels_last'", lambda layer: layer.data_format == "channels_last")
_PADDING = Requirement("padding 'valid' or 'same'", lambda layer: layer.padding in ("valid", "same"))
_ACTIVATION = Requirement(
    "an activation of linear, relu, relu6, leaky_relu, sigmoid, tanh, hard_swish, softmax",
    lambda layer: layer.activation in _ACTIVATIONS,
)
_UNDILATED = Requirement(
    "output_padding=None, dilation_rate=1",
    lambda layer: layer.output_padding is None and set(layer.dilation_rate) == {1},
)
_PLAIN_RELU = Requirement(
    "threshold 0 and max_value None, or 6 with negative_slope 0",
    lambda layer: not layer.threshold and layer.max_value in ((None,) if layer.negative_slope else (None, 6)),
)
_SLOPE_PER_CHANNEL = Requirement(
    "a slope per channel, as shared_axes=[1, 2] gives it on maps",
    lambda layer: math.prod(layer.alpha.shape) == layer.alpha.shape[-1],
)
_CHANNEL_AXIS = Requirement("axis=-1", lambda layer: layer.axis in (-1, _input_rank(layer) - 1))
_ONE_SHAPE = Requirement(
    "inputs of one shape, some of which may have one position for all", lambda layer: _fits(_input_maps(layer))
)
_FIRST_WHOLE = Requirement(
    "inputs of one shape, the second of which may have one position for all",
    lambda layer: _fits(_input_maps(layer)) and _input_maps(layer)[0] == max(_input_maps(layer), key=math.prod),
)
_FEW_INPUTS = Requirement(
    f"up to {conventions.MAXIMUM_CONCATENATION_INPUTS} inputs",
    lambda layer: len(_input_shapes(layer)) <= conventions.MAXIMUM_CONCATENATION_INPUTS,
)
_NEAREST = Requirement(
    f"interpolation 'nearest', size up to {LARGEST_UPSAMPLING}",
    lambda layer: layer.interpolation == "nearest" and max(layer.size) <= LARGEST_UPSAMPLING,
)
_WINDOW = (_CHANNELS_LAST, _PADDING)
_GROUPED = "with groups above 1, its input and its output keep all channels: their groups are fixed"
_MULTIPLIED = "with a depth_multiplier above 1, its input and its depthwise output keep all channels"

_ONLY_IN_TRAINING = (
    keras.layers.ActivityRegularization,
    keras.layers.AlphaDropout,
    keras.layers.Dropout,
    keras.layers.GaussianDropout,
    keras.layers.GaussianNoise,
    keras.layers.SpatialDropout2D,
)

SUPPORTED_LAYERS: Mapping[type[keras.layers.Layer], SupportedLayer] = {
    keras.layers.InputLayer: SupportedLayer((), _append_nothing),
    keras.layers.Conv2D: SupportedLayer((*_WINDOW, _ACTIVATION), _append_convolution, _GROUPED),
    keras.layers.Conv2DTranspose: SupportedLayer((*_WINDOW, _UNDILATED, _ACTIVATION), _append_transposed),
    keras.layers.DepthwiseConv2D: SupportedLayer((*_WINDOW, _ACTIVATION), _append_depthwise, _MULTIPLIED),
    keras.layers.SeparableConv2D: SupportedLayer((*_WINDOW, _ACTIVATION), _append_separable, _MULTIPLIED),
    keras.layers.Dense: SupportedLayer((_ACTIVATION,), _append_dense),
    keras.layers.BatchNormalization: SupportedLayer((_CHANNEL_AXIS,), _append_batch_normalization),
    keras.layers.ReLU: SupportedLayer((_PLAIN_RELU,), _append_relu),
    keras.layers.LeakyReLU: SupportedLayer((), _append_leaky_relu),
    keras.layers.PReLU: SupportedLayer((_SLOPE_PER_CHANNEL,), _append_prelu),
    keras.layers.Softmax: SupportedLayer((_CHANNEL_AXIS,), _append_softmax),
    keras.layers.Activation: SupportedLayer((_ACTIVATION,), _append_activation_layer),
    keras.layers.Add: SupportedLayer((_ONE_SHAPE,), _append_all(Add), "all that it adds is narrowed alike"),
    keras.layers.Multiply: SupportedLayer(
        (_ONE_SHAPE,), _append_all(Multiply), "all that it multiplies is narrowed alike"
    ),
    keras.layers.Subtract: SupportedLayer((_FIRST_WHOLE,), _append_subtract, "both are narrowed alike"),
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
    keras.layers.Reshape: SupportedLayer(
        (), _append_reshape, "must flatten, undo a Flatten, or make a map of the network's input"
    ),
    keras.layers.Rescaling: SupportedLayer((), _append_rescaling),
    keras.layers.UpSampling2D: SupportedLayer((_CHANNELS_LAST, _NEAREST), _append_upsampling),
    keras.layers.Cropping2D: SupportedLayer((_CHANNELS_LAST,), _append_cropping),
    keras.layers.ZeroPadding2D: SupportedLayer((_CHANNELS_LAST,), _append_zero_padding),
    **{layer: SupportedLayer((), _append_nothing) for layer in _ONLY_IN_TRAINING},
}
"""Every Keras layer that `trace` takes, with what it requires of it."""

_ALLOWED_AFTER_FLATTEN = (
    keras.layers.Dense,
    keras.layers.Flatten,
    keras.layers.Reshape,
    keras.layers.ReLU,
    keras.layers.LeakyReLU,
    keras.layers.Activation,
    keras.layers.Softmax,
    *_ONLY_IN_TRAINING,
)
