"""Places activation tensors in the arena.

Step i of a run list writes tensor i + 1; tensor 0 is the network's input. A tensor keeps its place from the step that
writes it to the last one that reads it. The input lies at offset 0 and the output at one offset in every subnetwork.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import pairwise
from operator import add

import numpy as np
from numpy.typing import NDArray

from reds.packing import Block, Request, pack
from reds.schema import conventions

Size = int | NDArray[np.int64]
"""A number of bytes, or an array of alternatives."""

LARGEST_EXACT = 40
"""Tensors up to which a placement above its lower bound is searched exactly."""

EXACT_SECONDS = 10.0
"""Time limit of such a search."""


@dataclass(frozen=True)
class Lifetime:
    """The steps during which a tensor keeps its place, both included."""

    first: int
    last: int

    def overlaps(self, other: "Lifetime") -> bool:
        """Whether two tensors need a place at the same time."""
        return self.first <= other.last and other.first <= self.last


@dataclass(frozen=True)
class Tensors:
    """The tensors of one subnetwork, its input first, its output last."""

    sizes: tuple[int, ...]
    """Bytes of each."""
    lifetimes: tuple[Lifetime, ...]

    @property
    def is_chain(self) -> bool:
        """Whether each tensor lives until the next one is written and no longer."""
        return all(life.last == index for index, life in enumerate(self.lifetimes[:-1]))


@dataclass(frozen=True)
class Placement:
    """Where the tensors of a subnetwork lie."""

    offsets: tuple[int, ...]
    """Bytes from the start of the arena, per tensor."""
    arena_bytes: int
    """Size of the arena that holds them."""


def align(size: int) -> int:
    """Rounds a size in bytes up to the alignment of tensors."""
    alignment = conventions.TENSOR_ALIGNMENT
    return (size + alignment - 1) // alignment * alignment


def lifetimes(reads: Sequence[Sequence[int]]) -> tuple[Lifetime, ...]:
    """How long each tensor of a run list keeps its place.

    Args:
        reads: per step the tensors that it reads.

    Returns:
        One lifetime per tensor, that of the input first.
    """
    firsts = [0, *range(len(reads))]
    lasts = list(firsts)
    for step, tensors in enumerate(reads):
        for tensor in tensors:
            lasts[tensor] = step
    return tuple(Lifetime(first, last) for first, last in zip(firsts, lasts, strict=True))


def largest_sum(sizes: Sequence[Size], lives: Sequence[Lifetime]) -> Size:
    """The largest sum of tensors that need a place at the same time; no placement can go below it.

    Args:
        sizes: bytes of each tensor, or arrays of alternatives.
        lives: their lifetimes.
    """
    steps = range(max(life.last for life in lives) + 1)
    live = [[size for size, life in zip(sizes, lives, strict=True) if life.first <= s <= life.last] for s in steps]
    return reduce(np.maximum, (reduce(add, tensors) for tensors in live))


def place(family: Sequence[Tensors], exact: bool = True) -> tuple[Placement, ...]:
    """Places the tensors of every subnetwork, with one offset for all their outputs.

    Chains get the smallest arenas that there are. For other networks the output is tried at the start of the arena
    and behind all that lives with it.

    Args:
        family: per subnetwork its tensors; at least two each.
        exact: whether to search on where first fit is above the lower bound and the network is small.

    Returns:
        Per subnetwork where its tensors lie.
    """
    if all(tensors.is_chain for tensors in family):
        output_at = output_offset([tensors.sizes for tensors in family])
        return tuple(place_chain(tensors.sizes, output_at) for tensors in family)
    choices = [_place_all(family, output_at) for output_at in _output_offsets(family)]
    best = min(choices, key=lambda placements: [placement.arena_bytes for placement in placements])
    return _improved(family, best) if exact else best


def output_offset(chains: Sequence[Sequence[int]]) -> int:
    """The one offset at which the output can lie in every chain.

    Args:
        chains: per subnetwork the sizes in bytes of its tensors, input first, output last.

    Returns:
        0 where every chain can write its output there, else the first byte behind every output's predecessor.
    """
    odd = any(len(chain) % 2 == 0 for chain in chains)
    return max(align(chain[-2]) for chain in chains) if odd else 0


def place_chain(sizes: Sequence[int], output_at: int) -> Placement:
    """Places a chain's tensors alternately at the bottom and at the top of the arena.

    Only a tensor and its successor are alive at the same time, so the arena's size is the largest sum of two
    neighbours, which no placement can go below, unless the fixed place of the output needs more.

    Args:
        sizes: bytes of each tensor, input first, output last; at least two.
        output_at: offset of the output from `output_offset`.

    Returns:
        The placement, with the input at offset 0 and the output at `output_at`.
    """
    aligned = [align(size) for size in sizes]
    last = len(sizes) - 1
    peak = max(first + second for first, second in pairwise(aligned))
    below_output = 0 if last % 2 == 1 else aligned[last - 1]
    peak = max(peak, output_at + aligned[last] + below_output)
    offsets = [0 if i % 2 == 0 else peak - aligned[i] for i in range(last)]
    offsets.append(output_at)
    return _placement(offsets, sizes)


def _output_offsets(family: Sequence[Tensors]) -> list[int]:
    """Where the output may lie: at the start unless the input lives as long, and behind what it is made of."""
    behind = 0
    free = True
    for tensors in family:
        output = tensors.lifetimes[-1]
        neighbours = [i for i, life in enumerate(tensors.lifetimes[:-1]) if life.overlaps(output)]
        behind = max(behind, sum(align(tensors.sizes[i]) for i in neighbours))
        free = free and 0 not in neighbours
    return [0, behind] if free else [behind]


def _place_all(family: Sequence[Tensors], output_at: int) -> tuple[Placement, ...]:
    return tuple(_place_one(tensors, output_at) for tensors in family)


def _place_one(tensors: Tensors, output_at: int) -> Placement:
    """The best of first fit in several orders."""
    sizes = [align(size) for size in tensors.sizes]
    fixed = {0: 0, len(sizes) - 1: output_at}
    choices = [_first_fit(sizes, tensors.lifetimes, fixed, order) for order in _orders(sizes, tensors.lifetimes)]
    return _placement(min(choices, key=lambda offsets: _end(offsets, sizes)), tensors.sizes)


def _improved(family: Sequence[Tensors], placements: Sequence[Placement]) -> tuple[Placement, ...]:
    """Searches exactly where a placement is above its lower bound and the network is small."""
    requests = {
        index: request
        for index, (tensors, placement) in enumerate(zip(family, placements, strict=True))
        if len(tensors.sizes) <= LARGEST_EXACT and not (request := _request(tensors, placement)).is_solved
    }
    result = list(placements)
    if requests:
        for index, offsets in zip(requests, pack(tuple(requests.values())), strict=True):
            in_bytes = [offset * conventions.TENSOR_ALIGNMENT for offset in offsets]
            result[index] = _placement(in_bytes, family[index].sizes)
    return tuple(result)


def _request(tensors: Tensors, placement: Placement) -> Request:
    """The search for a better placement, in units of the alignment."""
    units = [align(size) // conventions.TENSOR_ALIGNMENT for size in tensors.sizes]
    offsets = [offset // conventions.TENSOR_ALIGNMENT for offset in placement.offsets]
    blocks = tuple(
        Block(size, life.first, life.last, offset)
        for size, life, offset in zip(units, tensors.lifetimes, offsets, strict=True)
    )
    bound = max(int(largest_sum(units, tensors.lifetimes)), offsets[-1] + units[-1])
    return Request(blocks, fixed=(0, len(blocks) - 1), bound=bound, seconds=EXACT_SECONDS)


def _orders(sizes: Sequence[int], lives: Sequence[Lifetime]) -> list[list[int]]:
    """Orders to place tensors in: large ones, long-lived ones or those with the most neighbours first, or in turn."""
    everything = range(len(sizes))
    neighbours = [sum(sizes[i] for i in everything if lives[i].overlaps(life)) for life in lives]
    return [
        sorted(everything, key=lambda i: -sizes[i]),
        sorted(everything, key=lambda i: (lives[i].first - lives[i].last, -sizes[i])),
        sorted(everything, key=lambda i: -sizes[i] * (lives[i].last - lives[i].first + 1)),
        sorted(everything, key=lambda i: (-neighbours[i], -sizes[i])),
        list(everything),
        list(reversed(everything)),
    ]


def _first_fit(
    sizes: Sequence[int], lives: Sequence[Lifetime], fixed: dict[int, int], order: Iterable[int]
) -> list[int]:
    """Puts each tensor at the lowest offset that is free as long as it lives."""
    offsets = dict(fixed)
    for tensor in order:
        if tensor not in offsets:
            taken = sorted(
                (offset, offset + sizes[other])
                for other, offset in offsets.items()
                if lives[other].overlaps(lives[tensor])
            )
            offsets[tensor] = _lowest_gap(taken, sizes[tensor])
    return [offsets[tensor] for tensor in range(len(sizes))]


def _lowest_gap(taken: Iterable[tuple[int, int]], size: int) -> int:
    """The lowest offset with room before the next taken span; spans come in order of their starts."""
    offset = 0
    for start, end in taken:
        if start - offset >= size:
            break
        offset = max(offset, end)
    return offset


def _end(offsets: Sequence[int], sizes: Sequence[int]) -> int:
    return max(offset + size for offset, size in zip(offsets, sizes, strict=True))


def _placement(offsets: Sequence[int], sizes: Sequence[int]) -> Placement:
    return Placement(tuple(offsets), _end(offsets, sizes))
