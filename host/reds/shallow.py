"""The network that leaves through an exit, as a graph of its own."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from reds.graph import INPUT, Exit, Family, Graph, KernelImportance, Node, Ranked, Subnetwork
from reds.grouping import MAKES_CHANNELS, narrowing_obstacle


@dataclass(frozen=True)
class ShallowNetwork:
    """What is needed of a network up to an exit, with the exit's head behind it."""

    graph: Graph
    """Its channel groups are those of the network that it has; the head's own channels are fixed."""
    groups: tuple[int, ...]
    """Per channel group its index in the network."""

    def narrow(self, widths: Sequence[int]) -> tuple[int, ...]:
        """Of widths per channel group of the network, those of its own groups."""
        return tuple(widths[group] for group in self.groups)

    def widen(self, widths: Sequence[int], others: Sequence[int]) -> tuple[int, ...]:
        """Widths per channel group of the network: its own, and `others` where it has no part of a group."""
        own = dict(zip(self.groups, widths, strict=True))
        return tuple(own.get(group, width) for group, width in enumerate(others))


def shallow_network(graph: Graph, leave: Exit | None) -> ShallowNetwork:
    """Puts an exit's head behind its tap.

    Args:
        graph: the network.
        leave: the exit, or None for the network's own output.

    Returns:
        The network itself where there is no exit. Channels of a map whose head needs all of them are fixed.
    """
    if leave is None:
        return ShallowNetwork(graph, tuple(range(len(graph.groups))))
    path = graph.ancestors(leave.tap)
    tapped = graph.nodes[leave.tap].output_group
    fixed = tapped if narrowing_obstacle(leave.head) is not None else None
    used = {graph.nodes[index].output_group for index in path} | {graph.nodes[index].input_group for index in path}
    groups = tuple(sorted(group for group in used if group is not None and group != fixed))
    numbers = {group: number for number, group in enumerate(groups)}
    places = {INPUT: INPUT, **{index: place for place, index in enumerate(path)}}
    trunk = [_moved(graph.nodes[index], places, numbers) for index in path]
    nodes = (*trunk, *_head_nodes(leave.head, len(trunk), numbers.get(-1 if tapped is None else tapped)))
    named = replace(graph, name=f"{graph.name} {leave.name}", nodes=nodes, output_shape=leave.head.output_shape)
    return ShallowNetwork(replace(named, groups=tuple(graph.groups[group] for group in groups)), groups)


def subnetwork_network(family: Family, subnetwork: Subnetwork) -> ShallowNetwork:
    """The network that a subnetwork is a narrower one of."""
    return shallow_network(family.graph, family.exits[subnetwork.exit - 1] if subnetwork.exit else None)


def shallow_ranked(ranked: Ranked, leave: Exit | None) -> tuple[Ranked, ShallowNetwork]:
    """The same with the importance of its channels.

    Importance measured at the network's output cannot be compared between exits, only between channels of one.
    """
    shallow = shallow_network(ranked.graph, leave)
    importance = tuple(ranked.importance[group] for group in shallow.groups)
    kernels = None
    if ranked.kernels is not None:
        units = tuple(ranked.kernels.units[group] for group in shallow.groups)
        kernels = KernelImportance(units, ranked.kernels.pointwise)
    return Ranked(shallow.graph, importance, ranked.method, (), kernels), shallow


def _moved(node: Node, places: dict[int, int], numbers: dict[int, int]) -> Node:
    """A node of the network at its new place."""
    return replace(
        node,
        inputs=tuple(places[source] for source in node.inputs),
        input_group=None if node.input_group is None else numbers.get(node.input_group),
        output_group=None if node.output_group is None else numbers.get(node.output_group),
    )


def _head_nodes(head: Graph, first: int, tapped: int | None) -> list[Node]:
    """A head's nodes behind the trunk, whose last node is the tap. What passes the map's channels on has its group."""
    passing = {INPUT: tapped}
    nodes = []
    for index, node in enumerate(head.nodes):
        brought = passing.get(node.input)
        passing[index] = None if isinstance(node.operation, MAKES_CHANNELS) else brought
        inputs = tuple(first + source for source in node.inputs)
        nodes.append(replace(node, inputs=inputs, input_group=brought, output_group=passing[index]))
    return nodes
