"""What a subnetwork costs: multiply-accumulates, parameters, and memory for activations.

A width may be an integer or an integer array; for arrays the answer is an array of the widths' common shape.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reds.fold import FusedLayer, fuse
from reds.graph import INPUT, Conv2D, Conv2DTranspose, Dense, DepthwiseConv2D, Exit, Graph, Node, Shape
from reds.grouping import FIXES_CHANNELS, MAKES_CHANNELS
from reds.overlapping import sharing
from reds.tensors import align, lifetimes, lower_bound

IntArray = NDArray[np.int64]
Channels = int | IntArray
"""A number of active channels, or an array of alternatives."""
Widths = Sequence[int] | Sequence[IntArray]


def full_widths(graph: Graph) -> tuple[int, ...]:
    """The widths of the full network."""
    return tuple(group.size for group in graph.groups)


def node_macs(graph: Graph, index: int, input_channels: Channels, output_channels: Channels) -> Channels:
    """Multiply-accumulates of one node.

    Args:
        graph: the network.
        index: the node's index in it.
        input_channels: active channels of its input.
        output_channels: active channels of its output.

    Returns:
        The number of multiply-accumulates, where every tap of a window counts, also over padding; 0 for
        operations other than convolutions and dense layers.
    """
    return _positions(graph, index) * _node_kernel_size(graph.nodes[index], input_channels, output_channels)


def macs(graph: Graph, widths: Widths, leave: Exit | None = None) -> Channels:
    """Multiply-accumulates of one inference of a subnetwork, classifier included.

    Args:
        graph: the network.
        widths: active channels per channel group.
        leave: the exit it takes, or None for the network's own output.

    Returns:
        The number of multiply-accumulates.
    """
    total: Channels = 0
    for part in _parts(graph, widths, leave):
        for index in part.nodes:
            total = total + node_macs(part.graph, index, part.read_channels(index), part.channels(index))
    return total


def parameters(graph: Graph, widths: Widths, leave: Exit | None = None) -> Channels:
    """Weights and biases of a subnetwork, batch normalisation folded into them.

    Args:
        graph: the network.
        widths: active channels per channel group.
        leave: the exit it takes, or None for the network's own output.

    Returns:
        The number of parameters. A layer has biases where it has its own or a batch normalisation follows it.
    """
    total: Channels = 0
    for part in _parts(graph, widths, leave):
        for layer in part.layers:
            node = part.graph.nodes[layer.first_node]
            outputs = part.channels(layer.first_node)
            total = total + _node_kernel_size(node, part.read_channels(layer.first_node), outputs)
            if "bias" in node.weights or layer.batch_norm_node is not None:
                total = total + outputs
            if "slope" in node.weights:
                total = total + outputs
    return total


def peak_activation_bytes(graph: Graph, widths: Widths, element_bytes: int = 1, leave: Exit | None = None) -> Channels:
    """Memory that a subnetwork's activations need at the same time: the largest need of one step.

    A map lives from the operation that makes it to the last one that reads it, whose output may overlap it as far as
    its kernel allows; batch normalisation and activation are part of the operation before them. No placement needs
    less. The planner adds what the fixed place of the output costs, and what gaps between maps cost.

    Args:
        graph: the network.
        widths: active channels per channel group.
        element_bytes: bytes of one activation: 1 for int8, 4 for float32.
        leave: the exit it takes, or None for the network's own output.

    Returns:
        Bytes.
    """
    parts = _parts(graph, widths, leave)
    source = _bytes(parts[0].graph.input_map, parts[0].input_channels, element_bytes)
    sizes, reads, shared, tensor = [source], [], [], 0
    for part in parts:
        tensors = {INPUT: tensor}
        for layer in part.layers:
            sources = part.graph.nodes[layer.first_node].inputs
            channels = part.channels(layer.last_node)
            reads.append(tuple(tensors[source] for source in sources))
            shared.append(sharing(layer, part.read_channels(layer.first_node), channels, element_bytes))
            sizes.append(_bytes(layer.output_shape, channels, element_bytes))
            tensor = tensors[layer.last_node] = len(reads)
    peak = lower_bound(sizes, lifetimes(reads), shared)
    return int(peak) if np.ndim(peak) == 0 else peak


def _bytes(shape: Shape, channels: Channels, element_bytes: int) -> Channels:
    """Memory for a map of active channels, rounded up to the alignment of tensors."""
    return align(math.prod(shape[:2]) * channels * element_bytes)


@dataclass(frozen=True)
class _Part:
    """The nodes that a subnetwork runs of one graph: the network itself, or an exit's head."""

    graph: Graph
    nodes: tuple[int, ...]
    layers: tuple[FusedLayer, ...]
    input_channels: Channels
    node_channels: tuple[Channels, ...]

    def channels(self, node: int) -> Channels:
        """Active output channels of a node, or of the input."""
        return self.input_channels if node == INPUT else self.node_channels[node]

    def read_channels(self, node: int) -> Channels:
        """Active channels of a node's first input, as it reads it."""
        reader = self.graph.nodes[node]
        if reader.reads is not None and reader.input_group is None:
            return reader.reads[2]
        return self.channels(reader.input)


def _parts(graph: Graph, widths: Widths, leave: Exit | None) -> tuple[_Part, ...]:
    if leave is None:
        return (_part(graph, widths, graph.input_map[2], len(graph.nodes) - 1),)
    trunk = _part(graph, widths, graph.input_map[2], leave.tap)
    head = _part(leave.head, full_widths(leave.head), trunk.channels(leave.tap), len(leave.head.nodes) - 1)
    return (trunk, head)


def active_channels(graph: Graph, widths: Widths, input_channels: Channels) -> tuple[Channels, ...]:
    """Active output channels of every node.

    Args:
        graph: the network, or an exit's head.
        widths: active channels per channel group.
        input_channels: active channels of its input; fewer than all on a narrowed map that a head reads.

    Returns:
        One number, or array, per node.
    """
    channels: list[Channels] = []
    for node in graph.nodes:
        if node.output_group is not None:
            channels.append(widths[node.output_group])
        elif isinstance(node.operation, MAKES_CHANNELS + FIXES_CHANNELS):
            channels.append(node.output_shape[2])
        else:
            inputs = input_channels if node.input == INPUT else channels[node.input]
            channels.append(inputs * node.output_shape[2] // graph.shape_of(node.input)[2])
    return tuple(channels)


def _part(graph: Graph, widths: Widths, input_channels: Channels, last: int) -> _Part:
    """The nodes that node `last` needs, with their active channels."""
    nodes = graph.ancestors(last)
    layers = tuple(layer for layer in fuse(graph) if layer.first_node in nodes)
    return _Part(graph, nodes, layers, input_channels, active_channels(graph, widths, input_channels))


def _positions(graph: Graph, index: int) -> int:
    """Where a kernel is applied: at every output, a transposed one at every input."""
    node = graph.nodes[index]
    shape = graph.read_shape(node) if isinstance(node.operation, Conv2DTranspose) else node.output_shape
    return math.prod(shape[:2])


def _node_kernel_size(node: Node, input_channels: Channels, output_channels: Channels) -> Channels:
    """Weights of the node's kernel."""
    match node.operation:
        case Conv2D(kernel_size=(height, width), groups=groups):
            return height * width * (input_channels // groups) * output_channels
        case Conv2DTranspose(kernel_size=(height, width)):
            return height * width * input_channels * output_channels
        case DepthwiseConv2D(kernel_size=(height, width)):
            return height * width * output_channels
        case Dense():
            return input_channels * output_channels
        case _:
            return 0
