"""The search for one subnetwork: bound it, rule widths out, and finish exactly."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from reds.solving import closing
from reds.solving.improve import exchange_pairs
from reds.solving.labels import best_choice
from reds.solving.lagrangian import ROUNDING, Dual, cheapest, promising, solve_dual
from reds.solving.problem import Choice, Problem

_LABELS_PER_GROUP = 200_000
_WORTHWHILE_REDUCTION = 0.9
"""Widths are ruled out anew as long as at most this part of them stays."""

LARGEST_SWEEP = 200_000_000
"""Choices of widths in one pass of a dynamic program, about a second; beyond it CP-SAT has the problem to itself."""


@dataclass(frozen=True)
class Effort:
    """How hard to search."""

    seconds: float
    """Time limit of CP-SAT."""
    seed: int = 0
    """Of CP-SAT."""
    labels: int = _LABELS_PER_GROUP
    """Largest number of labels per group; 0 leaves everything to CP-SAT."""
    sweep: int = LARGEST_SWEEP
    """Largest pass of a dynamic program; 0 leaves everything to CP-SAT."""


@dataclass(frozen=True)
class Best:
    """The best choice found for a problem, with its proof."""

    widths: tuple[int, ...]
    value: float
    costs: tuple[int, ...]
    """Per limit."""
    bound: float
    """No choice within the limits has a larger value, to the rounding of doubles."""


def search(problem: Problem, effort: Effort) -> Best | None:
    """Finds the best choice of widths within the limits.

    A Lagrangian dynamic program gives a bound and a first choice, pair exchanges improve it, and widths whose bound
    is below it are ruled out. Label setting finishes exactly; where that takes too many labels, CP-SAT does.

    Args:
        problem: the problem.
        effort: how hard to search.

    Returns:
        The best choice and a bound on every choice, or None where none is within the limits.

    Raises:
        TimeoutError: if CP-SAT neither found a choice nor proved that there is none.
    """
    if any(len(widths) == 0 for widths in problem.widths):
        return None
    if problem.sweep.work > effort.sweep:
        return _closed(problem, problem.best_of([_narrowest(problem)]), math.inf, effort)
    if len(problem.limits) == 1:
        start = problem.best_of([cheapest(problem)])
        return None if start is None else _finished(_reduce(problem, start, solve_dual), effort)
    start = problem.best_of([_narrowest(problem), *(cheapest(problem, index) for index in range(len(problem.limits)))])
    if start is None:
        return _closed(problem, None, math.inf, effort)
    smaller, start = _reduce_by_each_limit(problem, start)
    return _finished(_reduce(smaller, start, closing.solve_dual), effort)


@dataclass(frozen=True)
class _Reduced:
    """The widths that may still be part of a better choice, and the best choice so far."""

    problem: Problem
    dual: Dual
    choice: Choice


def _reduce(problem: Problem, choice: Choice, dual_of: Callable[[Problem], Dual]) -> _Reduced:
    while True:
        dual = dual_of(problem)
        choice = problem.best_of([*dual.choices, choice]) or choice
        smaller, choice = _ruled_out(problem, dual, choice)
        choice = exchange_pairs(smaller, choice)
        smaller, choice = _ruled_out(smaller, dual, choice)
        done = _size(smaller) > _WORTHWHILE_REDUCTION * _size(problem)
        problem = smaller
        if done:
            return _Reduced(problem, dual, choice)


def _reduce_by_each_limit(problem: Problem, choice: Choice) -> tuple[Problem, Choice]:
    """Rules out what one limit alone rules out, which takes no other process."""
    for index in range(len(problem.limits)):
        alone = replace(problem, limits=(problem.limits[index],))
        dual = solve_dual(alone)
        choice = problem.best_of([*dual.choices, choice]) or choice
        keep = promising(alone, dual.prices, problem.values.of(choice))
        widths = problem.widths_of(choice)
        problem = problem.restrict(keep)
        choice = problem.choice_of(widths)
    return problem, choice


def _ruled_out(problem: Problem, dual: Dual, choice: Choice) -> tuple[Problem, Choice]:
    """The problem without the widths that cannot be part of a better choice; the choice itself stays."""
    smaller = problem.restrict(promising(problem, dual.prices, problem.values.of(choice)))
    return smaller, smaller.choice_of(problem.widths_of(choice))


def _size(problem: Problem) -> int:
    return sum(len(widths) for widths in problem.widths)


def _finished(reduced: _Reduced, effort: Effort) -> Best:
    problem, dual, choice = reduced.problem, reduced.dual, reduced.choice
    value = problem.values.of(choice)
    if dual.bound <= value * (1 + 10 * ROUNDING):
        return _best(problem, choice, value)
    tightest = max(range(len(dual.prices)), key=lambda index: dual.prices[index] * problem.limits[index].budget)
    relaxed = replace(problem, limits=(problem.limits[tightest],))
    exact = best_choice(relaxed, dual.prices[tightest], choice, effort.labels)
    if exact is not None and problem.is_feasible(exact):
        return _best(problem, exact, problem.values.of(exact))
    bound = dual.bound if exact is None else min(dual.bound, problem.values.of(exact))
    best = _closed(problem, choice, bound, effort)
    assert best is not None
    return best


def _closed(problem: Problem, choice: Choice | None, bound: float, effort: Effort) -> Best | None:
    """Leaves the rest to CP-SAT."""
    found = closing.close_gap(closing.Request(problem, choice, effort.seconds, seed=effort.seed))
    if found.choice is not None:
        return _best(problem, found.choice, min(found.bound, bound))
    if found.bound == -math.inf:
        return None
    raise TimeoutError(f"no choice was found in {effort.seconds:g} s, nor a proof that there is none")


def _narrowest(problem: Problem) -> Choice:
    return (0,) * len(problem)


def _best(problem: Problem, choice: Choice, bound: float) -> Best:
    value = problem.values.of(choice)
    costs = tuple(limit.costs.of(choice) for limit in problem.limits)
    return Best(problem.widths_of(choice), value, costs, max(value, bound))
