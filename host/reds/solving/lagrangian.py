"""Lagrangian dynamic program: a proven bound, good choices, and the widths that can be ruled out.

For prices p >= 0, one per limit, the best choice by value - p * (cost - budget), found exactly by dynamic programming
along the sweep, bounds the value of every choice within the limits (Everett 1963; Fisher 1981).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from reds.solving.problem import BoolArray, Choice, FloatArray, Problem, Terms
from reds.solving.sweep import Step

ROUNDING = 1e-12
"""Relative error allowed to sums of doubles; every bound is raised by it."""

_MAX_PRICES = 60

_TABLE_ENTRIES = 2**21
"""Choices of widths looked at together: 16 MB of doubles."""


@dataclass(frozen=True)
class Dual:
    """What the search for the best prices found."""

    prices: tuple[float, ...]
    """Per limit."""
    bound: float
    """No choice within the limits has a larger value."""
    choices: tuple[Choice, ...]
    """Choices that it came across and that may be within the limits."""


def rewards(problem: Problem, prices: Sequence[float], value_weight: float = 1.0) -> Terms:
    """The Lagrangian value of every choice, without the constant parts of the costs.

    Args:
        problem: values, costs and forbidden pairs.
        prices: price of one unit of cost, per limit.
        value_weight: factor on the values; 0 leaves only the costs.

    Returns:
        value_weight * value - price * cost as a sum of tables; minus infinity where a pair is forbidden.
    """
    unary = [value_weight * table for table in problem.values.unary]
    pairs = {edge: value_weight * table for edge, table in problem.values.pairs.items()}
    for limit, price in zip(problem.limits, prices, strict=True):
        unary = [reward - price * table for reward, table in zip(unary, limit.costs.unary, strict=True)]
        for edge, table in limit.costs.pairs.items():
            pairs[edge] = pairs.get(edge, 0.0) - price * table
    for edge, table in problem.allowed.items():
        pairs[edge] = np.where(table, pairs.get(edge, 0.0), -np.inf)
    return Terms(tuple(unary), pairs)


def completions(problem: Problem, reward: Terms) -> tuple[FloatArray, ...]:
    """Best sum of rewards of all groups ahead, backwards along the sweep.

    Args:
        problem: the problem of the rewards.
        reward: from `rewards`.

    Returns:
        Per step, and once behind the last, a table by the widths of the groups remembered there; minus infinity where
        no allowed pair leads on.
    """
    tables: list[FloatArray] = [np.zeros(())]
    for step in reversed(problem.sweep.steps):
        best = np.full(_shape(problem, step.before), -np.inf)
        for part in _parts(problem, step):
            total = _step_rewards(reward, step, part) + _ahead(tables[0], step, part)
            np.maximum(best, total.max(axis=-1), out=best)
        tables.insert(0, best)
    return tuple(tables)


def best_through(problem: Problem, reward: Terms) -> tuple[FloatArray, ...]:
    """Per group and width the best sum of rewards of the choices with that width."""
    ahead = completions(problem, reward)
    through = [np.full(len(widths), -np.inf) for widths in problem.widths]
    behind: FloatArray = np.zeros(())
    for step, rest in zip(problem.sweep.steps, ahead[1:], strict=True):
        arrival = np.full(_shape(problem, step.after), -np.inf)
        for part in _parts(problem, step):
            total = behind[..., np.newaxis] + _step_rewards(reward, step, part)
            others = tuple(range(total.ndim - 1))
            through[step.group][part] = (total + _ahead(rest, step, part)).max(axis=others)
            _raise_arrival(arrival, total, step, part)
        behind = arrival
    return tuple(through)


def follow(problem: Problem, reward: Terms, ahead: Sequence[FloatArray]) -> Choice:
    """The best choice that the given completions lead along."""
    chosen: dict[int, int] = {}
    for step, rest in zip(problem.sweep.steps, ahead[1:], strict=True):
        total = reward.unary[step.group]
        for other in step.neighbours:
            total = total + _facing(reward, other, step.group)[chosen[other]]
        behind = tuple(slice(None) if one == step.group else chosen[one] for one in step.after)
        chosen[step.group] = int((total + rest[behind]).argmax())
    return tuple(chosen[group] for group in range(len(problem)))


def cheapest(problem: Problem, limit: int = 0) -> Choice:
    """The choice of the smallest cost among the allowed pairs; it may exceed the budget.

    Args:
        problem: where to choose.
        limit: index of the limit whose cost counts.
    """
    reward = rewards(problem, [float(index == limit) for index in range(len(problem.limits))], value_weight=0.0)
    return follow(problem, reward, completions(problem, reward))


def solve_dual(problem: Problem) -> Dual:
    """Finds the price with the smallest bound under one limit.

    The bound is convex and piecewise linear in the price, one line per choice; the crossing of the lines of the best
    known choices on either side of the budget is tried until it lies on the bound.

    Args:
        problem: has one limit, which its cheapest choice keeps.

    Returns:
        The price, its bound and the choices on the way.
    """
    (limit,) = problem.limits
    over = _best(problem, 0.0)
    if limit.is_kept(over):
        return Dual((0.0,), raised(problem, (0.0,), problem.values.of(over)), (over,))
    within = cheapest(problem)
    choices = [within]
    best = Dual((0.0,), raised(problem, (0.0,), problem.values.of(over)), ())
    for _ in range(_MAX_PRICES):
        price = _crossing(problem, over, within)
        choice = _best(problem, price)
        bound = bound_at(problem, (price,), choice)
        if bound < best.bound:
            best = Dual((price,), bound, ())
        if choice in (over, within) or price == 0.0:
            break
        if limit.is_kept(choice):
            choices.append(choice)
            within = choice
        else:
            over = choice
    return Dual(best.prices, best.bound, tuple(choices))


def bound_at(problem: Problem, prices: Sequence[float], choice: Choice) -> float:
    """The bound that prices give.

    Args:
        problem: the problem.
        prices: per limit.
        choice: the best by the rewards of these prices.
    """
    slack = sum(
        price * (limit.budget - limit.costs.of(choice)) for price, limit in zip(prices, problem.limits, strict=True)
    )
    return raised(problem, prices, problem.values.of(choice) + slack)


def promising(problem: Problem, prices: Sequence[float], value: float) -> tuple[BoolArray, ...]:
    """Which widths can be part of a choice whose value is at least the given one (reduced-cost fixing).

    Args:
        problem: the problem.
        prices: any; the dual's rule out the most.
        value: value of a known choice.

    Returns:
        Per group and width whether its bound reaches the value.
    """
    slack_value = sum(
        price * (limit.budget - limit.costs.constant) for price, limit in zip(prices, problem.limits, strict=True)
    )
    threshold = value - slack_value - _margin(problem, prices)
    return tuple(best >= threshold for best in best_through(problem, rewards(problem, prices)))


def raised(problem: Problem, prices: Sequence[float], bound: float) -> float:
    """A bound with room for the rounding errors in it."""
    return bound + _margin(problem, prices)


def _margin(problem: Problem, prices: Sequence[float]) -> float:
    """More than the rounding errors of a Lagrangian value near the optimum."""
    paid = sum(
        price * (limit.budget + limit.costs.constant) for price, limit in zip(prices, problem.limits, strict=True)
    )
    return ROUNDING * (_magnitude(problem.values) + paid)


def _magnitude(values: Terms) -> float:
    """No sum of values, whose signs prices on other things may have changed, is farther from zero."""
    return float(sum(np.abs(table).max() for table in (*values.unary, *values.pairs.values())))


def _best(problem: Problem, price: float) -> Choice:
    reward = rewards(problem, (price,))
    return follow(problem, reward, completions(problem, reward))


def _crossing(problem: Problem, over: Choice, within: Choice) -> float:
    costs = problem.limits[0].costs
    values = problem.values.of(over) - problem.values.of(within)
    return max(0.0, values / (costs.of(over) - costs.of(within)))


def _shape(problem: Problem, groups: Sequence[int]) -> tuple[int, ...]:
    return tuple(len(problem.widths[group]) for group in groups)


def _parts(problem: Problem, step: Step) -> Iterator[slice]:
    """The widths of a step's group in parts whose tables with all remembered widths fit into memory."""
    remembered = int(np.prod(_shape(problem, step.before)))
    size = max(1, _TABLE_ENTRIES // max(1, remembered))
    for start in range(0, len(problem.widths[step.group]), size):
        yield slice(start, start + size)


def _step_rewards(reward: Terms, step: Step, part: slice) -> FloatArray:
    """What a step's group adds, by the widths remembered before it and its own."""
    total = reward.unary[step.group][part].reshape((1,) * len(step.before) + (-1,))
    for other in step.neighbours:
        table = _facing(reward, other, step.group)[:, part]
        shape = [1] * len(step.before) + [table.shape[1]]
        shape[step.before.index(other)] = table.shape[0]
        total = total + table.reshape(shape)
    return total


def _ahead(rest: FloatArray, step: Step, part: slice) -> FloatArray:
    """The completions behind a step, by the widths remembered before it and its own."""
    own = rest[..., part] if step.group in step.after else rest[..., np.newaxis]
    shape = iter(own.shape)
    return own.reshape([next(shape) if group in step.after else 1 for group in step.before] + [own.shape[-1]])


def _raise_arrival(arrival: FloatArray, total: FloatArray, step: Step, part: slice) -> None:
    """Raises the best sums of the groups passed to those through a part of a step's widths."""
    forgotten = tuple(axis for axis, group in enumerate(step.before) if group not in step.after)
    if step.group in step.after:
        arrival[..., part] = total.max(axis=forgotten)
    else:
        np.maximum(arrival, total.max(axis=(*forgotten, total.ndim - 1)), out=arrival)


def _facing(reward: Terms, row: int, column: int) -> FloatArray:
    """The table of two groups, (widths of `row`, widths of `column`)."""
    return reward.pairs[row, column] if row < column else reward.pairs[column, row].T
