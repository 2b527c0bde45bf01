"""Finds the best prices of several limits; run as a program, it serves one request (see `closing`).

Kelley's cutting planes: the bound is convex in the prices, and each choice gives a plane below it. A linear program
over the planes so far names the next prices, where the dynamic program finds the next choice.
"""

from collections.abc import Sequence

from ortools.linear_solver import pywraplp

from reds.own_process import answer
from reds.solving.lagrangian import Dual, bound_at, completions, follow, rewards
from reds.solving.problem import Choice, Problem

_MAX_PLANES = 200
_TOLERANCE = 1e-6
"""Relative distance of the bound from the planes at which more planes are not worth it."""


def solve_dual(problem: Problem) -> Dual:
    """Finds the prices with the smallest bound.

    Args:
        problem: may have several limits.

    Returns:
        The prices, their bound and the choices on the way.
    """
    prices = (0.0,) * len(problem.limits)
    best: Dual | None = None
    choices: list[Choice] = []
    master = _Master(problem)
    while len(choices) < _MAX_PLANES:
        reward = rewards(problem, prices)
        choice = follow(problem, reward, completions(problem, reward))
        bound = bound_at(problem, prices, choice)
        if best is None or bound < best.bound:
            best = Dual(prices, bound, ())
        choices.append(choice)
        master.add(choice)
        prices, lowest = master.lowest_point()
        if best.bound - lowest <= _TOLERANCE * abs(best.bound):
            break
    assert best is not None
    return Dual(best.prices, best.bound, tuple(choices))


class _Master:
    """The lower envelope of the planes, as a linear program over (prices, bound)."""

    def __init__(self, problem: Problem) -> None:
        self._problem = problem
        self._solver = pywraplp.Solver.CreateSolver("GLOP")
        value = problem.values.largest()
        # Prices are scaled by the budgets. Where a choice leaves a part of a budget unused, no larger price is best.
        self._scales = [value / max(1, limit.budget - limit.costs.constant) for limit in problem.limits]
        self._prices = [self._solver.NumVar(0, 1000, "") for _ in problem.limits]
        self._bound = self._solver.NumVar(-self._solver.infinity(), self._solver.infinity(), "")
        self._solver.Minimize(self._bound)

    def add(self, choice: Choice) -> None:
        """Adds the plane of a choice."""
        slacks = [limit.budget - limit.costs.of(choice) for limit in self._problem.limits]
        terms = zip(self._prices, self._scales, slacks, strict=True)
        plane = sum(price * (scale * slack) for price, scale, slack in terms)
        self._solver.Add(self._bound - plane >= self._problem.values.of(choice))

    def lowest_point(self) -> tuple[tuple[float, ...], float]:
        """The prices where the envelope is lowest, and how low it is there."""
        self._solver.Solve()
        return self._scaled([price.solution_value() for price in self._prices]), self._bound.solution_value()

    def _scaled(self, prices: Sequence[float]) -> tuple[float, ...]:
        return tuple(max(0.0, price * scale) for price, scale in zip(prices, self._scales, strict=True))


if __name__ == "__main__":
    answer(solve_dual)
