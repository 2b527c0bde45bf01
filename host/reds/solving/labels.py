"""Exact search along the sweep: partial choices, kept only where they can still beat the best known one.

Label setting for the resource constrained longest path (Irnich and Desaulniers 2005) with Lagrangian completion bounds:
a label is dropped where another with the same remembered widths is no dearer and no worse, or where its bound does not
exceed the best known value.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reds.solving.lagrangian import ROUNDING, completions, rewards
from reds.solving.problem import BoolArray, Choice, FloatArray, IntArray, Problem, Terms
from reds.solving.sweep import Step

_PRICE_FACTORS = (0.8, 0.9, 0.95, 0.98, 1.0, 1.02, 1.05, 1.1, 1.25)
"""Around the dual's price; each gives a bound, and partial choices off the middle need another price."""


@dataclass(frozen=True)
class _Labels:
    """Partial choices up to one step, in one array each."""

    remembered: IntArray
    """Index into the table of the widths that are remembered behind the step."""
    width: IntArray
    """Index of the step's own width."""
    cost: IntArray
    value: FloatArray
    parent: IntArray
    """Index of the label at the step before."""


def best_choice(problem: Problem, price: float, incumbent: Choice, limit: int) -> Choice | None:
    """Finds the best choice under one limit.

    Args:
        problem: has one limit.
        price: the dual's, which the completion bounds are built around.
        incumbent: a choice within the limit.
        limit: largest number of labels per group.

    Returns:
        The choice of the largest value within the limit, or None where that takes more labels.
    """
    search = _Search(problem, price, problem.values.of(incumbent))
    stages: list[_Labels] = []
    labels = search.start()
    for index in range(len(problem)):
        extended = search.extend(labels, index, limit)
        if extended is None:
            return None
        stages.append(extended)
        labels = extended
    if len(labels.value) == 0 or labels.value.max() <= problem.values.of(incumbent):
        return incumbent
    return _trace_back(problem, stages, int(labels.value.argmax()))


class _Search:
    def __init__(self, problem: Problem, price: float, value: float) -> None:
        self._problem = problem
        self._limit = problem.limits[0]
        self._threshold = value * (1 + ROUNDING)
        self._prices = [price * factor for factor in _PRICE_FACTORS]
        self._completions = [completions(problem, rewards(problem, (one,))) for one in self._prices]

    def start(self) -> _Labels:
        """The empty choice."""
        nothing = np.zeros(1, np.int64)
        return _Labels(nothing, nothing, nothing + self._limit.costs.constant, np.zeros(1), nothing)

    def extend(self, labels: _Labels, index: int, limit: int) -> _Labels | None:
        """Every label with every width of a step's group, pruned; None above the limit."""
        step = self._problem.sweep.steps[index]
        shape = [len(self._problem.widths[group]) for group in step.before]
        remembered = dict(zip(step.before, np.unravel_index(labels.remembered, shape), strict=True)) if shape else {}
        parts: list[_Labels] = []
        count = 0
        for width in range(len(self._problem.widths[step.group])):
            part = self._extend_by(labels, remembered, index, width)
            parts.append(part)
            count += len(part.cost)
            if count > limit:
                return None
        return _undominated(_joined(parts))

    def _extend_by(self, labels: _Labels, remembered: dict[int, IntArray], index: int, width: int) -> _Labels:
        step = self._problem.sweep.steps[index]
        parent = np.flatnonzero(self._allowed(remembered, step, width, len(labels.cost)))
        held = {group: positions[parent] for group, positions in remembered.items()}
        extended = _Labels(
            self._remember(held, step, width, len(parent)),
            np.full(len(parent), width),
            labels.cost[parent] + _step_terms(self._limit.costs, held, step, width),
            labels.value[parent] + _step_terms(self._problem.values, held, step, width),
            parent,
        )
        return _undominated(self._pruned(index, extended))

    def _allowed(self, remembered: dict[int, IntArray], step: Step, width: int, count: int) -> BoolArray:
        result = np.ones(count, np.bool_)
        for other in step.neighbours:
            table = self._problem.allowed.get(_edge(other, step.group))
            if table is not None:
                result &= _row(table, other, step.group, width)[remembered[other]]
        return result

    def _remember(self, held: dict[int, IntArray], step: Step, width: int, count: int) -> IntArray:
        result = np.zeros(count, np.int64)
        for group in step.after:
            own = width if group == step.group else held[group]
            result = result * len(self._problem.widths[group]) + own
        return result

    def _pruned(self, index: int, labels: _Labels) -> _Labels:
        slack = self._limit.budget - labels.cost
        keep = slack >= 0
        for price, tables in zip(self._prices, self._completions, strict=True):
            ahead = tables[index + 1].ravel()[labels.remembered]
            keep &= labels.value + ahead + price * slack > self._threshold
        return _select(labels, np.flatnonzero(keep))


def _step_terms(terms: Terms, held: dict[int, IntArray], step: Step, width: int) -> Any:
    """What a width adds beside the remembered ones."""
    total = terms.unary[step.group][width]
    for other in step.neighbours:
        table = terms.pairs.get(_edge(other, step.group))
        if table is not None:
            total = total + _row(table, other, step.group, width)[held[other]]
    return total


def _edge(one: int, other: int) -> tuple[int, int]:
    return (min(one, other), max(one, other))


def _row(table: NDArray[Any], other: int, group: int, width: int) -> NDArray[Any]:
    """A pair table at one width of a group, by the widths of the other."""
    return table[:, width] if other < group else table[width]


def _undominated(labels: _Labels) -> _Labels:
    """Keeps the labels that are better than every cheaper one with the same remembered widths."""
    order = np.lexsort((-labels.value, labels.cost, labels.remembered))
    _, ranks = np.unique(labels.value[order], return_inverse=True)
    progress = labels.remembered[order] * len(order) + ranks
    best_before = np.concatenate(([-1], np.maximum.accumulate(progress)[:-1]))
    return _select(labels, order[progress > best_before])


def _joined(parts: list[_Labels]) -> _Labels:
    return _Labels(
        np.concatenate([part.remembered for part in parts]),
        np.concatenate([part.width for part in parts]),
        np.concatenate([part.cost for part in parts]),
        np.concatenate([part.value for part in parts]),
        np.concatenate([part.parent for part in parts]),
    )


def _select(labels: _Labels, index: IntArray) -> _Labels:
    return _Labels(
        labels.remembered[index], labels.width[index], labels.cost[index], labels.value[index], labels.parent[index]
    )


def _trace_back(problem: Problem, stages: list[_Labels], last: int) -> Choice:
    chosen: dict[int, int] = {}
    for step, labels in zip(reversed(problem.sweep.steps), reversed(stages), strict=True):
        chosen[step.group] = int(labels.width[last])
        last = int(labels.parent[last])
    return tuple(chosen[group] for group in range(len(problem)))
