"""The search as a chain: one width per channel group, values per width, costs per width and per pair of neighbours.

A subnetwork's cost couples neighbours only, since a layer's cost depends on its input's and its output's width. So
the widest choice of subnetworks is a longest path through the groups' widths under one budget.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True)
class CostTables:
    """A metric of every choice of widths, as a sum over the chain."""

    constant: int
    """What no width changes."""
    unary: tuple[IntArray, ...]
    """Per group the cost of each of its widths."""
    edges: tuple[IntArray, ...]
    """Per pair of neighbouring groups the cost of each pair of widths, (widths of one, widths of the next)."""


@dataclass(frozen=True)
class ChainProblem:
    """Choose one width per group: the largest value whose cost is within the budget, without a forbidden pair."""

    widths: tuple[IntArray, ...]
    """Per group the allowed widths, rising."""
    values: tuple[FloatArray, ...]
    """Per group the value of each allowed width; never negative."""
    costs: CostTables
    allowed: tuple[BoolArray, ...]
    """Per pair of neighbouring groups whether each pair of widths is allowed."""
    budget: int

    def __len__(self) -> int:
        return len(self.widths)

    def restrict(self, keep: Sequence[BoolArray]) -> "ChainProblem":
        """The problem with fewer widths.

        Args:
            keep: per group which of its widths stay.
        """
        pairs = [np.ix_(first, second) for first, second in pairwise(keep)]
        return replace(
            self,
            widths=_select(self.widths, keep),
            values=_select(self.values, keep),
            costs=replace(self.costs, unary=_select(self.costs.unary, keep), edges=_select(self.costs.edges, pairs)),
            allowed=_select(self.allowed, pairs),
        )

    def between(self, lower: Sequence[int], upper: Sequence[int]) -> "ChainProblem":
        """The problem with the widths from `lower` to `upper` per group, both included."""
        return self.restrict(
            [(widths >= low) & (widths <= high) for widths, low, high in zip(self.widths, lower, upper, strict=True)]
        )

    def value(self, choice: Sequence[int]) -> float:
        """Value of a choice, given as an index into the allowed widths per group."""
        return float(sum(values[index] for values, index in zip(self.values, choice, strict=True)))

    def cost(self, choice: Sequence[int]) -> int:
        """Cost of a choice, given as an index into the allowed widths per group."""
        unary = sum(int(costs[index]) for costs, index in zip(self.costs.unary, choice, strict=True))
        pairs = zip(self.costs.edges, choice[:-1], choice[1:], strict=True)
        return self.costs.constant + unary + sum(int(edge[first, second]) for edge, first, second in pairs)

    def is_feasible(self, choice: Sequence[int]) -> bool:
        """Whether a choice, given as an index into the allowed widths per group, is within the budget."""
        pairs = zip(self.allowed, choice[:-1], choice[1:], strict=True)
        return self.cost(choice) <= self.budget and all(bool(ok[first, second]) for ok, first, second in pairs)

    def choice_of(self, widths: Sequence[int]) -> tuple[int, ...]:
        """The indices of the given widths, which must be allowed."""
        return tuple(int(np.searchsorted(allowed, width)) for allowed, width in zip(self.widths, widths, strict=True))

    def widths_of(self, choice: Sequence[int]) -> tuple[int, ...]:
        """The widths of a choice of indices."""
        return tuple(int(widths[index]) for widths, index in zip(self.widths, choice, strict=True))


def _select(arrays: Sequence[NDArray], keep: Sequence) -> tuple[NDArray, ...]:
    return tuple(array[kept] for array, kept in zip(arrays, keep, strict=True))
