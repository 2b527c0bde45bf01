"""Finds residual blocks that a subnetwork may leave out.

A residual block is a sum of what it reads and of what its layers make of that. Without these layers, what reads the sum
reads what the block reads: a map of the same shape, whose channels are of the same group.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from reds.errors import UsageError
from reds.fold import FusedLayer, fuse
from reds.graph import (
    INPUT,
    Activation,
    ActivationFunction,
    Add,
    Concatenate,
    Crop,
    Exit,
    Graph,
    Mean,
    Multiply,
    Node,
    Pad,
    Pool2D,
    Slice,
    Upsample,
)

AUTO = ("auto",)
"""Stands for all blocks that can be skipped."""

MOST_IN_ALL_SETS = 3
"""Blocks of which all sets are tried; of more, only sets each of which has one more block than the one before."""

_NOT_NEGATIVE: frozenset[str] = frozenset({"relu"})
_UP_TO_SIX: frozenset[str] = frozenset({"relu", "relu6"})
_KEPT_BEHIND: Mapping[ActivationFunction, frozenset[str]] = {
    "relu": _NOT_NEGATIVE,
    "relu6": _UP_TO_SIX,
    "sigmoid": _UP_TO_SIX,
    "softmax": _UP_TO_SIX,
}
"""Activations that change no value that these functions give."""

_GIVE_NO_OTHERS = (Pool2D, Mean, Pad, Crop, Slice, Upsample, Concatenate)
"""Operations whose values lie between zero and those they read."""


@dataclass(frozen=True)
class Block:
    """A residual block that a subnetwork may leave out."""

    name: str
    """Of its sum."""
    source: int
    """Node that it reads, whose output stands for the block's where that is left out."""
    nodes: tuple[int, ...]
    """What is left out: its layers, the sum, and the activation that is fused with it, which is the last."""

    @property
    def end(self) -> int:
        """The node that what follows the block reads."""
        return self.nodes[-1]


@dataclass(frozen=True)
class Skipped:
    """What a subnetwork leaves out of a network."""

    nodes: frozenset[int]
    stand_ins: Mapping[int, int]
    """Per end of a block the node whose output is read instead."""

    def stand_in(self, node: int) -> int | None:
        """The node whose output is that of a node, which is mostly the node itself; None inside of a block."""
        if node not in self.nodes:
            return node
        return self.stand_ins.get(node)


def skippable_blocks(graph: Graph) -> tuple[Block, ...]:
    """The residual blocks that can be left out.

    Nothing but the sum reads what the block's layers make, and the activation behind the sum, if there is one, does not
    change what the block reads: a ReLU needs a map that is never negative, such as another ReLU gives. Blocks that read
    the network's input or make its output cannot be left out.

    Args:
        graph: a traced network.

    Returns:
        The blocks in the network's order. Some may lie inside of others.
    """
    kept = _activations_that_change_nothing(graph)
    blocks = (_block(graph, layer, kept) for layer in fuse(graph) if isinstance(layer.operation, Add))
    return tuple(block for block in blocks if block is not None)


def blocks_named(graph: Graph, names: Sequence[str]) -> tuple[Block, ...]:
    """Blocks that can be left out, by name.

    Args:
        graph: a traced network.
        names: of their sums, or of activations fused with these; `AUTO` stands for all of them, the last one first.

    Returns:
        The blocks in the order of the names.

    Raises:
        UsageError: if there is none, or no such one.
    """
    blocks = skippable_blocks(graph)
    if tuple(names) == AUTO and blocks:
        return blocks[::-1]
    known = {graph.nodes[node].name: block for block in blocks for node in (block.end, _sum_of(graph, block))}
    unknown = [name for name in names if name not in known]
    if not unknown:
        return tuple(dict.fromkeys(known[name] for name in names))
    raise UsageError(
        f"No block of '{graph.name}' that can be skipped is called '{unknown[0]}'. "
        + (f"Those that can: {', '.join(block.name for block in blocks)}" if blocks else "None can be skipped.")
    )


def skipped(graph: Graph, names: Sequence[str]) -> Skipped:
    """What a subnetwork that leaves out some blocks leaves out.

    Raises:
        UsageError: if one of the blocks cannot be left out.
    """
    blocks = blocks_named(graph, names) if names else ()
    nodes = frozenset(node for block in blocks for node in block.nodes)
    sources = {block.end: block.source for block in blocks}
    stand_ins = {}
    for end in sources:
        source = end
        while source in sources:
            source = sources[source]
        if source not in nodes:
            stand_ins[end] = source
    return Skipped(nodes, stand_ins)


def sets_to_skip(graph: Graph, names: Sequence[str], leave: Exit | None = None) -> tuple[tuple[str, ...], ...]:
    """The sets of blocks that a search tries.

    Args:
        graph: a traced network.
        names: of the blocks that may be left out, see `blocks_named`.
        leave: the exit that is taken, or None. Blocks behind it are of no account, nor are those that it is inside of.

    Returns:
        Names of blocks. First none; then of up to `MOST_IN_ALL_SETS` blocks all sets, and of more those that begin
        with the first name. Of sets that leave out the same, the first.

    Raises:
        UsageError: if one of the blocks cannot be left out.
    """
    blocks = blocks_named(graph, names) if names else ()
    if leave is not None:
        path = graph.ancestors(leave.tap)
        blocks = tuple(block for block in blocks if block.end in path and leave.tap not in block.nodes[:-1])
    if len(blocks) <= MOST_IN_ALL_SETS:
        sets = [chosen for size in range(len(blocks) + 1) for chosen in combinations(blocks, size)]
    else:
        sets = [blocks[:size] for size in range(len(blocks) + 1)]
    by_nodes: dict[frozenset[int], tuple[str, ...]] = {}
    for chosen in sets:
        left_out = frozenset(node for block in chosen for node in block.nodes)
        by_nodes.setdefault(left_out, tuple(block.name for block in chosen))
    return tuple(by_nodes.values())


def _sum_of(graph: Graph, block: Block) -> int:
    return next(node for node in block.nodes if graph.nodes[node].name == block.name)


def _block(graph: Graph, layer: FusedLayer, kept: Mapping[int, frozenset[str]]) -> Block | None:
    """The block that a sum ends, if there is one that can be left out."""
    total = graph.nodes[layer.first_node]
    if len(set(total.inputs)) < 2 or layer.last_node == len(graph.nodes) - 1 or not _joins_alike(total):
        return None
    for source, changed in (total.inputs, total.inputs[::-1]):
        inner = _layers_between(graph, source, changed)
        is_used_alone = _readers(graph, inner) <= inner | {layer.first_node}
        if inner and is_used_alone and (layer.activation == "none" or layer.activation in kept[source]):
            return Block(layer.name, source, (*sorted(inner), *layer.nodes))
    return None


def _joins_alike(total: Node) -> bool:
    """Whether a sum reads two maps of its own shape."""
    assert isinstance(total.operation, Add)
    return not total.operation.spread and total.reads is None


def _layers_between(graph: Graph, source: int, changed: int) -> frozenset[int]:
    """What is needed beside a node to make another of it; nothing where the other does not need it."""
    if INPUT in (source, changed):
        return frozenset()
    needed = graph.ancestors(changed)
    return frozenset(needed) - set(graph.ancestors(source)) if source in needed else frozenset()


def _readers(graph: Graph, nodes: frozenset[int]) -> frozenset[int]:
    return frozenset(index for index, node in enumerate(graph.nodes) if not nodes.isdisjoint(node.inputs))


def _activations_that_change_nothing(graph: Graph) -> dict[int, frozenset[str]]:
    """Per node, and INPUT, the activations that would give its output as it is."""
    kept: dict[int, frozenset[str]] = {INPUT: frozenset()}
    for index, node in enumerate(graph.nodes):
        of_all = frozenset.intersection(*(kept[source] for source in node.inputs))
        match node.operation:
            case Activation(function=function):
                kept[index] = _KEPT_BEHIND.get(function, frozenset())
            case Add() | Multiply() if len(node.inputs) > 1:
                kept[index] = of_all & _NOT_NEGATIVE
            case operation if isinstance(operation, _GIVE_NO_OTHERS):
                kept[index] = of_all
            case _:
                kept[index] = frozenset()
    return kept
