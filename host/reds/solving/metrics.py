"""What a subnetwork costs by each metric: for one choice of widths, and as tables over all of them.

| metric | unit |
|---|---|
| `macs` | multiply-accumulates of one inference, with the coupling of layers and the classifier |
| `nominal_macs` | the same as the REDS paper counts them, see `nominal_terms` |
| `flash` | bytes of the file that one inference reads: weights, constants, steps and tensors |
| `arena` | bytes of the activations in memory at the same time, where they may overlap counted once |
| `cycles:TARGET` | instructions of one inference by the cost table of a target, see `reds.targets` |
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from reds import cost
from reds.arena import place
from reds.cost import Channels
from reds.errors import UsageError
from reds.fold import FusedLayer, fuse
from reds.graph import (
    INPUT,
    OPERAND,
    Activation,
    Add,
    Concatenate,
    Conv2D,
    Conv2DTranspose,
    Dense,
    DepthwiseConv2D,
    Graph,
    Mean,
    Multiply,
    Node,
    PRelu,
    Requantize,
    Resize,
    Subtract,
)
from reds.lookup import TABLED
from reds.overlapping import sharing
from reds.plan import STEP_BYTES, TENSOR_BYTES, WORD_BYTES
from reds.solving.problem import BoolArray, Edge, IntArray, Limit, Terms
from reds.targets import Target, load_target, target_names
from reds.tensors import Lifetime, Tensors, align, least_bytes, lifetimes

ARENA = "arena"
CYCLES = "cycles:"

MOST_TABLED = 2
"""Groups with maps in memory at one step for which what these may share is tabled."""

SOFTMAX_WORDS = 3
"""Constants of an int8 softmax."""

TABLE_WORDS = 64
"""Constants of an int8 function that is looked up: 256 answers."""

SUM_WORDS = 7
"""Constants of an int8 sum: a shift, and a multiplier and a shift each for both inputs and the output."""

FACTOR_WORDS = 2
"""Constants of an int8 product or mean, and of each side of a PReLU: a multiplier and a shift."""


@dataclass(frozen=True)
class Term:
    """One operation's part of a cost."""

    input_group: int | None
    """None where the cost does not depend on the input's width."""
    input_channels: int
    """At full width."""
    output_group: int | None
    output_channels: int
    cost: Callable[[Channels, Channels], Channels]
    """Of the active input and output channels."""

    def at(self, widths: Sequence[int]) -> int:
        """The cost at the given widths per group."""
        inputs = self.input_channels if self.input_group is None else widths[self.input_group]
        outputs = self.output_channels if self.output_group is None else widths[self.output_group]
        return int(self.cost(inputs, outputs))


@dataclass(frozen=True)
class CostModel:
    """A metric of a network as a sum of terms."""

    metric: str
    terms: tuple[Term, ...]
    constant: int = 0

    def at(self, widths: Sequence[int]) -> int:
        """The cost of a subnetwork.

        Args:
            widths: active channels per channel group.
        """
        return self.constant + sum(term.at(widths) for term in self.terms)

    def tables(self, widths: Sequence[IntArray]) -> Terms:
        """The cost of every choice among the given widths per group."""
        tables = _Tables(widths)
        for term in self.terms:
            tables.add(term)
        return Terms(tuple(tables.unary), tables.pairs, self.constant + tables.constant)


def cost_model(metric: str, graph: Graph, element_bytes: int = 1) -> CostModel:
    """The terms of a metric.

    Args:
        metric: a name from the table above, but not "arena", which is no sum.
        graph: the network.
        element_bytes: bytes of one weight or activation: 1 for int8, 4 for float32.

    Returns:
        The model.

    Raises:
        UsageError: if there is no such metric or target.
    """
    if metric == "macs":
        return CostModel(metric, tuple(_node_terms(graph, range(len(graph.nodes)))))
    if metric == "nominal_macs":
        return CostModel(metric, tuple(_nominal_terms(graph)))
    layers = fuse(graph)
    if metric == "flash":
        steps = len(layers) * STEP_BYTES + (len(layers) + 1) * TENSOR_BYTES
        terms = (
            term
            for layer in layers
            for term in (*_flash_terms(layer, element_bytes), *_operand_terms(graph, layer, element_bytes))
        )
        return CostModel(metric, tuple(terms), steps)
    if metric.startswith(CYCLES):
        target = load_target(metric.removeprefix(CYCLES))
        terms = (_layer_term(layer, partial(_instructions, target, layer)) for layer in layers)
        return CostModel(metric, tuple(terms), round(target.inference))
    raise UsageError(f"`metric` must be one of {', '.join(metric_names())}. Received: metric={metric!r}")


def metric_names() -> tuple[str, ...]:
    """All metrics."""
    return ("macs", "nominal_macs", "flash", ARENA, *(CYCLES + name for name in target_names()))


def cost_at(metric: str, graph: Graph, widths: Sequence[int], element_bytes: int = 1) -> int:
    """The cost of one subnetwork by any metric.

    Args:
        metric: its name.
        graph: the network.
        widths: active channels per channel group.
        element_bytes: bytes of one weight or activation: 1 for int8, 4 for float32.
    """
    if metric == ARENA:
        return max(int(need.of(widths)) for need in _needs(graph, element_bytes))
    return cost_model(metric, graph, element_bytes).at(widths)


@dataclass(frozen=True)
class ArenaRules:
    """Which widths keep an arena."""

    keep: tuple[BoolArray, ...]
    """Per group whether each width may be used at all."""
    allowed: Mapping[Edge, BoolArray]
    """Per pair of groups whether each pair of widths may be used."""
    limits: tuple[Limit, ...]
    """For the moments in which maps of more than two groups are in memory."""


def arena_rules(graph: Graph, widths: Sequence[IntArray], budget: int, element_bytes: int) -> ArenaRules:
    """Which of the given widths per group keep the arena within a budget in bytes."""
    keep = [np.ones(len(allowed), np.bool_) for allowed in widths]
    allowed: dict[Edge, BoolArray] = {}
    limits = []
    for need in _needs(graph, element_bytes):
        if len(need.groups) > MOST_TABLED:
            limits.append(Limit(ARENA, need.terms(widths), budget))
            continue
        fits = need.table(widths) <= budget
        if not need.groups and not fits:
            keep = [np.zeros_like(kept) for kept in keep]
        for axis, group in enumerate(need.groups):
            keep[group] &= fits.any(axis=tuple(other for other in range(fits.ndim) if other != axis))
        if len(need.groups) == 2:
            first, second = need.groups
            allowed[first, second] = allowed.get((first, second), True) & fits
    return ArenaRules(tuple(keep), allowed, tuple(limits))


@dataclass(frozen=True)
class _Map:
    """An activation that has a place in the arena."""

    positions: int
    group: int | None
    channels: int
    """At full width."""
    life: Lifetime


@dataclass(frozen=True)
class _Need:
    """What the maps that are in memory at one step need, in bytes.

    Where more than two groups have maps in memory, nothing is shared, so that the need is a sum over groups.
    """

    maps: tuple[_Map, ...]
    """All of the network."""
    step: int
    layer: FusedLayer
    element_bytes: int

    @property
    def groups(self) -> tuple[int, ...]:
        """The groups whose maps are in memory."""
        return tuple(sorted({one.group for one in self._live if one.group is not None}))

    def of(self, widths: Sequence[Channels]) -> Channels:
        """By the widths of the groups, or arrays of them."""
        channels = [one.channels if one.group is None else widths[one.group] for one in self.maps]
        sizes = [one.positions * active * self.element_bytes for one, active in zip(self.maps, channels, strict=True)]
        shared = None
        if len(self.groups) <= MOST_TABLED:
            source = _read_channels(self.layer, channels)
            shared = sharing(self.layer, source, channels[self.step + 1], self.element_bytes)
        return least_bytes(sizes, [one.life for one in self.maps], self.step, shared)

    def table(self, widths: Sequence[IntArray]) -> IntArray:
        """For all widths of the groups, an axis per group."""
        axes = np.ix_(*(widths[group] for group in self.groups))
        by_group: list[Channels] = [0] * len(widths)
        for group, axis in zip(self.groups, axes, strict=True):
            by_group[group] = axis
        return np.broadcast_to(self.of(by_group), [len(widths[group]) for group in self.groups])

    def terms(self, widths: Sequence[IntArray]) -> Terms:
        """The same as a sum over groups."""
        constant = 0
        unary = [np.zeros(len(allowed), np.int64) for allowed in widths]
        for one in self._live:
            if one.group is None:
                constant += int(align(one.positions * one.channels * self.element_bytes))
            else:
                unary[one.group] = unary[one.group] + align(one.positions * widths[one.group] * self.element_bytes)
        return Terms(tuple(unary), {}, constant)

    @property
    def _live(self) -> tuple[_Map, ...]:
        return tuple(one for one in self.maps if one.life.first <= self.step <= one.life.last)


def _needs(graph: Graph, element_bytes: int) -> Iterator[_Need]:
    """One per step of the run list."""
    maps = _maps(graph)
    for step, layer in enumerate(fuse(graph)):
        yield _Need(maps, step, layer, element_bytes)


def _maps(graph: Graph) -> tuple[_Map, ...]:
    """The network's input and the output of each operation that a device runs."""
    layers = fuse(graph)
    lives = lifetimes([[source - INPUT for source in layer.inputs] for layer in layers])
    shapes = [(graph.input_map, None), *((layer.output_shape, layer.output_group) for layer in layers)]
    return tuple(
        _Map(height * width, group, channels, life)
        for ((height, width, channels), group), life in zip(shapes, lives, strict=True)
    )


def planned_arenas(graph: Graph, family: Sequence[Sequence[int]], element_bytes: int) -> tuple[int, ...]:
    """The arenas that the planner gives to subnetworks without exits.

    Args:
        graph: the network.
        family: per subnetwork its active channels per channel group, the full network among them.
        element_bytes: bytes of one activation: 1 for int8, 4 for float32.

    Returns:
        Bytes, per subnetwork.
    """
    maps = _maps(graph)
    lives = tuple(one.life for one in maps)
    tensors = []
    for widths in family:
        channels = [one.channels if one.group is None else int(widths[one.group]) for one in maps]
        sizes = (one.positions * active * element_bytes for one, active in zip(maps, channels, strict=True))
        shared = (
            sharing(layer, _read_channels(layer, channels), channels[step + 1], element_bytes)
            for step, layer in enumerate(fuse(graph))
        )
        tensors.append(Tensors(tuple(sizes), lives, tuple(shared)))
    return tuple(placement.arena_bytes for placement in place(tensors))


def _read_channels(layer: FusedLayer, channels: Sequence[Channels]) -> Channels:
    """Of a layer's first input, as it reads it; `channels` are those of the input and of each layer's output."""
    return layer.input_shape[2] if layer.input_group is None else channels[layer.inputs[0] - INPUT]


class _Tables:
    """Sums of terms over the widths of groups and of pairs of groups."""

    def __init__(self, widths: Sequence[IntArray]) -> None:
        self._widths = widths
        self.constant = 0
        self.unary = [np.zeros(len(allowed), np.int64) for allowed in widths]
        self.pairs: dict[Edge, IntArray] = {}

    def add(self, term: Term) -> None:
        """Adds a term."""
        first, second = term.input_group, term.output_group
        inputs = term.input_channels if first is None else self._widths[first]
        outputs = term.output_channels if second is None else self._widths[second]
        if first is None and second is None:
            self.constant += int(term.cost(inputs, outputs))
        elif first is None or second is None or first == second:
            group = second if first is None else first
            assert group is not None
            self.unary[group] = self.unary[group] + term.cost(inputs, outputs)
        elif first < second:
            self._add_pair((first, second), term.cost(np.asarray(inputs)[:, np.newaxis], outputs))
        else:
            self._add_pair((second, first), term.cost(inputs, np.asarray(outputs)[:, np.newaxis]))

    def _add_pair(self, edge: Edge, table: Any) -> None:
        known = self.pairs.get(edge)
        self.pairs[edge] = table if known is None else known + table


def _node_terms(graph: Graph, indices: Iterable[int]) -> Iterable[Term]:
    for index in indices:
        node = graph.nodes[index]
        if isinstance(node.operation, Conv2D | Dense | Conv2DTranspose):
            yield _node_term(graph, node, partial(cost.node_macs, graph, index))
        elif isinstance(node.operation, DepthwiseConv2D):
            yield _of_outputs(node, partial(cost.node_macs, graph, index, 0))


def _node_term(graph: Graph, node: Node, of: Callable[[Channels, Channels], Channels]) -> Term:
    return Term(node.input_group, graph.read_shape(node)[2], node.output_group, node.output_shape[2], of)


def _of_outputs(node: Node | FusedLayer, of: Callable[[Channels], Channels]) -> Term:
    """A term that does not depend on the input's width."""
    return Term(None, 0, node.output_group, node.output_shape[2], lambda _, outputs: of(outputs))


def _nominal_terms(graph: Graph) -> Iterable[Term]:
    """Multiply-accumulates as the REDS paper's look-up tables count them (Corti et al., arXiv 2311.13349).

    A unit counts with all channels of its full input, whatever the input's width, except in pointwise convolutions,
    where the paper's program counts each kernel. The classifier does not count, nor does any layer on a vector behind
    the convolutions. So a nominal budget of 25 % is 10 to 22 % of the true multiply-accumulates.
    """
    for index, node in enumerate(graph.nodes):
        if node.output_group is None or _is_head(graph, node):
            continue
        if isinstance(node.operation, Conv2D) and node.operation.kernel_size == (1, 1):
            yield from _node_terms(graph, [index])
        else:
            inputs = graph.read_shape(node)[2]
            yield _of_outputs(node, partial(cost.node_macs, graph, index, inputs))


def _is_head(graph: Graph, node: Node) -> bool:
    return node.output_shape[:2] == (1, 1) and graph.input_map[:2] != (1, 1)


def _flash_terms(layer: FusedLayer, element_bytes: int) -> Iterable[Term]:
    """Weights, and what the device needs per output channel beside them."""
    match layer.operation:
        case Conv2D(kernel_size=(height, width), groups=groups):
            taps = height * width * element_bytes
            yield _layer_term(layer, lambda inputs, outputs: taps * (inputs // groups) * outputs)
        case Conv2DTranspose(kernel_size=(height, width)):
            taps = height * width * element_bytes
            yield _layer_term(layer, lambda inputs, outputs: taps * inputs * outputs)
        case Dense():
            yield _layer_term(layer, lambda inputs, outputs: element_bytes * inputs * outputs)
        case PRelu():
            yield _of_outputs(layer, lambda outputs: element_bytes * outputs)
        case DepthwiseConv2D(kernel_size=(height, width)):
            taps = height * width * element_bytes
            yield _of_outputs(layer, lambda outputs: taps * outputs)
    if layer.weighted:
        yield _of_outputs(layer, partial(_channel_constants, element_bytes=element_bytes))
    else:
        words = _constant_words(layer, element_bytes)
        yield _of_outputs(layer, lambda _: words * WORD_BYTES)


def _operand_terms(graph: Graph, layer: FusedLayer, element_bytes: int) -> Iterable[Term]:
    """The constant that a pair has instead of a second input, and in int8 its zero point."""
    operand = graph.nodes[layer.first_node].weights.get(OPERAND)
    if operand is None:
        return
    if element_bytes == 1:
        yield _of_outputs(layer, lambda _: WORD_BYTES)
    positions = operand.size // layer.output_shape[2]
    yield _of_outputs(layer, lambda outputs: element_bytes * (1 if operand.size == 1 else positions * outputs))


def _channel_constants(outputs: Channels, element_bytes: int) -> Channels:
    """int8: a bias, a multiplier and a shift byte per channel, the shifts padded to words; float32: bias and factor."""
    words = 2 * outputs if element_bytes > 1 else 2 * outputs + (outputs + WORD_BYTES - 1) // WORD_BYTES
    return WORD_BYTES * words


def _constant_words(layer: FusedLayer, element_bytes: int) -> int:
    """Of an operation without weights: numbers of further inputs, and what int8 arithmetic needs."""
    further = len(layer.inputs) - 1
    match layer.operation:
        case Concatenate():
            return 1 + further
        case Resize():
            return sum((size + 1) // 2 for size in layer.output_shape[:2])
        case Add() | Subtract() if element_bytes == 1:
            return further + SUM_WORDS
        case Multiply() | Mean() if element_bytes == 1:
            return further + FACTOR_WORDS
        case Requantize():
            return TABLE_WORDS
        case PRelu() if element_bytes == 1:
            return 2 * FACTOR_WORDS
        case Activation(function="softmax") if element_bytes == 1:
            return SOFTMAX_WORDS
        case Activation(function=function) if element_bytes == 1 and function in TABLED:
            return TABLE_WORDS
        case Activation(function="leaky_relu"):
            return 1
        case _:
            return further


def _layer_term(layer: FusedLayer, of: Callable[[Channels, Channels], Channels]) -> Term:
    return Term(layer.input_group, layer.input_shape[2], layer.output_group, layer.output_shape[2], of)


def _instructions(target: Target, layer: FusedLayer, inputs: Channels, outputs: Channels) -> Channels:
    """Whole instructions."""
    return np.rint(target.instructions(layer, inputs, outputs)).astype(np.int64)
