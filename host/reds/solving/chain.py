"""Writes the search for a subnetwork of a ranked network as a chain problem."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from reds import cost
from reds.errors import UsageError
from reds.graph import Graph, Ranked
from reds.solving.problem import BoolArray, ChainProblem, CostTables, IntArray

Objective = Literal["product", "sum"]

SMALLEST_SHARE = 1e-9
"""Share of a group's importance that a product counts for channels of no importance."""


@dataclass(frozen=True)
class Limits:
    """What every subnetwork must keep to besides its budget."""

    multiple: int = 1
    """Allowed widths are multiples of it, and the full width."""
    minimum: float = 1
    """Smallest allowed width, as a number of channels or below 1 as a fraction of the group."""
    max_arena: int | None = None
    """Bytes for the activations in memory at the same time."""
    element_bytes: int = 1
    """Bytes of one activation: 1 for int8, 4 for float32."""


def chain_problem(
    ranked: Ranked, budget: int, metric: str, limits: Limits, objective: Objective = "product"
) -> ChainProblem:
    """Writes the search for one subnetwork as a chain problem.

    Args:
        ranked: the network, its channels sorted by falling importance.
        budget: limit in units of the metric.
        metric: a name in `METRICS`.
        limits: which widths are allowed.
        objective: "sum" adds the importance that all groups keep; "product" multiplies the shares that they keep.

    Returns:
        The problem. The value of a width is the importance of the channels it keeps, or for a product its logarithm
        above that of the first channel.

    Raises:
        UsageError: if a layer joins channel groups that are not neighbours.
    """
    graph = ranked.graph
    widths = tuple(_allowed_widths(group.size, limits) for group in graph.groups)
    values = tuple(
        _kept(importance, objective)[allowed - 1] for importance, allowed in zip(ranked.importance, widths, strict=True)
    )
    keep = tuple(np.ones(len(allowed), np.bool_) for allowed in widths)
    pairs: tuple[BoolArray, ...] = tuple(
        np.ones((len(first), len(second)), np.bool_) for first, second in pairwise(widths)
    )
    if limits.max_arena is not None:
        arena = arena_tables(graph, widths, limits.element_bytes)
        keep = tuple(unary <= limits.max_arena for unary in arena.unary)
        pairs = tuple(edge <= limits.max_arena for edge in arena.edges)
    return ChainProblem(widths, values, METRICS[metric](graph, widths), pairs, budget).restrict(keep)


def _kept(importance: NDArray[np.float64], objective: Objective) -> NDArray[np.float64]:
    """Value of each width from 1 on."""
    kept = np.cumsum(importance)
    if objective == "sum":
        return kept
    shares = kept / kept[-1] if kept[-1] > 0 else np.ones_like(kept)
    logarithms = np.log(np.maximum(shares, SMALLEST_SHARE))
    return np.asarray(logarithms - logarithms[0])


def narrowest(graph: Graph, limits: Limits) -> tuple[int, ...]:
    """The smallest widths that `multiple` and `minimum` allow."""
    return tuple(int(_allowed_widths(group.size, limits)[0]) for group in graph.groups)


def macs_tables(graph: Graph, widths: Sequence[IntArray]) -> CostTables:
    """Multiply-accumulates of every choice of widths, coupling and classifier included."""
    terms = (
        _Term(
            node.name,
            node.input_group,
            graph.shape_of(node.input)[2],
            node.output_group,
            node.output_shape[2],
            partial(cost.node_macs, graph, index),
        )
        for index, node in enumerate(graph.nodes)
    )
    return _tables(terms, widths, np.add)


def arena_tables(graph: Graph, widths: Sequence[IntArray], element_bytes: int) -> CostTables:
    """Bytes of activations of every choice of widths; the largest entry of a choice counts, not the sum."""
    terms = (
        _Term(
            pair.name,
            pair.input_group,
            pair.input_channels,
            pair.output_group,
            pair.output_channels,
            partial(pair.bytes, element_bytes=element_bytes),
        )
        for pair in cost.arena_pairs(graph)
    )
    return _tables(terms, widths, np.maximum)


METRICS: Mapping[str, Callable[[Graph, Sequence[IntArray]], CostTables]] = {"macs": macs_tables}
"""What a budget can limit."""


@dataclass(frozen=True)
class _Term:
    """One operation's part of a cost."""

    name: str
    input_group: int | None
    input_channels: int
    """At full width."""
    output_group: int | None
    output_channels: int
    cost: Callable[[cost.Channels, cost.Channels], cost.Channels]
    """Of the active input and output channels."""


def _tables(terms: Iterable[_Term], widths: Sequence[IntArray], combine: np.ufunc) -> CostTables:
    constant = 0
    unary = [np.zeros(len(allowed), np.int64) for allowed in widths]
    edges = [np.zeros((len(first), len(second)), np.int64) for first, second in pairwise(widths)]
    for term in terms:
        first, second = term.input_group, term.output_group
        inputs = term.input_channels if first is None else widths[first]
        outputs = term.output_channels if second is None else widths[second]
        groups = {group for group in (first, second) if group is not None}
        if len(groups) == 2:
            edge = _edge_between(term)
            edges[edge] = combine(edges[edge], term.cost(np.asarray(inputs)[:, np.newaxis], outputs))
        elif groups:
            group = groups.pop()
            unary[group] = combine(unary[group], term.cost(inputs, outputs))
        else:
            constant = int(combine(constant, term.cost(inputs, outputs)))
    return CostTables(constant, tuple(unary), tuple(edges))


def _edge_between(term: _Term) -> int:
    first, second = term.input_group, term.output_group
    assert first is not None and second is not None
    if second != first + 1:
        raise UsageError(
            f"The network must be a chain of channel groups. Received: '{term.name}' joins groups "
            f"{first} and {second}; the search takes neighbours only."
        )
    return first


def _allowed_widths(size: int, limits: Limits) -> IntArray:
    multiples = np.arange(limits.multiple, size + 1, limits.multiple)
    smallest = limits.minimum * size if limits.minimum < 1 else limits.minimum
    return np.union1d(multiples[multiples >= smallest], [size]).astype(np.int64)
