"""Places the tensors of chains: networks in which each tensor lives until the next one is written and no longer.

Where a tensor may lie depends on its predecessor alone. So for an arena of a given size the offsets that a tensor can
have follow from those of the one before, and the smallest arena is found by bisection.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from reds.schema import conventions
from reds.tensors import Distances, Placement, Tensors, lower_bound, placement_of

UNIT = conventions.TENSOR_ALIGNMENT

Offsets = NDArray[np.bool_]
"""Which offsets a tensor can have, in units of the alignment."""


def place_chains(family: Sequence[Tensors]) -> tuple[Placement, ...]:
    """Places chains with one offset for all their outputs.

    Args:
        family: per subnetwork its tensors, a chain of at least two.

    Returns:
        Per subnetwork where its tensors lie: the smallest arena for the first one, then for the second one, and so on.
    """
    chains = [_Chain(tensors) for tensors in family]
    # Three levels of the largest size hold any chain, and its output behind the first of them.
    largest = max(max(chain.sizes) for chain in chains)
    ends = np.ones(largest + 1, np.bool_)
    for chain in chains:
        ends = _common(ends, chain.reached(4 * largest)[-1])
    arenas = []
    for chain in chains:
        arena = chain.smallest_arena(ends, 4 * largest)
        ends = _common(ends, chain.reached(arena)[-1])
        arenas.append(arena)
    output_at = int(ends.argmax())
    return tuple(chain.placement(arena, output_at) for chain, arena in zip(chains, arenas, strict=True))


def _common(first: Offsets, second: Offsets) -> Offsets:
    size = min(len(first), len(second))
    return first[:size] & second[:size]


class _Chain:
    """The tensors of a chain. All sizes are in units of the alignment."""

    def __init__(self, tensors: Tensors) -> None:
        self._tensors = tensors
        self.sizes = [size // UNIT for size in tensors.aligned]
        self._steps = [_in_units(tensors.distances[step, step + 1]) for step in range(len(self.sizes) - 1)]

    def smallest_arena(self, ends: Offsets, most: int) -> int:
        """The smallest arena in which the output can have one of the given offsets; `most` is enough."""
        tensors = self._tensors
        least = int(lower_bound(tensors.sizes, tensors.lifetimes, tensors.sharing)) // UNIT
        if self._ends_in(ends, least):
            return least
        while least + 1 < most:
            middle = (least + most) // 2
            if self._ends_in(ends, middle):
                most = middle
            else:
                least = middle
        return most

    def _ends_in(self, ends: Offsets, arena: int) -> bool:
        return bool(_common(ends, self.reached(arena)[-1]).any())

    def reached(self, arena: int) -> list[Offsets]:
        """Per tensor the offsets that it can have in an arena."""
        offsets = np.zeros(arena - self.sizes[0] + 1, np.bool_)
        offsets[0] = True
        result = [offsets]
        for step, distances in enumerate(self._steps):
            result.append(_successors(result[-1], distances, self.sizes[step + 1], arena))
        return result

    def placement(self, arena: int, output_at: int) -> Placement:
        """The tensors in an arena, from the last one back each as low as it can lie."""
        offsets = [output_at]
        reached = self.reached(arena)
        for step in reversed(range(len(self._steps))):
            candidates = np.flatnonzero(reached[step])
            fits = _fits(candidates, offsets[0], self._steps[step], self.sizes[step + 1])
            offsets.insert(0, int(candidates[fits.argmax()]))
        return placement_of([offset * UNIT for offset in offsets], self._tensors.sizes)


def _in_units(distances: Distances) -> Distances:
    before, behind, multiple = (int(one) // UNIT for one in (distances.before, distances.behind, distances.multiple))
    return Distances(before, behind, multiple)


def _successors(offsets: Offsets, distances: Distances, size: int, arena: int) -> Offsets:
    """Where the next tensor can lie, of a size, if one can have the given offsets."""
    result = np.zeros(max(0, arena - size + 1), np.bool_)
    places = np.flatnonzero(offsets)
    if len(places) == 0:
        return result
    lowest, highest = int(places[0]), int(places[-1])
    result[lowest + distances.behind :] = True
    result[: max(0, highest - size + 1)] = True
    before = _before(offsets, distances)[: len(result)]
    result[: len(before)] |= before
    return result


def _before(offsets: Offsets, distances: Distances) -> Offsets:
    """What lies the distance before one of the offsets, or multiples farther."""
    shifted = offsets[distances.before :]
    padded = np.zeros(-(-len(shifted) // distances.multiple) * distances.multiple, np.bool_)
    padded[: len(shifted)] = shifted
    columns = padded.reshape(-1, distances.multiple)[::-1]
    return np.logical_or.accumulate(columns)[::-1].ravel()


def _fits(offsets: NDArray[np.int64], next_at: int, distances: Distances, size: int) -> NDArray[np.bool_]:
    """Which offsets a tensor may have if the next one, of a size, lies at `next_at`."""
    before = offsets - next_at
    overlapping = (before >= distances.before) & (before % distances.multiple == 0)
    return overlapping | (before >= size) | (-before >= distances.behind)
