"""Bounds nested subnetworks of several budgets by prices on their nesting.

No width of a subnetwork exceeds that of the same group in the next larger one. A price on each channel that a smaller
one keeps and the larger one does not leaves separate problems, and the sum of their bounds bounds the whole (Lagrangian
relaxation). The prices follow the subgradient in steps of Polyak (1969).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from reds.solving import closing
from reds.solving.lagrangian import bound_at, completions, follow, promising, rewards, solve_dual
from reds.solving.problem import Choice, FloatArray, Problem, Terms

_ROUNDS = 150
_PATIENCE = 8
"""Rounds without a better bound after which steps are halved."""

_SMALLEST_STEP = 1e-3


@dataclass(frozen=True)
class NestedBound:
    """A bound on nested choices, as the sum of bounds of separate problems."""

    problems: tuple[Problem, ...]
    """With the prices on their nesting in their values."""
    prices: tuple[tuple[float, ...], ...]
    """Per problem, of its limits."""
    bounds: tuple[float, ...]
    """Per problem."""
    widths: tuple[tuple[int, ...], ...]
    """Per problem of its best choice, not nested as a rule."""

    @property
    def bound(self) -> float:
        """No nested choices have a larger sum of values."""
        return sum(self.bounds)

    def restrict(self, problems: Sequence[Problem], value: float) -> tuple[Problem, ...]:
        """Problems with the widths that can be part of nested choices of at least a value.

        Args:
            problems: those that were bounded.
            value: sum of the values of known nested choices.
        """
        kept = []
        for problem, priced, prices, bound in zip(problems, self.problems, self.prices, self.bounds, strict=True):
            kept.append(problem.restrict(promising(priced, prices, value - (self.bound - bound))))
        return tuple(kept)


def bound_nested(problems: Sequence[Problem], value: float) -> tuple[NestedBound, ...]:
    """Finds good prices on the nesting.

    Args:
        problems: one per budget, by falling budget, for the same groups.
        value: sum of the values of known nested choices.

    Returns:
        The bounds found, each better than the one before.
    """
    search = _Search(problems)
    found = search.bound()
    falling = [found]
    step, waited = 1.0, 0
    for _ in range(_ROUNDS):
        if falling[-1].bound <= value or step < _SMALLEST_STEP or not search.move(step * (found.bound - value)):
            break
        found = search.bound()
        if found.bound < falling[-1].bound:
            falling.append(found)
            waited = 0
            continue
        waited += 1
        if waited == _PATIENCE:
            step, waited = step / 2, 0
    return tuple(falling)


class _Search:
    def __init__(self, problems: Sequence[Problem]) -> None:
        self._problems = problems
        groups = zip(*(problem.widths for problem in problems), strict=True)
        self._sizes = [int(max(widths[-1] for widths in group)) for group in groups]
        # Per problem but the last and per group the price of each channel that the next problem keeps and it does not.
        self._nesting = [[np.zeros(size) for size in self._sizes] for _ in problems[1:]]
        # Several limits keep their first prices, since finding them takes another process.
        self._fixed = [None if len(p.limits) == 1 else closing.solve_dual(p).prices for p in problems]
        self._choices: list[tuple[int, ...]] = []

    def bound(self) -> NestedBound:
        """The bound at the present prices."""
        priced, prices, bounds, self._choices = [], [], [], []
        for index, fixed in enumerate(self._fixed):
            problem = self._priced(index)
            price = solve_dual(problem).prices if fixed is None else fixed
            choice = _best(problem, price)
            priced.append(problem)
            prices.append(price)
            bounds.append(bound_at(problem, price, choice))
            self._choices.append(problem.widths_of(choice))
        return NestedBound(tuple(priced), tuple(prices), tuple(bounds), tuple(self._choices))

    def move(self, distance: float) -> bool:
        """Raises prices of nestings that the choices break and lowers others; false where there is none to change."""
        kept = [[_kept(width, size) for width, size in zip(c, self._sizes, strict=True)] for c in self._choices]
        excess = [[smaller - larger for larger, smaller in zip(*pair, strict=True)] for pair in pairwise(kept)]
        norm = sum(float((one**2).sum()) for each in excess for one in each)
        if norm == 0:
            return False
        self._nesting = [
            [np.maximum(0.0, price + distance / norm * one) for price, one in zip(prices, each, strict=True)]
            for prices, each in zip(self._nesting, excess, strict=True)
        ]
        return True

    def _priced(self, index: int) -> Problem:
        """A problem whose widths earn the prices of the next smaller one's nesting and pay those of its own."""
        problem = self._problems[index]
        unary = list(problem.values.unary)
        for sign, pair in ((1, index), (-1, index - 1)):
            if 0 <= pair < len(self._nesting):
                for group, price in enumerate(self._nesting[pair]):
                    unary[group] = unary[group] + sign * _of_widths(price, problem, group)
        return replace(problem, values=Terms(tuple(unary), problem.values.pairs))


def nest(problems: Sequence[Problem], widths: Sequence[tuple[int, ...]]) -> tuple[tuple[int, ...], ...] | None:
    """Narrows the smaller of two widths of a group where it is wider than the larger.

    Args:
        problems: one per budget, by falling budget.
        widths: per problem, of one of its choices.

    Returns:
        Nested widths, or None where a problem allows no width that is narrow enough.
    """
    nested = [tuple(widths[0])]
    for problem, own in zip(problems[1:], widths[1:], strict=True):
        most = np.minimum(own, nested[-1])
        fitting = [allowed[allowed <= limit] for allowed, limit in zip(problem.widths, most, strict=True)]
        if any(len(allowed) == 0 for allowed in fitting):
            return None
        nested.append(tuple(int(allowed[-1]) for allowed in fitting))
    return tuple(nested)


def _of_widths(price: FloatArray, problem: Problem, group: int) -> FloatArray:
    """What the channels of each allowed width of a group cost together."""
    return np.concatenate(([0.0], np.cumsum(price)))[problem.widths[group]]


def _kept(width: int, size: int) -> FloatArray:
    """1 for each channel that a width keeps, 0 for the others."""
    return (np.arange(size) < width).astype(np.float64)


def _best(problem: Problem, prices: Sequence[float]) -> Choice:
    reward = rewards(problem, prices)
    return follow(problem, reward, completions(problem, reward))
