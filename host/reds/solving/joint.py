"""Searches the subnetworks of all budgets at once: the largest weighted sum of their values, each nested in the next.

Without the nesting, each budget has its own problem, and the sum of their bounds bounds the whole; prices on the
nesting lower it. The bound rules out the widths with which the sum would fall below the best known family; CP-SAT
decides about the rest.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from reds.solving import closing
from reds.solving.improve import exchange_pairs
from reds.solving.lagrangian import ROUNDING, promising, solve_dual
from reds.solving.nesting import bound_nested, nest
from reds.solving.problem import Edge, Problem, Terms
from reds.solving.search import Best, Effort, search

_NESTED_CHOICES = 20
"""Choices of the best bounds that are nested and improved."""


@dataclass(frozen=True)
class JointBest:
    """The best nested subnetworks found."""

    bests: tuple[Best, ...]
    """One per problem; a bound is that of its problem alone."""
    value: float
    """Weighted sum of the values."""
    bound: float
    """No nested subnetworks within the budgets have a larger weighted sum."""


def search_jointly(
    problems: Sequence[Problem], alone: Sequence[Best], weights: Sequence[float], effort: Effort
) -> JointBest:
    """Finds the best nested subnetworks.

    Args:
        problems: one per budget, by falling budget, for the same groups.
        alone: what is best for each without the nesting.
        weights: of the problems' values.
        effort: how hard to search.

    Returns:
        The subnetworks and a bound on their weighted sum.
    """
    weighted = [_weigh(problem, weight) for problem, weight in zip(problems, weights, strict=True)]
    bounds = [weight * best.bound for weight, best in zip(weights, alone, strict=True)]
    bound = sum(bounds)
    bests = list(alone) if _is_nested(alone) else _in_turn(problems, effort)
    loss = bound - _sum_of_values(bests, weights)
    if loss > 10 * ROUNDING * bound:
        if all(problem.sweep.work <= effort.sweep for problem in problems):
            weighted = [_ruled_out(problem, most, loss) for problem, most in zip(weighted, bounds, strict=True)]
        closed = _closed(weighted, [best.widths for best in bests], effort)
        bests = [_best(problem, widths) for problem, widths in zip(problems, closed.widths, strict=True)]
        bound = min(bound, closed.bound)
    bests = [replace(best, bound=max(best.value, one.bound)) for best, one in zip(bests, alone, strict=True)]
    value = _sum_of_values(bests, weights)
    return JointBest(tuple(bests), value, max(value, bound))


@dataclass(frozen=True)
class _Closed:
    """Nested widths, one tuple per problem, and a bound on the sum of their values."""

    widths: tuple[tuple[int, ...], ...]
    bound: float


def _closed(problems: Sequence[Problem], widths: Sequence[tuple[int, ...]], effort: Effort) -> _Closed:
    """Improves nested widths by exchanges, and by CP-SAT among those that prices on the nesting do not rule out."""
    stacked = _stacked(problems)
    known = exchange_pairs(stacked, stacked.choice_of(_flat(widths)))
    bound = math.inf
    if all(problem.sweep.work <= effort.sweep for problem in problems):
        falling = bound_nested(problems, stacked.values.of(known))
        nested = [nest(problems, one.widths) for one in falling[-_NESTED_CHOICES:]]
        choices = [stacked.choice_of(_flat(one)) for one in nested if one is not None]
        improved = [exchange_pairs(stacked, choice) for choice in choices if stacked.is_feasible(choice)]
        best = stacked.widths_of(max([known, *improved], key=stacked.values.of))
        value = stacked.values.of(stacked.choice_of(best))
        stacked, bound = _stacked(falling[-1].restrict(problems, value)), falling[-1].bound
        known = stacked.choice_of(best)
    value = stacked.values.of(known)
    if bound > value * (1 + 10 * ROUNDING):
        request = closing.Request(stacked, known, effort.seconds * len(problems), seed=effort.seed)
        found = closing.close_gap(request)
        known, bound = found.choice or known, min(bound, found.bound)
    chosen, count = stacked.widths_of(known), len(problems[0])
    parts = tuple(chosen[start : start + count] for start in range(0, len(chosen), count))
    return _Closed(parts, bound)


def _flat(widths: Sequence[tuple[int, ...]]) -> list[int]:
    return [width for each in widths for width in each]


def _best(problem: Problem, widths: tuple[int, ...]) -> Best:
    choice = problem.choice_of(widths)
    costs = tuple(limit.costs.of(choice) for limit in problem.limits)
    value = problem.values.of(choice)
    return Best(widths, value, costs, value)


def _weigh(problem: Problem, weight: float) -> Problem:
    """The problem with its values times a weight."""
    unary = tuple(weight * table for table in problem.values.unary)
    pairs = {edge: weight * table for edge, table in problem.values.pairs.items()}
    return replace(problem, values=Terms(unary, pairs))


def _sum_of_values(bests: Sequence[Best], weights: Sequence[float]) -> float:
    return sum(weight * best.value for weight, best in zip(weights, bests, strict=True))


def _is_nested(bests: Sequence[Best]) -> bool:
    return all(np.all(np.greater_equal(larger.widths, smaller.widths)) for larger, smaller in pairwise(bests))


def _in_turn(problems: Sequence[Problem], effort: Effort) -> list[Best]:
    """Each problem's best around that of the next smaller budget."""
    found: list[Best] = []
    for problem in reversed(problems):
        lower = found[-1].widths if found else (0,) * len(problem)
        best = search(problem.between(lower, [int(widths[-1]) for widths in problem.widths]), effort)
        assert best is not None
        found.append(best)
    return found[::-1]


def _ruled_out(problem: Problem, bound: float, loss: float) -> Problem:
    """The problem with the widths that can lose no more than this from its bound."""
    dual = solve_dual(problem) if len(problem.limits) == 1 else closing.solve_dual(problem)
    return problem.restrict(promising(problem, dual.prices, min(bound, dual.bound) - loss))


def _stacked(problems: Sequence[Problem]) -> Problem:
    """All problems as one: the groups of each, and no width above that of the same group in the one before."""
    count = len(problems[0])
    allowed = {
        _shifted(edge, index * count): table
        for index, problem in enumerate(problems)
        for edge, table in problem.allowed.items()
    }
    for index, (larger, smaller) in enumerate(pairwise(problems)):
        for group in range(count):
            nested = np.greater_equal.outer(larger.widths[group], smaller.widths[group])
            allowed[index * count + group, (index + 1) * count + group] = nested
    return Problem(
        tuple(widths for problem in problems for widths in problem.widths),
        _side_by_side([problem.values for problem in problems]),
        tuple(
            replace(limit, costs=_among(limit.costs, problems, index))
            for index, problem in enumerate(problems)
            for limit in problem.limits
        ),
        allowed,
    )


def _shifted(edge: Edge, by: int) -> Edge:
    return (edge[0] + by, edge[1] + by)


def _side_by_side(parts: Sequence[Terms]) -> Terms:
    """The sum of terms of separate groups."""
    count = len(parts[0].unary)
    return Terms(
        tuple(table for part in parts for table in part.unary),
        {
            _shifted(edge, index * count): table
            for index, part in enumerate(parts)
            for edge, table in part.pairs.items()
        },
        sum(part.constant for part in parts),
    )


def _among(costs: Terms, problems: Sequence[Problem], own: int) -> Terms:
    """The costs of one problem as those of all groups."""
    nothing = [Terms(tuple(np.zeros(len(widths), np.int64) for widths in problem.widths), {}) for problem in problems]
    return _side_by_side([costs if index == own else zero for index, zero in enumerate(nothing)])
