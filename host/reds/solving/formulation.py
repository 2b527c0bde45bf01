"""Writes the search for a subnetwork of a ranked network as a problem."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from reds.errors import UsageError
from reds.graph import Graph, Ranked
from reds.solving.metrics import ARENA, arena_rules, cost_model
from reds.solving.problem import BoolArray, Edge, FloatArray, IntArray, Limit, Problem, Terms

Objective = Literal["product", "sum"]

SMALLEST_SHARE = 1e-9
"""Share of a group's importance that a product counts for channels of no importance."""


@dataclass(frozen=True)
class Rules:
    """What the searches of all budgets have in common."""

    objective: Objective = "product"
    multiple: int = 1
    """Allowed widths are multiples of it, and the full width."""
    minimum: float | Mapping[str, float] = 1
    """Smallest allowed width, as a number of channels or below 1 as a fraction of the group; or one per group."""
    element_bytes: int = 1
    """Bytes of one activation or weight: 1 for int8, 4 for float32."""
    kernels: bool = False
    """Whether pointwise convolutions are valued by the kernels they keep."""
    limits: Mapping[str, int] = field(default_factory=dict)
    """By metric, what every subnetwork may cost besides its budget."""


def formulate(ranked: Ranked, metric: str, budget: int, rules: Rules) -> Problem:
    """Writes the search for one subnetwork as a problem.

    Args:
        ranked: the network, its channels sorted by falling importance.
        metric: what the budget limits.
        budget: in units of the metric.
        rules: which widths are allowed and what they are worth.

    Returns:
        The problem. The value of a width is the importance of the channels it keeps, or for a product the logarithm
        of their share above that of the first channel's.
    """
    graph = ranked.graph
    widths = tuple(allowed_widths(graph, group, rules) for group in range(len(graph.groups)))
    budgets = _joined(rules.limits, metric, budget)
    arena = budgets.pop(ARENA, None)
    limits = [
        Limit(name, cost_model(name, graph, rules.element_bytes).tables(widths), most) for name, most in budgets.items()
    ]
    keep: Sequence[BoolArray] = [np.ones(len(allowed), np.bool_) for allowed in widths]
    allowed: Mapping[Edge, BoolArray] = {}
    if arena is not None:
        by_arena = arena_rules(graph, widths, arena, rules.element_bytes)
        keep, allowed = by_arena.keep, by_arena.allowed
        limits += by_arena.limits
    limits = limits or [_no_limit(widths)]
    return Problem(widths, _values(ranked, widths, rules), tuple(limits), allowed).restrict(keep)


def allowed_widths(graph: Graph, group: int, rules: Rules) -> IntArray:
    """The widths of a group that `multiple` and `minimum` allow."""
    size = graph.groups[group].size
    multiples = np.arange(rules.multiple, size + 1, rules.multiple)
    smallest = rules.minimum
    if isinstance(smallest, Mapping):
        smallest = smallest.get(graph.groups[group].name, 1)
    smallest = smallest * size if smallest < 1 else smallest
    return np.union1d(multiples[multiples >= smallest], [size]).astype(np.int64)


def narrowest(graph: Graph, rules: Rules) -> tuple[int, ...]:
    """The smallest widths that `multiple` and `minimum` allow."""
    return tuple(int(allowed_widths(graph, group, rules)[0]) for group in range(len(graph.groups)))


def _joined(limits: Mapping[str, int], metric: str, budget: int) -> dict[str, int]:
    """All limits of one subnetwork, its budget first."""
    others = {name: most for name, most in limits.items() if name != metric}
    return {metric: min(budget, limits.get(metric, budget)), **others}


def _no_limit(widths: Sequence[IntArray]) -> Limit:
    """Stands for a budget that rules out widths and sums up nothing."""
    return Limit(ARENA, Terms(tuple(np.zeros(len(allowed), np.int64) for allowed in widths), {}), 0)


def _values(ranked: Ranked, widths: Sequence[IntArray], rules: Rules) -> Terms:
    if not rules.kernels:
        unary = (_kept(importance, rules.objective) for importance in ranked.importance)
        return Terms(tuple(values[allowed - 1] for values, allowed in zip(unary, widths, strict=True)), {})
    if ranked.kernels is None:
        raise UsageError("`kernels` needs a network whose kernels were ranked. Received: none; rank it again.")
    units = [
        _kept(units, rules.objective)[allowed - 1] for units, allowed in zip(ranked.kernels.units, widths, strict=True)
    ]
    pairs: dict[Edge, FloatArray] = {}
    for node in ranked.graph.nodes:
        scores = ranked.kernels.pointwise.get(node.name)
        first, second = node.input_group, node.output_group
        if scores is None or first is None or second is None:
            continue
        values = _kept(scores, rules.objective)[np.ix_(widths[first] - 1, widths[second] - 1)]
        if first == second:
            units[first] = units[first] + values.diagonal()
        else:
            edge = (min(first, second), max(first, second))
            pairs[edge] = pairs.get(edge, 0.0) + (values if first < second else values.T)
    return Terms(tuple(units), pairs)


def _kept(importance: NDArray[np.float64], objective: Objective) -> FloatArray:
    """Value of each width from 1 on; of a matrix, of each pair of widths."""
    kept = importance
    for axis in range(importance.ndim):
        kept = np.cumsum(kept, axis)
    if objective == "sum":
        return kept
    total = kept[(-1,) * kept.ndim]
    shares = kept / total if total > 0 else np.ones_like(kept)
    logarithms = np.log(np.maximum(shares, SMALLEST_SHARE))
    return np.asarray(logarithms - logarithms[(0,) * kept.ndim])
