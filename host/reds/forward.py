"""Runs a traced network, or a subnetwork of it, on a batch.

Everything is written with `keras.ops`, so it runs and differentiates on every Keras backend. Each weight is a
real prefix slice, never a mask: the cost falls with the width. It computes in the type of its input, batch
normalisation in float32 at least.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from reds.graph import (
    INPUT,
    Activation,
    Add,
    BatchNormalization,
    Concatenate,
    Conv2D,
    Conv2DTranspose,
    Crop,
    Dense,
    DepthwiseConv2D,
    Graph,
    Mean,
    Multiply,
    Node,
    Pad,
    Pool2D,
    PRelu,
    Requantize,
    Slice,
    Subtract,
    Upsample,
)
from reds.replicas import count_replicas

Tensor = Any
"""A tensor of the Keras backend."""

Weights = Mapping[str, Mapping[str, Any]]
"""Per node name its weights by name: arrays, tensors or Keras variables."""

Transform = Callable[[int, Tensor], Tensor]
"""From the index of a node and its output (batch, height, width, channels) to a tensor of the same shape."""

CHANNELS_LAST = "channels_last"


@dataclass(frozen=True)
class Moments:
    """Mean and (biased) variance per channel that a batch normalisation saw on one batch."""

    mean: Tensor
    variance: Tensor


@dataclass(frozen=True)
class Trunk:
    """What the layers before the first one that mixes channels gave on one batch.

    Until then each channel comes from the network's input alone, so a subnetwork computes a prefix of these channels.
    """

    outputs: Mapping[int, Tensor]
    """Per node index (batch, height, width, channels)."""
    moments: Mapping[str, Moments]
    """Per name of a batch normalisation."""


@dataclass(frozen=True)
class _Step:
    """What one node gave."""

    index: int
    node: Node
    output: Tensor
    moments: Moments | None


def forward(
    graph: Graph,
    x: Tensor,
    weights: Weights | None = None,
    widths: Sequence[int] | None = None,
    batch_norm: Weights | None = None,
    training: bool = False,
    until: int | None = None,
    stop_before_softmax: bool = False,
) -> Tensor:
    """Runs the network, or the subnetwork of the given widths, on a batch.

    Args:
        graph: the network.
        x: batch of shape (batch, *graph.input_shape). As a map it may have fewer channels than the graph's
            input: then the first layer uses the first of its input channels (an exit head on a narrowed map).
        weights: full-width weights to use in place of the graph's own, for every node or none.
        widths: active channels per channel group; all channels where None.
        batch_norm: weights of batch normalisations, already sliced; a node that is not in it uses `weights`.
        training: whether batch normalisation uses the statistics of this batch.
        until: index of the last node to run; the whole network where None.
        stop_before_softmax: whether to leave out a final softmax, and so give logits.

    Returns:
        The network's output (batch, *graph.output_shape), or with `until` that node's map
        (batch, height, width, active channels).
    """
    output, _ = forward_with_moments(graph, x, weights, widths, batch_norm, training, until, stop_before_softmax)
    return output


def forward_with_moments(
    graph: Graph,
    x: Tensor,
    weights: Weights | None = None,
    widths: Sequence[int] | None = None,
    batch_norm: Weights | None = None,
    training: bool = True,
    until: int | None = None,
    stop_before_softmax: bool = False,
    trunk: Trunk | None = None,
    transform: Transform | None = None,
) -> tuple[Tensor, dict[str, Moments]]:
    """Like `forward`, and also gives the batch statistics of each batch normalisation that used them.

    Args:
        graph: see `forward`, as for the arguments that are not named here.
        trunk: what `run_trunk` gave on this batch; its nodes are not run again.
        transform: makes what the next nodes read from the index and the output of each node, for example rounds it.

    Returns:
        The output, and per node name the moments of its input, empty unless `training`. Those of the trunk are in it.
    """
    last = len(graph.nodes) - 1 if until is None else until
    if until is None and stop_before_softmax and ends_with_softmax(graph):
        last = graph.nodes[last].input
    moments: dict[str, Moments] = {}
    output = as_batch_of_maps(graph, x)
    for step in _run(graph, output, weights, widths, batch_norm, training, (last,), trunk, transform):
        output = step.output
        if step.moments is not None:
            moments[step.node.name] = step.moments
    if until is None:
        output = ops.reshape(output, (-1, *graph.output_shape))
    return output, moments


def run_trunk(graph: Graph, x: Tensor, weights: Weights | None = None) -> Trunk:
    """Runs, in training mode and at full width, what every subnetwork has in common.

    Args:
        graph: the network.
        x: batch of shape (batch, *graph.input_shape).
        weights: see `forward`.

    Returns:
        The outputs and the batch statistics of the nodes of the trunk.
    """
    common = _trunk_nodes(graph)
    if not common:
        return Trunk({}, {})
    steps = list(_run(graph, as_batch_of_maps(graph, x), weights, None, None, training=True, ends=(common[-1],)))
    return Trunk(
        {step.index: step.output for step in steps},
        {step.node.name: step.moments for step in steps if step.moments is not None},
    )


def trunk_of(trunk: Trunk, graph: Graph, other: Graph) -> Trunk:
    """What was run of one network as the trunk of another that has nodes of the same names.

    Nodes that read another one than in the first network, since a block before them is skipped, have to be run again.

    Args:
        trunk: what `run_trunk` gave.
        graph: the network that it was run of.
        other: the other network.
    """
    if other is graph:
        return trunk
    indices = {graph.nodes[index].name: index for index in trunk.outputs}
    same = {INPUT: INPUT}
    for index, node in enumerate(other.nodes):
        first = indices.get(node.name)
        if first is not None and tuple(same.get(source) for source in node.inputs) == graph.nodes[first].inputs:
            same[index] = first
    return Trunk({index: trunk.outputs[first] for index, first in same.items() if first != INPUT}, trunk.moments)


def activations(
    graph: Graph,
    x: Tensor,
    weights: Weights | None = None,
    widths: Sequence[int] | None = None,
    batch_norm: Weights | None = None,
    until: int | None = None,
) -> dict[str, Tensor]:
    """Every node's output on a batch, in inference mode.

    Args:
        graph: the network.
        x: batch of shape (batch, *graph.input_shape).
        weights: see `forward`.
        widths: see `forward`.
        batch_norm: see `forward`.
        until: index of the last node to run.

    Returns:
        Per node name its output (batch, height, width, active channels), in topological order.
    """
    last = len(graph.nodes) - 1 if until is None else until
    maps = as_batch_of_maps(graph, x)
    return {
        step.node.name: step.output
        for step in _run(graph, maps, weights, widths, batch_norm, training=False, ends=(last,))
    }


def maps_at(
    graph: Graph,
    x: Tensor,
    nodes: Sequence[int],
    widths: Sequence[int] | None = None,
    batch_norm: Weights | None = None,
) -> tuple[Tensor, ...]:
    """The outputs of some nodes on a batch, in inference mode, of which none is computed twice.

    Args:
        graph: the network.
        x: batch of shape (batch, *graph.input_shape).
        nodes: indices of nodes.
        widths: see `forward`.
        batch_norm: see `forward`.

    Returns:
        Per node its output (batch, height, width, active channels).
    """
    maps = as_batch_of_maps(graph, x)
    steps = _run(graph, maps, None, widths, batch_norm, training=False, ends=nodes)
    outputs = {step.index: step.output for step in steps}
    return tuple(outputs[node] for node in nodes)


def predict(
    graph: Graph,
    x: NDArray[np.float32],
    weights: Weights | None = None,
    widths: Sequence[int] | None = None,
    batch_norm: Weights | None = None,
    until: int | None = None,
    stop_before_softmax: bool = False,
    batch_size: int = 256,
) -> NDArray[np.float32]:
    """`forward` in inference mode from array to array, in batches that bound the memory it needs."""
    outputs = [
        ops.convert_to_numpy(
            forward(
                graph,
                x[start : start + batch_size],
                weights,
                widths,
                batch_norm,
                until=until,
                stop_before_softmax=stop_before_softmax,
            )
        )
        for start in range(0, len(x), batch_size)
    ]
    return np.concatenate(outputs)


def ends_with_softmax(graph: Graph) -> bool:
    """Whether the network's last node is a softmax."""
    operation = graph.nodes[-1].operation
    return isinstance(operation, Activation) and operation.function == "softmax"


def as_batch_of_maps(graph: Graph, x: Tensor) -> Tensor:
    """A batch of the network's inputs as maps (batch, height, width, channels)."""
    x = ops.convert_to_tensor(x)
    if len(x.shape) == 4 and tuple(x.shape[1:3]) == graph.input_map[:2]:
        return x
    return ops.reshape(x, (-1, *graph.input_map))


def _run(
    graph: Graph,
    x: Tensor,
    weights: Weights | None,
    widths: Sequence[int] | None,
    batch_norm: Weights | None,
    training: bool,
    ends: Sequence[int],
    trunk: Trunk | None = None,
    transform: Transform | None = None,
) -> Iterator[_Step]:
    """Runs the nodes that the nodes `ends` need, in order, and forgets each output after its last reader."""
    path = graph.ancestors(*ends)
    readers = Counter(source for index in path for source in graph.nodes[index].inputs)
    outputs = {INPUT: x}
    for index in path:
        node = graph.nodes[index]
        channels = output_channels(node, widths)
        inputs = [outputs[source] for source in node.inputs]
        for source in node.inputs:
            readers[source] -= 1
            if not readers[source]:
                del outputs[source]
        if trunk is not None and index in trunk.outputs:
            outputs[index] = _prefix(trunk.outputs[index], channels)
            yield _Step(index, node, outputs[index], _narrow(trunk.moments.get(node.name), channels))
            continue
        own = node.weights if weights is None else weights.get(node.name, {})
        moments = None
        if isinstance(node.operation, BatchNormalization):
            own = own if batch_norm is None else batch_norm.get(node.name, own)
            if training:
                moments = _moments(inputs[0])
            x = _batch_normalization(node.operation, inputs[0], own, moments)
        else:
            x = _apply(node, inputs, own, channels)
        outputs[index] = x if transform is None else transform(index, x)
        yield _Step(index, node, outputs[index], moments)


def _trunk_nodes(graph: Graph) -> tuple[int, ...]:
    """Indices of the nodes before which no channels are mixed whose number varies."""
    common = {INPUT}
    for index, node in enumerate(graph.nodes):
        if common.issuperset(node.inputs) and not _mixes_channels(node):
            common.add(index)
    return tuple(sorted(common - {INPUT}))


def _mixes_channels(node: Node) -> bool:
    """Whether a channel of the output depends on how many channels are active."""
    if isinstance(node.operation, Conv2D | Dense | Conv2DTranspose):
        return node.input_group is not None
    if isinstance(node.operation, Activation):
        return node.operation.function == "softmax"
    return isinstance(node.operation, Concatenate)


def _moments(x: Tensor) -> Moments:
    """Statistics of the whole batch, also where several devices have a share of it each, in float32 at least."""
    x = _at_least_float32(x)
    return Moments(*ops.moments(x, axes=(0, 1, 2), synchronized=count_replicas() > 1))


def _narrow(moments: Moments | None, channels: int) -> Moments | None:
    return None if moments is None else Moments(_prefix(moments.mean, channels), _prefix(moments.variance, channels))


def _at_least_float32(x: Tensor) -> Tensor:
    return ops.cast(x, keras.backend.result_type(x.dtype, "float32"))


def output_channels(node: Node, widths: Sequence[int] | None) -> int:
    """Active channels of a node's output at the given widths, at full width where None."""
    if widths is None or node.output_group is None:
        return node.output_shape[2]
    return widths[node.output_group]


def _apply(node: Node, inputs: Sequence[Tensor], weights: Mapping[str, Any], channels: int) -> Tensor:
    operation, x = node.operation, inputs[0]
    match operation:
        case Conv2D():
            kernel = ops.cast(_prefix(weights["kernel"], x.shape[-1] // operation.groups, channels), x.dtype)
            convolve = _conv if operation.groups == 1 else _grouped_conv
            return _add_bias(convolve(operation, x, kernel), weights)
        case DepthwiseConv2D():
            kernel = weights["kernel"]
            kernel = ops.cast(_prefix(kernel, x.shape[-1], kernel.shape[-1]), x.dtype)
            return _add_bias(_depthwise_conv(operation, x, kernel), weights)
        case Dense():
            kernel = ops.cast(_prefix(weights["kernel"], x.shape[-1], channels), x.dtype)
            return _add_bias(ops.matmul(x, kernel), weights)
        case Activation():
            return _activation(operation, x)
        case Pool2D():
            return _pool(operation, x)
        case Pad():
            return ops.pad(x, ((0, 0), operation.rows, operation.columns, (0, 0)))
        case Add():
            # Not `ops.add`: in TensorFlow it takes an operand with one long axis, the batch too, for a bias.
            return inputs[0] + inputs[1]
        case Mean():
            return ops.mean(x, axis=(1, 2), keepdims=True)
        case Requantize():
            return x
        case Conv2DTranspose():
            kernel = ops.cast(_prefix(weights["kernel"], x.shape[-1], channels), x.dtype)
            return _add_bias(_conv_transpose(operation, x, kernel), weights)
        case Crop(rows=rows, columns=columns):
            height, width = x.shape[1:3]
            return x[:, rows[0] : height - rows[1], columns[0] : width - columns[1]]
        case Slice(first=first):
            return x[..., first : first + node.output_shape[2]]
        case Upsample(size=(down, right)):
            return ops.repeat(ops.repeat(x, down, axis=1), right, axis=2)
        case PRelu():
            return ops.where(x < 0, x * ops.cast(_prefix(weights["slope"], x.shape[-1]), x.dtype), x)
        case Subtract():
            return ops.subtract(*inputs)
        case Multiply():
            return ops.multiply(*inputs)
        case Concatenate():
            return ops.concatenate(inputs, axis=-1)
        case _:
            raise TypeError(f"Node '{node.name}' has an operation that cannot be run: {operation}")


def _prefix(weight: Any, *lengths: int) -> Tensor:
    """Keeps the first `lengths` entries of the last axes of a weight or a map.

    Splits, because the gradient of TensorFlow's strided slice costs as much on a CPU as a convolution.
    """
    weight = ops.convert_to_tensor(weight)
    for axis, length in zip(range(-len(lengths), 0), lengths, strict=True):
        if weight.shape[axis] != length:
            weight = ops.split(weight, [length], axis=axis)[0]
    return weight


def _add_bias(x: Tensor, weights: Mapping[str, Any]) -> Tensor:
    return x + ops.cast(_prefix(weights["bias"], x.shape[-1]), x.dtype) if "bias" in weights else x


def _conv(operation: Conv2D, x: Tensor, kernel: Tensor) -> Tensor:
    return ops.conv(
        x,
        kernel,
        strides=operation.strides,
        padding=operation.padding,
        data_format=CHANNELS_LAST,
        dilation_rate=operation.dilation,
    )


def _grouped_conv(operation: Conv2D, x: Tensor, kernel: Tensor) -> Tensor:
    """One convolution per group: as a whole, XLA takes up to 250 times as long for a training step on a CPU."""
    groups = operation.groups
    if x.shape[-1] == groups:
        return _depthwise_conv(operation, x, ops.reshape(kernel, (*kernel.shape[:2], groups, -1)))
    parts = zip(ops.split(x, groups, axis=-1), ops.split(kernel, groups, axis=-1), strict=True)
    return ops.concatenate([_conv(operation, *part) for part in parts], axis=-1)


def _conv_transpose(operation: Conv2DTranspose, x: Tensor, kernel: Tensor) -> Tensor:
    return ops.conv_transpose(
        x,
        ops.transpose(kernel, (0, 1, 3, 2)),
        strides=operation.strides,
        padding=operation.padding,
        data_format=CHANNELS_LAST,
    )


def _depthwise_conv(operation: Conv2D | DepthwiseConv2D, x: Tensor, kernel: Tensor) -> Tensor:
    return ops.depthwise_conv(
        x,
        kernel,
        strides=operation.strides,
        padding=operation.padding,
        data_format=CHANNELS_LAST,
        dilation_rate=operation.dilation,
    )


def _batch_normalization(
    operation: BatchNormalization, x: Tensor, weights: Mapping[str, Any], moments: Moments | None
) -> Tensor:
    channels = x.shape[-1]
    if moments is None:
        moments = Moments(_prefix(weights["moving_mean"], channels), _prefix(weights["moving_variance"], channels))
    normalized = ops.batch_normalization(
        _at_least_float32(x),
        moments.mean,
        moments.variance,
        axis=-1,
        offset=_prefix(weights["beta"], channels),
        scale=_prefix(weights["gamma"], channels),
        epsilon=operation.epsilon,
    )
    return ops.cast(normalized, x.dtype)


def _activation(operation: Activation, x: Tensor) -> Tensor:
    match operation.function:
        case "relu":
            return ops.relu(x)
        case "relu6":
            return ops.relu6(x)
        case "leaky_relu":
            return ops.leaky_relu(x, operation.slope)
        case "sigmoid":
            return ops.sigmoid(x)
        case "tanh":
            return ops.tanh(x)
        case "hard_swish":
            return ops.hard_silu(x)
        case "softmax":
            return ops.softmax(x, axis=-1)


def _pool(operation: Pool2D, x: Tensor) -> Tensor:
    if operation.kind == "max":
        return ops.max_pool(x, operation.pool_size, operation.strides, operation.padding, data_format=CHANNELS_LAST)
    if operation.pool_size == tuple(x.shape[1:3]) and operation.padding == "valid":
        return ops.mean(x, axis=(1, 2), keepdims=True)
    return ops.average_pool(x, operation.pool_size, operation.strides, operation.padding, data_format=CHANNELS_LAST)
