"""Improves a choice of widths by changing one pair of groups at a time."""

from itertools import combinations

import numpy as np

from reds.solving.lagrangian import ROUNDING
from reds.solving.problem import BoolArray, Choice, Problem


def exchange_pairs(problem: Problem, choice: Choice) -> Choice:
    """Sets two groups at a time to their best widths, the others held, until no pair improves the value.

    Args:
        problem: the problem.
        choice: a choice within the limits.

    Returns:
        A choice within the limits whose value is not smaller.
    """
    improved = len(problem) > 1
    while improved:
        improved = False
        for first, second in combinations(range(len(problem)), 2):
            better = _best_pair(problem, choice, first, second)
            improved |= better != choice
            choice = better
    return choice


def _best_pair(problem: Problem, choice: Choice, first: int, second: int) -> Choice:
    """The choice with its two groups changed to the best, or the choice itself where nothing is better."""
    values = problem.values.around(choice, first, second)
    current = (choice[first], choice[second])
    feasible = values > values[current] * (1 + ROUNDING)
    for limit in problem.limits:
        costs = limit.costs.around(choice, first, second)
        feasible &= costs <= limit.budget - limit.costs.of(choice) + costs[current]
    feasible &= _allowed(problem, choice, first, second)
    if not feasible.any():
        return choice
    best = np.unravel_index(int(np.where(feasible, values, -np.inf).argmax()), values.shape)
    changed = list(choice)
    changed[first], changed[second] = int(best[0]), int(best[1])
    return tuple(changed)


def _allowed(problem: Problem, choice: Choice, first: int, second: int) -> BoolArray:
    """Which pairs of widths of two groups are allowed, the other groups held."""
    result = np.ones((len(problem.widths[first]), len(problem.widths[second])), np.bool_)
    for (row, column), table in problem.allowed.items():
        if (row, column) == (first, second):
            result &= table
        elif row in (first, second):
            result &= _along(table[:, choice[column]], row == first)
        elif column in (first, second):
            result &= _along(table[choice[row]], column == first)
    return result


def _along(values: BoolArray, rows: bool) -> BoolArray:
    return values[:, np.newaxis] if rows else values
