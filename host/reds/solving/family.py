"""Searches a family of nested subnetworks, one per budget."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, get_args

import numpy as np

from reds import cost
from reds.errors import UsageError, VerificationError
from reds.graph import Family, Graph, Ranked, Solution, Subnetwork
from reds.solving.chain import METRICS, Limits, Objective, chain_problem, narrowest
from reds.solving.lagrangian import cheapest
from reds.solving.problem import ChainProblem
from reds.solving.search import Best, search

Order = Literal["bottom_up", "top_down"]
Progress = Callable[[str], None]

FULL_NAME = "100%"
"""Name of subnetwork 0, the full network."""


def solve(
    ranked: Ranked,
    budgets: Sequence[float] = (0.25, 0.5, 0.75),
    metric: str = "macs",
    objective: Objective = "product",
    max_arena: int | None = None,
    multiple: int = 1,
    minimum: float = 1,
    order: Order = "bottom_up",
    element_bytes: int = 1,
    time_limit: float = 3.0,
    seed: int = 0,
    progress: Progress | None = None,
) -> Family:
    """Searches one subnetwork per budget: the widths that keep the most importance, nested in each other.

    Iterative knapsack of REDS (Corti et al., arXiv 2311.13349), with true costs: bottom-up gives each larger budget
    at least the widths of the smaller ones, top-down each smaller budget at most the widths of the larger ones.

    Args:
        ranked: the network, its channels sorted by falling importance.
        budgets: limits, as fractions up to 1 of the full network's cost or as whole numbers in the metric's unit.
        metric: what the budgets limit: "macs", multiply-accumulates of one inference.
        objective: what is made largest: "product" of the shares of importance that the channel groups keep, or the
            "sum" of all importance kept, as in REDS. A sum can starve one layer, through which everything must pass,
            because it is a small part of the whole; a product cannot.
        max_arena: limit in bytes on the activations in memory at the same time; holds for every subnetwork but the
            full network.
        multiple: widths are multiples of it, or the full width.
        minimum: smallest width as a number of channels, or below 1 as a fraction of the layer's.
        order: "bottom_up" or "top_down".
        element_bytes: bytes of one activation: 1 for int8, 4 for float32.
        time_limit: seconds per budget that CP-SAT may take for what the dynamic programs leave open.
        seed: seed of CP-SAT.
        progress: called with a line per budget.

    Returns:
        The full network, named "100%", and one subnetwork per budget, falling. A fraction's is named by its
        percentage ("25%"), a whole number's by the metric ("macs=600000").

    Raises:
        UsageError: if an argument is out of range or a budget cannot be met.
        VerificationError: if the result is not nested or exceeds a budget.
    """
    limits = Limits(multiple, minimum, max_arena, element_bytes)
    request = _Request(metric, objective, limits, order, time_limit, seed)
    _check_arguments(ranked, request)
    _check_arena(ranked.graph, limits)
    wanted = _wanted(ranked, budgets, metric, max_arena)
    subnetworks = _search_all(ranked, wanted, request, progress)
    full = Subnetwork(FULL_NAME, cost.full_widths(ranked.graph))
    return Family(ranked.graph, ranked.importance, ranked.exits, (full, *subnetworks))


@dataclass(frozen=True)
class _Wanted:
    """One subnetwork to find."""

    name: str
    budget: int


@dataclass(frozen=True)
class _Request:
    """How to search."""

    metric: str
    objective: Objective
    limits: Limits
    order: Order
    time_limit: float
    seed: int


def _search_all(
    ranked: Ranked, wanted: Sequence[_Wanted], request: _Request, progress: Progress | None
) -> tuple[Subnetwork, ...]:
    """The subnetworks by falling budget."""
    lower = (0,) * len(ranked.graph.groups)
    upper = cost.full_widths(ranked.graph)
    found: list[Subnetwork] = []
    for one in wanted[::-1] if request.order == "bottom_up" else wanted:
        start = time.perf_counter()
        problem = chain_problem(ranked, one.budget, request.metric, request.limits, request.objective)
        best = search(problem.between(lower, upper), request.time_limit, request.seed)
        if best is None:
            raise _cannot_be_met(one, problem, request.metric)
        solution = Solution(one.budget, request.metric, best.value, best.bound, time.perf_counter() - start)
        found.append(Subnetwork(one.name, best.widths, solution=solution))
        _report_line(progress, one, best, solution)
        lower, upper = (best.widths, upper) if request.order == "bottom_up" else (lower, best.widths)
    falling = tuple(found[::-1] if request.order == "bottom_up" else found)
    _verify(ranked, falling, request.metric, request.limits)
    return falling


def _check_arguments(ranked: Ranked, request: _Request) -> None:
    limits = request.limits
    if not ranked.graph.groups:
        raise UsageError(
            "`ranked` must have a layer besides its last one whose channels can be narrowed. Received: none."
        )
    for name, choices in (
        ("metric", tuple(METRICS)),
        ("objective", get_args(Objective)),
        ("order", get_args(Order)),
    ):
        if getattr(request, name) not in choices:
            received = f"{name}={getattr(request, name)!r}"
            raise UsageError(f"`{name}` must be one of {', '.join(choices)}. Received: {received}")
    for name in ("multiple", "element_bytes"):
        if getattr(limits, name) < 1:
            raise UsageError(f"`{name}` must be at least 1. Received: {name}={getattr(limits, name)}")
    if limits.minimum <= 0:
        raise UsageError(f"`minimum` must be above 0. Received: minimum={limits.minimum}")
    if not all(np.all(np.isfinite(values)) and np.all(values >= 0) for values in ranked.importance):
        raise UsageError("`ranked.importance` must be finite and not negative; check the weights and the dataset.")


def _wanted(ranked: Ranked, budgets: Sequence[float], metric: str, max_arena: int | None) -> tuple[_Wanted, ...]:
    """What to search, by falling budget; the full network itself is left out."""
    sizes = [np.array([size]) for size in cost.full_widths(ranked.graph)]
    tables = METRICS[metric](ranked.graph, sizes)
    total = tables.constant + sum(int(table.sum()) for table in (*tables.unary, *tables.edges))
    by_name = {one.name: one for one in (_named(budget, metric, total) for budget in budgets)}
    if max_arena is None:
        by_name.pop(FULL_NAME, None)
    elif FULL_NAME in by_name:
        by_name[FULL_NAME] = _Wanted(f"arena={max_arena}", total)
    return tuple(sorted(by_name.values(), key=lambda one: one.budget, reverse=True))


def _named(budget: float, metric: str, total: int) -> _Wanted:
    if 0 < budget <= 1:
        return _Wanted(f"{100 * budget:g}%", math.floor(budget * total))
    if budget > 1 and budget == int(budget):
        return _Wanted(f"{metric}={int(budget)}", int(budget))
    raise UsageError(
        f"`budgets` must be fractions above 0 up to 1, or whole numbers in the metric's unit. Received: {budget}"
    )


def _check_arena(graph: Graph, limits: Limits) -> None:
    smallest = cost.peak_activation_bytes(graph, narrowest(graph, limits), limits.element_bytes)
    if limits.max_arena is not None and smallest > limits.max_arena:
        raise UsageError(
            f"`max_arena` cannot be met: the narrowest subnetwork needs {smallest} bytes. "
            f"Received: max_arena={limits.max_arena}; raise it, or lower `minimum` or `multiple`."
        )


def _cannot_be_met(one: _Wanted, problem: ChainProblem, metric: str) -> UsageError:
    smallest = problem.cost(cheapest(problem))
    return UsageError(
        f"`budgets` cannot be met: the narrowest subnetwork needs {smallest} {metric}. "
        f"Received: {one.name}, which is {one.budget}; raise it, or lower `minimum` or `multiple`."
    )


def _report_line(progress: Progress | None, one: _Wanted, best: Best, solution: Solution) -> None:
    if progress is not None:
        progress(
            f"{one.name}: {best.cost} of {one.budget} {solution.metric}, value {solution.value:.6g}, "
            f"bound {solution.bound:.6g}, gap {solution.gap:.2%}, {solution.seconds:.2f} s"
        )


def _verify(ranked: Ranked, falling: Sequence[Subnetwork], metric: str, limits: Limits) -> None:
    """Checks the result with the plain cost functions, which the search does not use."""
    for larger, smaller in pairwise(falling):
        if any(few > many for few, many in zip(smaller.widths, larger.widths, strict=True)):
            raise VerificationError(f"Subnetwork '{smaller.name}' is not nested in '{larger.name}'.")
    for subnetwork in falling:
        assert subnetwork.solution is not None
        if metric == "macs" and cost.macs(ranked.graph, subnetwork.widths) > subnetwork.solution.budget:
            raise VerificationError(f"Subnetwork '{subnetwork.name}' exceeds its budget.")
        arena = cost.peak_activation_bytes(ranked.graph, subnetwork.widths, limits.element_bytes)
        if limits.max_arena is not None and arena > limits.max_arena:
            raise VerificationError(f"Subnetwork '{subnetwork.name}' exceeds the arena.")
