"""Improves a choice of widths by changing one pair of groups at a time."""

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from reds.solving.problem import BoolArray, ChainProblem, IntArray


def exchange_pairs(problem: ChainProblem, choice: tuple[int, ...]) -> tuple[int, ...]:
    """Sets two groups at a time to their best widths, the others held, until no pair improves the value.

    Args:
        problem: the chain.
        choice: a choice within the budget, as indices into the allowed widths.

    Returns:
        A choice within the budget whose value is not smaller.
    """
    improved = True
    while improved:
        improved = False
        for first, second in combinations(range(len(problem)), 2):
            better = _best_pair(problem, choice, first, second)
            improved |= better != choice
            choice = better
    return choice


@dataclass(frozen=True)
class _Alternatives:
    """What each width of one group, or each pair of widths of two, would cost beside the held groups."""

    costs: IntArray
    allowed: BoolArray


def _best_pair(problem: ChainProblem, choice: tuple[int, ...], first: int, second: int) -> tuple[int, ...]:
    """The choice with its two groups changed to the best, or the choice itself where nothing is better."""
    pair = _pair_alternatives(problem, choice, first, second)
    current = (choice[first], choice[second])
    held = problem.cost(choice) - pair.costs[current]
    feasible = pair.allowed & (pair.costs <= problem.budget - held)
    values = problem.values[first][:, np.newaxis] + problem.values[second]
    best = np.unravel_index(int(np.where(feasible, values, -1.0).argmax()), values.shape)
    if values[best] <= values[current]:
        return choice
    changed = list(choice)
    changed[first], changed[second] = int(best[0]), int(best[1])
    return tuple(changed)


def _pair_alternatives(problem: ChainProblem, choice: tuple[int, ...], first: int, second: int) -> _Alternatives:
    one = _alternatives(problem, choice, first, partner=second)
    other = _alternatives(problem, choice, second, partner=first)
    costs = one.costs[:, np.newaxis] + other.costs
    allowed = one.allowed[:, np.newaxis] & other.allowed
    if second == first + 1:
        return _Alternatives(costs + problem.costs.edges[first], allowed & problem.allowed[first])
    return _Alternatives(costs, allowed)


def _alternatives(problem: ChainProblem, choice: tuple[int, ...], group: int, partner: int) -> _Alternatives:
    """Costs of a group's widths next to its held neighbours; the edge to its partner is left out."""
    costs = problem.costs.unary[group]
    allowed = np.ones(len(costs), np.bool_)
    if group > 0 and group - 1 != partner:
        costs = costs + problem.costs.edges[group - 1][choice[group - 1]]
        allowed = allowed & problem.allowed[group - 1][choice[group - 1]]
    if group < len(problem) - 1 and group + 1 != partner:
        costs = costs + problem.costs.edges[group][:, choice[group + 1]]
        allowed = allowed & problem.allowed[group][:, choice[group + 1]]
    return _Alternatives(costs, allowed)
