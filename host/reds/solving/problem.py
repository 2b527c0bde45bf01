"""The search as a graph: one width per channel group, values and costs per width and per pair of groups.

A layer's cost depends on the widths of its input and of its output, so a subnetwork's cost is a sum over channel groups
and pairs of them. The best subnetwork is the choice of one width per group with the largest value within the limits.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reds.solving.sweep import Sweep, sweep

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
Choice = tuple[int, ...]
"""Per group an index into its allowed widths."""
Edge = tuple[int, int]
"""Two groups, the one of the smaller index first."""


@dataclass(frozen=True)
class Terms:
    """A number for every choice of widths, as a sum over groups and over pairs of groups."""

    unary: tuple[NDArray[Any], ...]
    """Per group what each of its widths adds."""
    pairs: Mapping[Edge, NDArray[Any]]
    """What each pair of widths of two groups adds, (widths of the first, widths of the second)."""
    constant: int = 0
    """What no width changes."""

    def of(self, choice: Sequence[int]) -> Any:
        """The sum for a choice."""
        unary = sum(table[index].item() for table, index in zip(self.unary, choice, strict=True))
        pairs = sum(table[choice[first], choice[second]].item() for (first, second), table in self.pairs.items())
        return self.constant + unary + pairs

    def around(self, choice: Sequence[int], first: int, second: int) -> NDArray[Any]:
        """What two groups add with each pair of their widths, the other groups held.

        Args:
            choice: the widths of the others.
            first: one group.
            second: another group, of a larger index.

        Returns:
            (widths of the first, widths of the second), terms of neither group left out.
        """
        table = self._beside(choice, first, second)[:, np.newaxis] + self._beside(choice, second, first)
        return table + self.pairs[first, second] if (first, second) in self.pairs else table

    def _beside(self, choice: Sequence[int], group: int, partner: int) -> NDArray[Any]:
        """What each width of a group adds, its pairs with held groups included."""
        total = self.unary[group]
        for (first, second), table in self.pairs.items():
            if first == group and second != partner:
                total = total + table[:, choice[second]]
            elif second == group and first != partner:
                total = total + table[choice[first]]
        return total

    def restrict(self, keep: Sequence[NDArray[Any]]) -> "Terms":
        """The terms of fewer widths.

        Args:
            keep: per group which of its widths stay.
        """
        return replace(self, unary=select(self.unary, keep), pairs=select_pairs(self.pairs, keep))

    def largest(self) -> float:
        """No choice has a larger sum."""
        tables = (*self.unary, *self.pairs.values())
        return self.constant + sum(table.max().item() for table in tables)


@dataclass(frozen=True)
class Limit:
    """What a choice may cost."""

    metric: str
    costs: Terms
    budget: int

    def is_kept(self, choice: Sequence[int]) -> bool:
        """Whether a choice costs no more."""
        return bool(self.costs.of(choice) <= self.budget)


@dataclass(frozen=True)
class Problem:
    """Choose one width per group: the largest value within all limits, without a forbidden pair."""

    widths: tuple[IntArray, ...]
    """Per group the allowed widths, rising."""
    values: Terms
    """Never negative."""
    limits: tuple[Limit, ...]
    """At least one."""
    allowed: Mapping[Edge, BoolArray]
    """Whether each pair of widths of two groups is allowed; groups that are not named allow every pair."""

    def __len__(self) -> int:
        return len(self.widths)

    @cached_property
    def edges(self) -> tuple[Edge, ...]:
        """Pairs of groups that depend on each other."""
        tables = (self.values.pairs, self.allowed, *(limit.costs.pairs for limit in self.limits))
        return tuple(sorted({edge for pairs in tables for edge in pairs}))

    @cached_property
    def sweep(self) -> Sweep:
        """The order in which dynamic programs go through the groups."""
        return sweep([len(widths) for widths in self.widths], self.edges)

    def restrict(self, keep: Sequence[BoolArray]) -> "Problem":
        """The problem with fewer widths.

        Args:
            keep: per group which of its widths stay.
        """
        return replace(
            self,
            widths=select(self.widths, keep),
            values=self.values.restrict(keep),
            limits=tuple(replace(limit, costs=limit.costs.restrict(keep)) for limit in self.limits),
            allowed=select_pairs(self.allowed, keep),
        )

    def between(self, lower: Sequence[int], upper: Sequence[int]) -> "Problem":
        """The problem with the widths from `lower` to `upper` per group, both included."""
        return self.restrict(
            [(widths >= low) & (widths <= high) for widths, low, high in zip(self.widths, lower, upper, strict=True)]
        )

    def is_feasible(self, choice: Sequence[int]) -> bool:
        """Whether a choice is within all limits and has no forbidden pair."""
        allowed = all(table[choice[first], choice[second]] for (first, second), table in self.allowed.items())
        return allowed and all(limit.is_kept(choice) for limit in self.limits)

    def best_of(self, choices: Iterable[Choice]) -> Choice | None:
        """The choice of the largest value among those that are feasible."""
        return max(filter(self.is_feasible, choices), key=self.values.of, default=None)

    def choice_of(self, widths: Sequence[int]) -> Choice:
        """The indices of the given widths, which must be allowed."""
        return tuple(int(np.searchsorted(allowed, width)) for allowed, width in zip(self.widths, widths, strict=True))

    def widths_of(self, choice: Sequence[int]) -> tuple[int, ...]:
        """The widths of a choice."""
        return tuple(int(widths[index]) for widths, index in zip(self.widths, choice, strict=True))


def select(arrays: Sequence[NDArray[Any]], keep: Sequence[NDArray[Any]]) -> tuple[NDArray[Any], ...]:
    """Per group the kept entries."""
    return tuple(array[kept] for array, kept in zip(arrays, keep, strict=True))


def select_pairs(tables: Mapping[Edge, NDArray[Any]], keep: Sequence[NDArray[Any]]) -> dict[Edge, NDArray[Any]]:
    """Per pair of groups the entries of the kept widths."""
    return {(first, second): table[np.ix_(keep[first], keep[second])] for (first, second), table in tables.items()}
