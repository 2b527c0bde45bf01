"""The order in which dynamic programs go through the groups, and what they must remember on the way.

After each group, only the widths of groups that still have neighbours ahead matter: the frontier. It is one group in a
chain, few in a tree, and two in a network of residual blocks (a path decomposition, Kinnersley 1992).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Step:
    """One group of the order."""

    group: int
    before: tuple[int, ...]
    """Groups whose widths are remembered when it is reached."""
    neighbours: tuple[int, ...]
    """Those of them that it depends on."""
    after: tuple[int, ...]
    """Groups whose widths are remembered behind it: the order of `before`, itself last."""


@dataclass(frozen=True)
class Sweep:
    """An order of all groups."""

    steps: tuple[Step, ...]
    work: int
    """Choices of widths that one pass looks at."""


def sweep(sizes: Sequence[int], edges: Sequence[tuple[int, int]]) -> Sweep:
    """Finds an order with a small frontier.

    Args:
        sizes: number of widths per group.
        edges: pairs of groups that depend on each other.

    Returns:
        The groups' own order where its frontier never holds two groups, as in a chain; otherwise the one of least work
        among it and the greedy orders from each group, which always take the group that leaves the smallest frontier.
    """
    neighbours: list[set[int]] = [set() for _ in sizes]
    for first, second in edges:
        neighbours[first].add(second)
        neighbours[second].add(first)
    natural = _along(range(len(sizes)), sizes, neighbours)
    if all(len(step.after) <= 1 for step in natural.steps):
        return natural
    greedy = (_along(_greedy_order(start, sizes, neighbours), sizes, neighbours) for start in range(len(sizes)))
    return min((natural, *greedy), key=lambda one: one.work)


def _along(order: Sequence[int], sizes: Sequence[int], neighbours: Sequence[set[int]]) -> Sweep:
    steps: list[Step] = []
    frontier: tuple[int, ...] = ()
    left = set(order)
    work = 0
    for group in order:
        left.remove(group)
        after = tuple(one for one in (*frontier, group) if neighbours[one] & left)
        steps.append(Step(group, frontier, tuple(one for one in frontier if one in neighbours[group]), after))
        work += math.prod(sizes[one] for one in (*frontier, group))
        frontier = after
    return Sweep(tuple(steps), work)


def _greedy_order(start: int, sizes: Sequence[int], neighbours: Sequence[set[int]]) -> list[int]:
    order = [start]
    left = set(range(len(sizes))) - {start}

    def frontier_size(group: int) -> int:
        ahead = left - {group}
        return math.prod(sizes[one] for one in (*order, group) if neighbours[one] & ahead)

    while left:
        following = min(sorted(left), key=frontier_size)
        order.append(following)
        left.remove(following)
    return order
