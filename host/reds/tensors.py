"""Activation tensors that need a place in the arena, and how near to each other they may lie.

Step i of a run list writes tensor i + 1; tensor 0 is the network's input. A tensor keeps its place from the step that
writes it to the last one that reads it. What the last one writes may overlap it as far as its kernel allows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from itertools import combinations
from operator import add
from typing import overload

import numpy as np
from numpy.typing import NDArray

from reds.schema import conventions

Size = int | NDArray[np.int64]
"""A number of bytes, or an array of alternatives."""


@dataclass(frozen=True)
class Lifetime:
    """The steps during which a tensor keeps its place, both included."""

    first: int
    last: int

    def overlaps(self, other: "Lifetime") -> bool:
        """Whether two tensors need a place at the same time."""
        return self.first <= other.last and other.first <= self.last


@dataclass(frozen=True)
class Sharing:
    """How near a step's output may begin to an input that no later step reads, in bytes, where both overlap."""

    before: Size
    """It begins that far before the input, or farther."""
    behind: Size | None = None
    """It begins that far behind the input's begin, or farther; None where it has to begin behind its end."""
    multiple: Size = 1
    """What lies between a begin before the input and that of the input is a multiple of it."""


@dataclass(frozen=True)
class Distances:
    """How far apart two tensors begin, in bytes that are multiples of the alignment."""

    before: Size
    """Of the later tensor before the earlier one, at least."""
    behind: Size
    """Of the later tensor behind the earlier one, at least."""
    multiple: Size
    """The distance before is a multiple of it where the two overlap."""


@dataclass(frozen=True)
class Tensors:
    """The tensors of one subnetwork, its input first, its output last."""

    sizes: tuple[int, ...]
    """Bytes of each."""
    lifetimes: tuple[Lifetime, ...]
    sharing: tuple[Sharing | None, ...]
    """Per step what its output may share with an input; None where it must not overlap any."""

    @property
    def is_chain(self) -> bool:
        """Whether each tensor lives until the next one is written and no longer."""
        return all(life.last == index for index, life in enumerate(self.lifetimes[:-1]))

    @cached_property
    def aligned(self) -> tuple[int, ...]:
        """Bytes of each, rounded up to the alignment."""
        return tuple(align(size) for size in self.sizes)

    @cached_property
    def distances(self) -> Mapping[tuple[int, int], Distances]:
        """Of every two tensors that need a place at the same time, the one that is written first named first."""
        return {
            (first, second): distances(self._shared(first, second), self.sizes[first], self.sizes[second])
            for first, second in combinations(range(len(self.sizes)), 2)
            if self.lifetimes[first].overlaps(self.lifetimes[second])
        }

    def _shared(self, first: int, second: int) -> Sharing | None:
        step = second - 1
        return self.sharing[step] if self.lifetimes[first].last == step else None


@dataclass(frozen=True)
class Placement:
    """Where the tensors of a subnetwork lie."""

    offsets: tuple[int, ...]
    """Bytes from the start of the arena, per tensor."""
    arena_bytes: int
    """Size of the arena that holds them."""


@overload
def align(size: int) -> int: ...
@overload
def align(size: Size) -> Size: ...
def align(size: Size) -> Size:
    """Rounds a size in bytes up to the alignment of tensors."""
    alignment = conventions.TENSOR_ALIGNMENT
    return (size + alignment - 1) // alignment * alignment


def lifetimes(reads: Sequence[Sequence[int]], kept: Sequence[int] = ()) -> tuple[Lifetime, ...]:
    """How long each tensor of a run list keeps its place.

    Args:
        reads: per step the tensors that it reads.
        kept: tensors that keep it beyond the last step.

    Returns:
        One lifetime per tensor, that of the input first.
    """
    firsts = [0, *range(len(reads))]
    lasts = list(firsts)
    for step, tensors in enumerate(reads):
        for tensor in tensors:
            lasts[tensor] = step
    for tensor in kept:
        lasts[tensor] = len(reads)
    return tuple(Lifetime(first, last) for first, last in zip(firsts, lasts, strict=True))


def distances(sharing: Sharing | None, input_size: Size, output_size: Size) -> Distances:
    """How far apart an input and an output begin, or any two tensors that share nothing.

    Args:
        sharing: what they may share.
        input_size: bytes of the tensor that was written first.
        output_size: bytes of the other one.
    """
    apart = Distances(align(output_size), align(input_size), conventions.TENSOR_ALIGNMENT)
    if sharing is None:
        return apart
    multiple = np.lcm(sharing.multiple, conventions.TENSOR_ALIGNMENT)
    before = np.minimum(-(-sharing.before // multiple) * multiple, apart.before)
    behind = apart.behind if sharing.behind is None else np.minimum(align(sharing.behind), apart.behind)
    return Distances(before, behind, multiple)


def least_bytes(sizes: Sequence[Size], lives: Sequence[Lifetime], step: int, sharing: Sharing | None) -> Size:
    """What the tensors of a step need at least; no placement can go below it.

    Args:
        sizes: bytes of each tensor, or arrays of alternatives.
        lives: their lifetimes.
        step: the step.
        sharing: what its output may share with an input.
    """
    live = [tensor for tensor, life in enumerate(lives) if life.first <= step <= life.last]
    total = reduce(add, (align(sizes[tensor]) for tensor in live))
    if sharing is None:
        return total
    output = step + 1
    saved: Size = 0
    for tensor in live:
        if tensor != output and lives[tensor].last == step:
            between = distances(sharing, sizes[tensor], sizes[output])
            together = _span(between, sizes[tensor], sizes[output], tensor)
            saved = saved + align(sizes[tensor]) + align(sizes[output]) - together
    return total - np.minimum(saved, align(sizes[output]))


def _span(between: Distances, input_size: Size, output_size: Size, tensor: int) -> Size:
    """Bytes from the begin of an input or its output to the end of both. Nothing begins before the network's input."""
    first, second = align(input_size), align(output_size)
    behind = np.maximum(between.behind + second, first)
    before = np.maximum(between.before + first, second)
    possible = (np.asarray(between.before) == 0) | (tensor > 0)
    return np.where(possible, np.minimum(before, behind), behind)


def lower_bound(sizes: Sequence[Size], lives: Sequence[Lifetime], sharing: Sequence[Sharing | None]) -> Size:
    """The largest need of a step; no placement can go below it.

    Args:
        sizes: bytes of each tensor, or arrays of alternatives.
        lives: their lifetimes.
        sharing: per step what its output may share with an input.
    """
    return reduce(np.maximum, (least_bytes(sizes, lives, step, shared) for step, shared in enumerate(sharing)))


def placement_of(offsets: Sequence[int], sizes: Sequence[int]) -> Placement:
    """A placement, whose arena ends with its last byte."""
    return Placement(tuple(offsets), max(offset + size for offset, size in zip(offsets, sizes, strict=True)))
