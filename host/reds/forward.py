"""Runs a traced network, or a subnetwork of it, on a batch.

Everything is written with `keras.ops`, so it runs and differentiates on every Keras backend. Each weight is a
real prefix slice, never a mask: the cost falls with the width.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

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
    Dense,
    DepthwiseConv2D,
    Graph,
    Node,
    Pool2D,
)

Tensor = Any
"""A tensor of the Keras backend."""

Weights = Mapping[str, Mapping[str, Any]]
"""Per node name its weights by name: arrays, tensors or Keras variables."""

CHANNELS_LAST = "channels_last"


@dataclass(frozen=True)
class Moments:
    """Mean and (biased) variance per channel that a batch normalisation saw on one batch."""

    mean: Tensor
    variance: Tensor


@dataclass(frozen=True)
class _Step:
    """What one node gave."""

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
) -> tuple[Tensor, dict[str, Moments]]:
    """Like `forward`, and also gives the batch statistics of each batch normalisation that used them.

    Returns:
        The output, and per node name the moments of its input, empty unless `training`.
    """
    last = len(graph.nodes) - 1 if until is None else until
    if until is None and stop_before_softmax and ends_with_softmax(graph):
        last = graph.nodes[last].input
    moments: dict[str, Moments] = {}
    output = as_batch_of_maps(graph, x)
    for step in _run(graph, output, weights, widths, batch_norm, training, last):
        output = step.output
        if step.moments is not None:
            moments[step.node.name] = step.moments
    if until is None:
        output = ops.reshape(output, (-1, *graph.output_shape))
    return output, moments


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
        for step in _run(graph, maps, weights, widths, batch_norm, training=False, last=last)
    }


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
    if len(x.shape) == 4:
        return x
    return ops.reshape(x, (-1, *graph.input_map))


def _run(
    graph: Graph,
    x: Tensor,
    weights: Weights | None,
    widths: Sequence[int] | None,
    batch_norm: Weights | None,
    training: bool,
    last: int,
) -> Iterator[_Step]:
    """Runs the nodes that node `last` needs, in order, and forgets each output after its last reader."""
    path = graph.ancestors(last)
    readers = Counter(source for index in path for source in graph.nodes[index].inputs)
    outputs = {INPUT: x}
    for index in path:
        node = graph.nodes[index]
        inputs = [outputs[source] for source in node.inputs]
        for source in node.inputs:
            readers[source] -= 1
            if not readers[source]:
                del outputs[source]
        own = node.weights if weights is None else weights.get(node.name, {})
        moments = None
        if isinstance(node.operation, BatchNormalization):
            own = own if batch_norm is None else batch_norm.get(node.name, own)
            if training:
                moments = Moments(*ops.moments(inputs[0], axes=(0, 1, 2)))
            outputs[index] = _batch_normalization(node.operation, inputs[0], own, moments)
        else:
            outputs[index] = _apply(node, inputs, own, _output_channels(node, widths))
        yield _Step(node, outputs[index], moments)


def _output_channels(node: Node, widths: Sequence[int] | None) -> int:
    if widths is None or node.output_group is None:
        return node.output_shape[2]
    return widths[node.output_group]


def _apply(node: Node, inputs: Sequence[Tensor], weights: Mapping[str, Any], channels: int) -> Tensor:
    operation, x = node.operation, inputs[0]
    match operation:
        case Conv2D():
            kernel = _prefix(weights["kernel"], x.shape[-1], channels)
            return _add_bias(_conv(operation, x, kernel), weights)
        case DepthwiseConv2D():
            kernel = _prefix(weights["kernel"], x.shape[-1], 1)
            return _add_bias(_depthwise_conv(operation, x, kernel), weights)
        case Dense():
            kernel = _prefix(weights["kernel"], x.shape[-1], channels)
            return _add_bias(ops.matmul(x, kernel), weights)
        case Activation():
            return _activation(operation, x)
        case Pool2D():
            return _pool(operation, x)
        case Add():
            return ops.add(*inputs)
        case Concatenate():
            return ops.concatenate(inputs, axis=-1)
        case _:
            raise TypeError(f"Node '{node.name}' has an operation that cannot be run: {operation}")


def _prefix(weight: Any, *lengths: int) -> Tensor:
    """Keeps the first `lengths` entries of the weight's last axes."""
    weight = ops.convert_to_tensor(weight)
    if tuple(weight.shape[-len(lengths) :]) == lengths:
        return weight
    return weight[(..., *(slice(length) for length in lengths))]


def _add_bias(x: Tensor, weights: Mapping[str, Any]) -> Tensor:
    return x + _prefix(weights["bias"], x.shape[-1]) if "bias" in weights else x


def _conv(operation: Conv2D, x: Tensor, kernel: Tensor) -> Tensor:
    return ops.conv(
        x,
        kernel,
        strides=operation.strides,
        padding=operation.padding,
        data_format=CHANNELS_LAST,
        dilation_rate=operation.dilation,
    )


def _depthwise_conv(operation: DepthwiseConv2D, x: Tensor, kernel: Tensor) -> Tensor:
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
    return ops.batch_normalization(
        x,
        moments.mean,
        moments.variance,
        axis=-1,
        offset=_prefix(weights["beta"], channels),
        scale=_prefix(weights["gamma"], channels),
        epsilon=operation.epsilon,
    )


def _activation(operation: Activation, x: Tensor) -> Tensor:
    match operation.function:
        case "relu":
            return ops.relu(x)
        case "relu6":
            return ops.relu6(x)
        case "softmax":
            return ops.softmax(x, axis=-1)


def _pool(operation: Pool2D, x: Tensor) -> Tensor:
    if operation.kind == "max":
        return ops.max_pool(x, operation.pool_size, operation.strides, operation.padding, data_format=CHANNELS_LAST)
    if operation.pool_size == tuple(x.shape[1:3]) and operation.padding == "valid":
        return ops.mean(x, axis=(1, 2), keepdims=True)
    return ops.average_pool(x, operation.pool_size, operation.strides, operation.padding, data_format=CHANNELS_LAST)
