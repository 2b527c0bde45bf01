"""Fuses each weighted operation with its batch normalisation and activation, as a device runs it.

Weights of the file are those of the full network with its batch normalisation folded in. A subnetwork's own batch
normalisation then changes only a factor and a bias per output channel: with g = gamma / sqrt(variance + epsilon),

    w * g_sub * x + b_sub = (g_sub / g_full) * (w * g_full) * x + b_sub.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from reds.errors import UsageError
from reds.graph import (
    INPUT,
    WITH_KERNEL,
    Activation,
    Array,
    BatchNormalization,
    DepthwiseConv2D,
    DeviceOperation,
    Graph,
    Node,
    Operation,
    Pair,
    Pool2D,
    Shape,
)

FusedActivation = Literal["none", "relu", "relu6"]

_ACTIVATED = (*WITH_KERNEL, Pool2D, Pair)
"""Operations that TFLite runs together with an activation."""


@dataclass(frozen=True)
class FusedLayer:
    """One operation as a device runs it, at full width."""

    name: str
    operation: DeviceOperation
    activation: FusedActivation
    inputs: tuple[int, ...]
    """Indices of the fused layers whose outputs it takes, in order; INPUT stands for the graph's input."""
    input_shape: Shape
    """Of its first input."""
    output_shape: Shape
    input_group: int | None
    output_group: int | None
    first_node: int
    """The node whose weights it uses."""
    batch_norm_node: int | None
    last_node: int
    """The node whose output is the fused layer's output."""

    @property
    def nodes(self) -> tuple[int, ...]:
        """The nodes that it is made of, in order."""
        parts = {self.first_node, self.batch_norm_node, self.last_node}
        return tuple(sorted(part for part in parts if part is not None))

    @property
    def weighted(self) -> bool:
        """Whether it has weights and a bias."""
        return isinstance(self.operation, WITH_KERNEL)


@dataclass(frozen=True)
class Affine:
    """What one subnetwork changes of a weighted layer, per active output channel."""

    scale: Array
    """Factor on the sum of the full network's folded weights times inputs; 1 for the full network."""
    bias: Array


def fuse(graph: Graph) -> tuple[FusedLayer, ...]:
    """Groups a graph's nodes into fused layers, in order of their first nodes.

    A batch normalisation or an activation is fused only where nothing else reads what it reads.

    Args:
        graph: a traced network.

    Returns:
        One fused layer per operation that a device runs.

    Raises:
        UsageError: if a batch normalisation does not directly follow a weighted operation that it reads alone.
    """
    only_reader = _only_readers(graph)
    layers: list[FusedLayer] = []
    layer_of_node = {INPUT: INPUT}
    for index in range(len(graph.nodes)):
        if index not in layer_of_node:
            layer = _fuse_at(graph, index, only_reader, layer_of_node)
            layer_of_node |= dict.fromkeys(layer.nodes, len(layers))
            layers.append(layer)
    return tuple(layers)


def _only_readers(graph: Graph) -> dict[int, int]:
    """Per node that is read once, the node that reads it."""
    readers = graph.readers()
    return {source: index for index, node in enumerate(graph.nodes) for source in node.inputs if readers[source] == 1}


def _fuse_at(graph: Graph, first: int, only_reader: Mapping[int, int], layer_of_node: Mapping[int, int]) -> FusedLayer:
    node = graph.nodes[first]
    if isinstance(node.operation, BatchNormalization):
        raise UsageError(
            f"Layer '{node.name}' (BatchNormalization) must directly follow a convolution or a dense layer "
            "without activation that nothing else reads, so that it can be folded into it."
        )
    last = first
    batch_norm = None
    following = None if graph.is_fused else _next_operation(graph, only_reader, last)
    if isinstance(node.operation, WITH_KERNEL) and isinstance(following, BatchNormalization):
        batch_norm = last = only_reader[last]
        following = _next_operation(graph, only_reader, last)
    activation: FusedActivation = "none"
    if isinstance(node.operation, _ACTIVATED) and isinstance(following, Activation) and following.clamps:
        activation = "relu6" if following.function == "relu6" else "relu"
        last = only_reader[last]
    return FusedLayer(
        name=node.name,
        operation=node.operation,
        activation=activation,
        inputs=tuple(layer_of_node[source] for source in node.inputs),
        input_shape=graph.read_shape(node),
        output_shape=node.output_shape,
        input_group=node.input_group,
        output_group=node.output_group,
        first_node=first,
        batch_norm_node=batch_norm,
        last_node=last,
    )


def _next_operation(graph: Graph, only_reader: Mapping[int, int], index: int) -> Operation | None:
    """The operation of the one node that reads a node; None where there is none or more than one."""
    return graph.nodes[only_reader[index]].operation if index in only_reader else None


def folded_kernel(graph: Graph, layer: FusedLayer) -> Array:
    """The layer's kernel in Keras' layout with the full network's batch normalisation folded in."""
    node = graph.nodes[layer.first_node]
    kernel = node.weights["kernel"].astype(np.float64)
    gain = _gain(graph, layer, None)
    if isinstance(layer.operation, DepthwiseConv2D):
        gain = gain.reshape(kernel.shape[2:])
    return np.asarray(kernel * gain, np.float32)


def affine(graph: Graph, layer: FusedLayer, channels: int, batch_norm: Mapping[str, Array] | None) -> Affine:
    """What a subnetwork's batch normalisation makes of a weighted layer.

    Args:
        graph: the full network.
        layer: a weighted layer of it.
        channels: active output channels.
        batch_norm: the subnetwork's own weights of the layer's batch normalisation (sliced to `channels`), or None
            for the full network's.

    Returns:
        Factor and bias per active output channel.

    Raises:
        UsageError: if the subnetwork's gain has another sign than the full network's, so that they cannot share
            weights.
    """
    node = graph.nodes[layer.first_node]
    bias = node.weights.get("bias", np.zeros(layer.output_shape[2], np.float32))[:channels].astype(np.float64)
    if layer.batch_norm_node is None:
        return Affine(np.ones(channels, np.float32), bias.astype(np.float32))
    weights = batch_norm or graph.nodes[layer.batch_norm_node].weights
    mean, beta = (weights[key][:channels].astype(np.float64) for key in ("moving_mean", "beta"))
    gain = _gain(graph, layer, batch_norm)[:channels]
    full_gain = _gain(graph, layer, None)[:channels]
    return Affine(
        _gain_ratio(gain, full_gain, graph.nodes[layer.batch_norm_node]),
        ((bias - mean) * gain + beta).astype(np.float32),
    )


def _gain(graph: Graph, layer: FusedLayer, batch_norm: Mapping[str, Array] | None) -> np.ndarray:
    if layer.batch_norm_node is None:
        return np.ones(layer.output_shape[2])
    node = graph.nodes[layer.batch_norm_node]
    assert isinstance(node.operation, BatchNormalization)
    weights = batch_norm or node.weights
    variance = weights["moving_variance"].astype(np.float64)
    return np.asarray(weights["gamma"].astype(np.float64) / np.sqrt(variance + node.operation.epsilon))


def _gain_ratio(gain: np.ndarray, full_gain: np.ndarray, node: Node) -> Array:
    both_zero = (gain == 0) & (full_gain == 0)
    ratio = np.divide(gain, full_gain, out=np.ones_like(gain), where=~both_zero & (full_gain != 0))
    if np.any(ratio <= 0) or np.any((full_gain == 0) & ~both_zero):
        raise UsageError(
            f"Layer '{node.name}' (BatchNormalization): a subnetwork's gamma has another sign than the full "
            "network's, so they cannot share weights. Train gamma shared between subnetworks."
        )
    return ratio.astype(np.float32)
