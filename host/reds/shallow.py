"""The network that leaves through an exit, or that lacks blocks, as a graph of its own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from reds.errors import UsageError
from reds.graph import INPUT, Exit, Family, Graph, KernelImportance, Node, Ranked, Subnetwork
from reds.grouping import MAKES_CHANNELS, narrowing_obstacle
from reds.skipping import skipped


@dataclass(frozen=True)
class ShallowNetwork:
    """What is needed of a network up to an exit, with the exit's head behind it, without blocks that are skipped."""

    graph: Graph
    """Its channel groups are those of the network that it has; the head's own channels are fixed."""
    groups: tuple[int, ...]
    """Per channel group its index in the network."""
    places: Mapping[int, int]
    """Per node of the network that it has, and INPUT, the index in the graph; the end of a block that is skipped is
    where the node is that the block reads."""

    def narrow(self, widths: Sequence[int]) -> tuple[int, ...]:
        """Of widths per channel group of the network, those of its own groups."""
        return tuple(widths[group] for group in self.groups)

    def widen(self, widths: Sequence[int], others: Sequence[int]) -> tuple[int, ...]:
        """Widths per channel group of the network: its own, and `others` where it has no part of a group."""
        own = dict(zip(self.groups, widths, strict=True))
        return tuple(own.get(group, width) for group, width in enumerate(others))


def shallow_network(graph: Graph, leave: Exit | None = None, skips: Sequence[str] = ()) -> ShallowNetwork:
    """Leaves out blocks and puts an exit's head behind its tap.

    Args:
        graph: the network.
        leave: the exit, or None for the network's own output.
        skips: names of the residual blocks that are left out.

    Returns:
        The network itself where there is no exit and no block is left out. Channels of a map whose head needs all of
        them are fixed.

    Raises:
        UsageError: if a block cannot be left out, or the exit taps the inside of one that is.
    """
    if leave is None and not skips:
        every = range(INPUT, len(graph.nodes))
        return ShallowNetwork(graph, tuple(range(len(graph.groups))), {index: index for index in every})
    left_out = skipped(graph, skips)
    end = len(graph.nodes) - 1 if leave is None else leave.tap
    if left_out.stand_in(end) is None:
        raise UsageError(f"An exit at '{graph.nodes[end].name}' cannot skip the block that this layer is inside of.")
    path = tuple(index for index in graph.ancestors(end) if index not in left_out.nodes)
    tapped = None if leave is None else graph.nodes[end].output_group
    fixed = None if leave is None or narrowing_obstacle(leave.head) is None else tapped
    used = {graph.nodes[index].output_group for index in path} | {graph.nodes[index].input_group for index in path}
    groups = tuple(sorted(group for group in used if group is not None and group != fixed))
    numbers = {group: number for number, group in enumerate(groups)}
    places = {INPUT: INPUT, **{index: place for place, index in enumerate(path)}}
    places |= {index: places[other] for index, other in left_out.stand_ins.items() if other in places}
    nodes = [_moved(graph.nodes[index], places, numbers) for index in path]
    named = replace(graph, name=" ".join([graph.name, *(f"-{name}" for name in skips)]))
    if leave is not None:
        nodes += _head_nodes(leave.head, len(nodes), numbers.get(-1 if tapped is None else tapped))
        named = replace(named, name=f"{named.name} {leave.name}", output_shape=leave.head.output_shape)
    own = replace(named, nodes=tuple(nodes), groups=tuple(graph.groups[group] for group in groups))
    return ShallowNetwork(own, groups, places)


def subnetwork_network(family: Family, subnetwork: Subnetwork) -> ShallowNetwork:
    """The network that a subnetwork is a narrower one of."""
    leave = family.exits[subnetwork.exit - 1] if subnetwork.exit else None
    return shallow_network(family.graph, leave, subnetwork.skips)


def check_networks(family: Family) -> None:
    """Raises UsageError where a subnetwork skips a block that cannot be skipped, or that its exit is inside of."""
    for subnetwork in family.subnetworks:
        subnetwork_network(family, subnetwork)


def shallow_ranked(
    ranked: Ranked, leave: Exit | None = None, skips: Sequence[str] = ()
) -> tuple[Ranked, ShallowNetwork]:
    """The same with the importance of its channels.

    Importance measured at the network's output cannot be compared between networks of other layers, only between
    channels of one.
    """
    shallow = shallow_network(ranked.graph, leave, skips)
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
