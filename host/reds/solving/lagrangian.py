"""Lagrangian dynamic program over a chain: a proven bound, good choices, and the widths that can be ruled out.

For a multiplier m >= 0, the best choice by value - m * (cost - budget), found exactly by dynamic programming, bounds
the value of every choice within the budget (Everett 1963; Fisher 1981).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from reds.solving.problem import BoolArray, ChainProblem, FloatArray

ROUNDING = 1e-12
"""Relative error allowed to sums of doubles; every bound is raised by it."""

_MAX_MULTIPLIERS = 60


@dataclass(frozen=True)
class Dual:
    """What the search for the best multiplier found."""

    multiplier: float
    bound: float
    """No choice within the budget has a larger value."""
    choices: tuple[tuple[int, ...], ...]
    """Choices within the budget that it came across, as indices into the allowed widths."""


def completions(problem: ChainProblem, multiplier: float, value_weight: float = 1.0) -> tuple[FloatArray, ...]:
    """Best Lagrangian value of the rest of the chain.

    Args:
        problem: the chain.
        multiplier: price of one unit of cost.
        value_weight: factor on the values; 0 leaves only the costs.

    Returns:
        Per group and width the best sum of value_weight * value - multiplier * cost over this and all later groups;
        minus infinity where no allowed pair leads on.
    """
    best = [value_weight * problem.values[-1] - multiplier * problem.costs.unary[-1]]
    for group in range(len(problem) - 2, -1, -1):
        onwards = (_edge_rewards(problem, group, multiplier) + best[0]).max(axis=1)
        best.insert(0, onwards + value_weight * problem.values[group] - multiplier * problem.costs.unary[group])
    return tuple(best)


def arrivals(problem: ChainProblem, multiplier: float) -> tuple[FloatArray, ...]:
    """Best Lagrangian value of all earlier groups, per group and width; the mirror image of `completions`.

    The width's own value and cost are left out, so that arrival + completion is the best through a width.
    """
    best = [np.zeros(len(problem.widths[0]))]
    for group in range(len(problem) - 1):
        own = best[-1] + problem.values[group] - multiplier * problem.costs.unary[group]
        best.append((_edge_rewards(problem, group, multiplier) + own[:, np.newaxis]).max(axis=0))
    return tuple(best)


def follow(problem: ChainProblem, multiplier: float, rest: Sequence[FloatArray]) -> tuple[int, ...]:
    """The best choice that the given completions lead along, as indices into the allowed widths."""
    choice = [int(rest[0].argmax())]
    for group in range(len(problem) - 1):
        rewards = _edge_rewards(problem, group, multiplier, choice[-1]) + rest[group + 1]
        choice.append(int(rewards.argmax()))
    return tuple(choice)


def cheapest(problem: ChainProblem) -> tuple[int, ...]:
    """The choice of the smallest cost among the allowed pairs, as indices; its cost may exceed the budget."""
    return follow(problem, 1.0, completions(problem, 1.0, value_weight=0.0))


def solve_dual(problem: ChainProblem) -> Dual:
    """Finds the multiplier with the smallest bound.

    The bound is convex and piecewise linear in the multiplier, one line per choice; the crossing of the lines of the
    best known choices on either side of the budget is tried until it lies on the bound.

    Args:
        problem: a chain whose cheapest choice is within the budget.

    Returns:
        The multiplier, its bound and the choices within the budget on the way.
    """
    over = follow(problem, 0.0, completions(problem, 0.0))
    if problem.cost(over) <= problem.budget:
        return Dual(0.0, _raised(problem, problem.value(over), 0.0), (over,))
    within = cheapest(problem)
    choices = [within]
    best = Dual(0.0, _raised(problem, problem.value(over), 0.0), ())
    for _ in range(_MAX_MULTIPLIERS):
        multiplier = _crossing(problem, over, within)
        rest = completions(problem, multiplier)
        slack_value = multiplier * (problem.budget - problem.costs.constant)
        bound = _raised(problem, float(rest[0].max()) + slack_value, multiplier)
        if bound < best.bound:
            best = Dual(multiplier, bound, ())
        choice = follow(problem, multiplier, rest)
        if choice in (over, within) or multiplier == 0.0:
            break
        if problem.cost(choice) <= problem.budget:
            choices.append(choice)
            within = choice
        else:
            over = choice
    return Dual(best.multiplier, best.bound, tuple(choices))


def promising(problem: ChainProblem, multiplier: float, value: float) -> tuple[BoolArray, ...]:
    """Which widths can be part of a choice whose value is at least the given one (reduced-cost fixing).

    Args:
        problem: the chain.
        multiplier: any multiplier; the dual's rules out the most.
        value: value of a known choice.

    Returns:
        Per group and width whether its bound reaches the value.
    """
    slack_value = multiplier * (problem.budget - problem.costs.constant)
    before = arrivals(problem, multiplier)
    after = completions(problem, multiplier)
    return tuple(
        first + second + slack_value >= value - _margin(problem, multiplier)
        for first, second in zip(before, after, strict=True)
    )


def _edge_rewards(problem: ChainProblem, group: int, multiplier: float, row: int | slice = slice(None)) -> FloatArray:
    """Minus the price of each pair of widths of a group and the next; minus infinity where it is forbidden."""
    costs = problem.costs.edges[group][row]
    return np.where(problem.allowed[group][row], -multiplier * costs, -np.inf)


def _crossing(problem: ChainProblem, over: Sequence[int], within: Sequence[int]) -> float:
    values = problem.value(over) - problem.value(within)
    return max(0.0, values / (problem.cost(over) - problem.cost(within)))


def _raised(problem: ChainProblem, bound: float, multiplier: float) -> float:
    return bound + _margin(problem, multiplier)


def _margin(problem: ChainProblem, multiplier: float) -> float:
    """More than the rounding errors of a Lagrangian value near the optimum."""
    values = sum(float(values.max()) for values in problem.values)
    return ROUNDING * (values + multiplier * (problem.budget + problem.costs.constant))
