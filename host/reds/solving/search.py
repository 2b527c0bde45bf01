"""The search for one subnetwork: bound it, rule widths out, and finish exactly."""

from dataclasses import dataclass

from reds.solving.closing import Request, close_gap
from reds.solving.improve import exchange_pairs
from reds.solving.labels import best_choice
from reds.solving.lagrangian import ROUNDING, Dual, cheapest, promising, solve_dual
from reds.solving.problem import ChainProblem

_LABELS_PER_GROUP = 50_000
_WORTHWHILE_REDUCTION = 0.9
"""Widths are ruled out anew as long as at most this part of them stays."""


@dataclass(frozen=True)
class Best:
    """The best choice found for a chain, with its proof."""

    widths: tuple[int, ...]
    value: float
    cost: int
    bound: float
    """No choice within the budget has a larger value, to the rounding of doubles."""


def search(problem: ChainProblem, seconds: float, seed: int = 0, labels: int = _LABELS_PER_GROUP) -> Best | None:
    """Finds the best choice of widths within the budget.

    A Lagrangian dynamic program gives a bound and a first choice, pair exchanges improve it, and widths whose bound
    is below it are ruled out. Label setting finishes exactly; where that takes too many labels, CP-SAT does.

    Args:
        problem: the chain.
        seconds: time limit of CP-SAT.
        seed: seed of CP-SAT.
        labels: largest number of labels per group; 0 leaves everything to CP-SAT.

    Returns:
        The best choice and a bound on every choice, or None where none is within the budget.
    """
    if not problem.is_feasible(cheapest(problem)):
        return None
    reduced = _reduce(problem)
    value = reduced.problem.value(reduced.choice)
    if reduced.dual.bound <= value * (1 + 10 * ROUNDING):
        return _best(reduced.problem, reduced.choice, value)
    exact = best_choice(reduced.problem, reduced.dual.multiplier, reduced.choice, labels)
    if exact is not None:
        return _best(reduced.problem, exact, reduced.problem.value(exact))
    closing = close_gap(Request(reduced.problem, reduced.choice, seconds, seed=seed))
    return _best(reduced.problem, closing.choice, min(closing.bound, reduced.dual.bound))


@dataclass(frozen=True)
class _Reduced:
    """The widths that may still be part of a better choice, and the best choice so far."""

    problem: ChainProblem
    dual: Dual
    choice: tuple[int, ...]


def _reduce(problem: ChainProblem) -> _Reduced:
    choice = None
    while True:
        dual = solve_dual(problem)
        known = dual.choices if choice is None else (*dual.choices, choice)
        choice = max(known, key=problem.value)
        smaller, choice = _ruled_out(problem, dual, choice)
        choice = exchange_pairs(smaller, choice)
        smaller, choice = _ruled_out(smaller, dual, choice)
        done = _size(smaller) > _WORTHWHILE_REDUCTION * _size(problem)
        problem = smaller
        if done:
            return _Reduced(problem, dual, choice)


def _ruled_out(problem: ChainProblem, dual: Dual, choice: tuple[int, ...]) -> tuple[ChainProblem, tuple[int, ...]]:
    """The problem without the widths that cannot be part of a better choice; the choice itself stays."""
    smaller = problem.restrict(promising(problem, dual.multiplier, problem.value(choice)))
    return smaller, smaller.choice_of(problem.widths_of(choice))


def _size(problem: ChainProblem) -> int:
    return sum(len(widths) for widths in problem.widths)


def _best(problem: ChainProblem, choice: tuple[int, ...], bound: float) -> Best:
    value = problem.value(choice)
    return Best(problem.widths_of(choice), value, problem.cost(choice), max(value, bound))
