"""Exact search along the chain: partial choices, kept only where they can still beat the best known one.

Label setting for the resource constrained longest path (Irnich and Desaulniers 2005) with Lagrangian completion bounds:
a label is dropped where another of the same width is no dearer and no worse, or where its bound does not exceed the
best known value.
"""

from dataclasses import dataclass

import numpy as np

from reds.solving.lagrangian import ROUNDING, completions
from reds.solving.problem import ChainProblem, FloatArray, IntArray

_MULTIPLIER_FACTORS = (0.8, 0.9, 0.95, 0.98, 1.0, 1.02, 1.05, 1.1, 1.25)
"""Around the dual's multiplier; each gives a bound, and partial choices off the middle need another price."""


@dataclass(frozen=True)
class _Labels:
    """Partial choices up to one group, in one array each."""

    width: IntArray
    """Index of the group's width."""
    cost: IntArray
    value: FloatArray
    parent: IntArray
    """Index of the label at the group before."""


def best_choice(
    problem: ChainProblem, multiplier: float, incumbent: tuple[int, ...], limit: int
) -> tuple[int, ...] | None:
    """Finds the best choice.

    Args:
        problem: the chain.
        multiplier: the dual's, which the completion bounds are built around.
        incumbent: a choice within the budget, as indices into the allowed widths.
        limit: largest number of labels per group.

    Returns:
        The choice of the largest value within the budget, or None where that takes more labels than the limit.
    """
    search = _Search(problem, multiplier, problem.value(incumbent))
    stages = [search.start()]
    while len(stages) < len(problem):
        labels = search.extend(stages[-1], len(stages), limit)
        if labels is None:
            return None
        stages.append(labels)
    last = stages[-1].value
    if len(last) == 0 or last.max() <= problem.value(incumbent):
        return incumbent
    return _trace_back(stages, int(last.argmax()))


class _Search:
    def __init__(self, problem: ChainProblem, multiplier: float, value: float) -> None:
        self._problem = problem
        self._threshold = value * (1 + ROUNDING)
        self._multipliers = [multiplier * factor for factor in _MULTIPLIER_FACTORS]
        self._completions = [completions(problem, price) for price in self._multipliers]

    def start(self) -> _Labels:
        """One label per width of the first group."""
        width = np.arange(len(self._problem.widths[0]))
        cost = self._problem.costs.constant + self._problem.costs.unary[0]
        parent = np.full(len(width), -1)
        return self._pruned(0, _Labels(width, cost, self._problem.values[0], parent))

    def extend(self, labels: _Labels, group: int, limit: int) -> _Labels | None:
        """Every label with every width of the next group, pruned; None above the limit."""
        parts: list[_Labels] = []
        count = 0
        for width in range(len(self._problem.widths[group])):
            part = self._extend_by(labels, group, width)
            parts.append(part)
            count += len(part.cost)
            if count > limit:
                return None
        return _Labels(
            np.concatenate([part.width for part in parts]),
            np.concatenate([part.cost for part in parts]),
            np.concatenate([part.value for part in parts]),
            np.concatenate([part.parent for part in parts]),
        )

    def _extend_by(self, labels: _Labels, group: int, width: int) -> _Labels:
        costs = self._problem.costs
        parent = np.flatnonzero(self._problem.allowed[group - 1][labels.width, width])
        step = costs.edges[group - 1][labels.width[parent], width] + costs.unary[group][width]
        value = labels.value[parent] + self._problem.values[group][width]
        own = np.full(len(parent), width)
        return _undominated(self._pruned(group, _Labels(own, labels.cost[parent] + step, value, parent)))

    def _pruned(self, group: int, labels: _Labels) -> _Labels:
        slack = self._problem.budget - labels.cost
        keep = slack >= 0
        own_value = self._problem.values[group][labels.width]
        own_cost = self._problem.costs.unary[group][labels.width]
        for price, rest in zip(self._multipliers, self._completions, strict=True):
            onwards = rest[group][labels.width] - own_value + price * own_cost
            keep &= labels.value + onwards + price * slack > self._threshold
        return _select(labels, np.flatnonzero(keep))


def _undominated(labels: _Labels) -> _Labels:
    """Keeps the labels of one width that are better than every cheaper one."""
    order = np.lexsort((-labels.value, labels.cost))
    best_before = np.concatenate(([-np.inf], np.maximum.accumulate(labels.value[order])[:-1]))
    return _select(labels, order[labels.value[order] > best_before])


def _select(labels: _Labels, index: IntArray) -> _Labels:
    return _Labels(labels.width[index], labels.cost[index], labels.value[index], labels.parent[index])


def _trace_back(stages: list[_Labels], last: int) -> tuple[int, ...]:
    choice: list[int] = []
    for labels in reversed(stages):
        choice.insert(0, int(labels.width[last]))
        last = int(labels.parent[last])
    return tuple(choice)
