"""Finds the channels that must share one order and one width."""

from collections.abc import Sequence
from dataclasses import replace

from reds.disjoint_sets import DisjointSets
from reds.graph import (
    INPUT,
    BatchMatMul,
    ChannelGroup,
    Concatenate,
    Conv2D,
    Conv2DTranspose,
    Dense,
    Graph,
    Node,
    Pair,
    Slice,
    Transpose,
)

MAKES_CHANNELS = (Conv2D, Dense, Conv2DTranspose)
"""Operations whose output channels are their own. All others pass their inputs' channels on."""


FIXES_CHANNELS = (Concatenate, Slice, Transpose, BatchMatMul)
"""Operations that need every channel of their inputs in its place, and whose output channels are as fixed. Without its
last channels, the first input of a concatenation would move those of the second, and what reads them would not use a
prefix of its weights any more; a slice would begin at another channel; a transposed map has its channels elsewhere, and
a product of matrices sums over them."""


def with_groups(nodes: Sequence[Node]) -> tuple[tuple[Node, ...], tuple[ChannelGroup, ...]]:
    """Finds the channel groups of a network.

    Channels that are passed on, and all inputs of an operation that does so, belong together. Those that reach the
    network's input, its output, or an operation that fixes them are fixed: they belong to no group.

    Args:
        nodes: the network in topological order, the output last; groups that they name are ignored.

    Returns:
        The nodes with their groups, and the groups in the order of the nodes that make their channels first.
    """
    channels = _channels_that_belong_together(nodes)
    fixed = {channels.find(tensor) for tensor in _fixed_tensors(nodes)}
    groups: dict[int, int] = {}
    sizes: list[ChannelGroup] = []

    def group(node: int) -> int | None:
        return groups.get(channels.find(_tensor(node)))

    grouped: list[Node] = []
    for index, node in enumerate(nodes):
        representative = channels.find(_tensor(index))
        if representative not in fixed and representative not in groups:
            groups[representative] = len(sizes)
            sizes.append(ChannelGroup(node.name, node.output_shape[2]))
        grouped.append(replace(node, input_group=group(node.input), output_group=group(index)))
    return tuple(grouped), tuple(sizes)


def narrowing_obstacle(head: Graph) -> Node | None:
    """What keeps an exit's head from reading only the first channels of its map.

    Args:
        head: the head, whose input is the map.

    Returns:
        The first node that needs all channels of the map, or the last one where it gives them; None where each of them
        can be left out.
    """
    passed_on = {INPUT}
    for index, node in enumerate(head.nodes):
        brought = passed_on.intersection(node.inputs)
        if not brought:
            continue
        passes = not isinstance(node.operation, MAKES_CHANNELS)
        alike = not passes or node.output_shape[2] == head.shape_of(node.input)[2]
        if _fixes_channels(node, head.nodes) or not alike or len(brought) < len(set(node.inputs)):
            return node
        if passes:
            passed_on.add(index)
    return head.nodes[-1] if len(head.nodes) - 1 in passed_on else None


def _tensor(node: int) -> int:
    """Number of a node's output among the tensors; 0 is the network's input."""
    return node - INPUT


def _channels_that_belong_together(nodes: Sequence[Node]) -> DisjointSets:
    channels = DisjointSets(len(nodes) + 1)
    for index, node in enumerate(nodes):
        if not isinstance(node.operation, MAKES_CHANNELS) and not _fixes_channels(node, nodes):
            for source in node.inputs:
                channels.unite(_tensor(index), _tensor(source))
    return channels


def _fixed_tensors(nodes: Sequence[Node]) -> list[int]:
    fixed = [_tensor(INPUT), _tensor(len(nodes) - 1)]
    for index, node in enumerate(nodes):
        if _fixes_channels(node, nodes):
            fixed += [_tensor(index), *(_tensor(source) for source in node.inputs)]
        elif _divides_anew(node, nodes):
            fixed += [_tensor(source) for source in node.inputs]
    return fixed


def _divides_anew(node: Node, nodes: Sequence[Node]) -> bool:
    """Whether a node reads its input with other channels than it was written with, such as a map as a vector."""
    return node.reads is not None and node.input != INPUT and node.reads[2] != nodes[node.input].output_shape[2]


def _fixes_channels(node: Node, nodes: Sequence[Node]) -> bool:
    """Whether a node fixes the channels of its inputs and of its output.

    A depthwise convolution with several filters per channel does, as it has more channels behind it than before it,
    which cannot share one order and one width; so does what reads other channels than were written. A grouped
    convolution does, as a prefix of its channels is no convolution of as many groups.
    """
    if isinstance(node.operation, Conv2D):
        return node.operation.groups > 1
    if isinstance(node.operation, FIXES_CHANNELS) or _has_whole_constant(node):
        return True
    written = (nodes[source].output_shape[2] for source in node.inputs if source != INPUT)
    return not isinstance(node.operation, MAKES_CHANNELS) and any(size != node.output_shape[2] for size in written)


def _has_whole_constant(node: Node) -> bool:
    """Whether it is an operation on a map and a constant for each of its elements, which is not stored by channels."""
    return isinstance(node.operation, Pair) and len(node.inputs) == 1 and not node.operation.spread
