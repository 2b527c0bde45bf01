"""Places activation tensors in the arena.

The input lies at the begin of the arena and the output at one offset in every subnetwork.
"""

from collections.abc import Iterable, Mapping, Sequence

from reds.chains import place_chains
from reds.packing import Block, Pair, Request, pack
from reds.schema import conventions
from reds.tensors import Lifetime, Placement, Tensors, align, lower_bound, placement_of

LARGEST_EXACT = 40
"""Tensors up to which a placement above its lower bound is searched exactly."""

EXACT_SECONDS = 10.0
"""Time limit of such a search."""


def place(family: Sequence[Tensors], exact: bool = True) -> tuple[Placement, ...]:
    """Places the tensors of every subnetwork, with one offset for all their outputs.

    Chains get the smallest arenas that there are, those of the first subnetworks before those of later ones. For other
    networks the output is tried at the start of the arena and behind all that lives with it.

    Args:
        family: per subnetwork its tensors; at least two each.
        exact: whether to search on where first fit is above the lower bound and the network is small.

    Returns:
        Per subnetwork where its tensors lie.
    """
    if all(tensors.is_chain for tensors in family):
        return place_chains(family)
    choices = [_place_all(family, output_at) for output_at in _output_offsets(family)]
    best = min(choices, key=lambda placements: [placement.arena_bytes for placement in placements])
    return _improved(family, best) if exact else best


def place_batch(
    family: Sequence[Tensors], placements: Sequence[Placement], batch: int
) -> tuple[tuple[Placement, ...], int]:
    """Makes room for the samples of a batch, which run one after the other.

    Those of the input lie side by side before all tensors but the input, which is the last one; those of the output lie
    side by side behind all tensors.

    Args:
        family: per subnetwork its tensors, of one sample.
        placements: what `place` gave for them.
        batch: samples of an inference.

    Returns:
        Per subnetwork where the tensors of one sample lie, and where the first sample of the input does.
    """
    if batch == 1:
        return tuple(placements), placements[0].offsets[0]
    others = (batch - 1) * family[0].sizes[0]
    begin = align(others)
    inner = [[begin + offset for offset in placement.offsets[:-1]] for placement in placements]
    ends = (_end(offsets, tensors.sizes[:-1]) for offsets, tensors in zip(inner, family, strict=True))
    output_at = align(max(ends))
    arena_bytes = output_at + batch * family[0].sizes[-1]
    return tuple(Placement((*offsets, output_at), arena_bytes) for offsets in inner), begin - others


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
    fixed = {0: 0, len(tensors.sizes) - 1: output_at}
    choices = [_first_fit(tensors, fixed, order) for order in _orders(tensors.aligned, tensors.lifetimes)]
    return placement_of(min(choices, key=lambda offsets: _end(offsets, tensors.aligned)), tensors.sizes)


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
            result[index] = placement_of(in_bytes, family[index].sizes)
    return tuple(result)


def _request(tensors: Tensors, placement: Placement) -> Request:
    """The search for a better placement, in units of the alignment."""
    unit = conventions.TENSOR_ALIGNMENT
    sizes = [size // unit for size in tensors.aligned]
    offsets = [offset // unit for offset in placement.offsets]
    blocks = tuple(Block(size, offset) for size, offset in zip(sizes, offsets, strict=True))
    pairs = tuple(
        Pair(first, second, int(between.before) // unit, int(between.behind) // unit, int(between.multiple) // unit)
        for (first, second), between in tensors.distances.items()
    )
    bound = int(lower_bound(tensors.sizes, tensors.lifetimes, tensors.sharing)) // unit
    fixed = (0, len(blocks) - 1)
    return Request(blocks, pairs, fixed, max(bound, blocks[-1].end), EXACT_SECONDS)


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


def _first_fit(tensors: Tensors, fixed: Mapping[int, int], order: Iterable[int]) -> list[int]:
    """Puts each tensor at the lowest offset that is free as long as it lives."""
    offsets = dict(fixed)
    for tensor in order:
        if tensor not in offsets:
            offsets[tensor] = _free(tensors, offsets, tensor)
    return [offsets[tensor] for tensor in range(len(tensors.sizes))]


def _free(tensors: Tensors, offsets: Mapping[int, int], tensor: int) -> int:
    """The lowest offset at which a tensor fits between those that are placed."""
    offset = 0
    while True:
        higher = max(_next_free(tensors, other, at, tensor, offset) for other, at in offsets.items())
        if higher == offset:
            return offset
        offset = higher


def _next_free(tensors: Tensors, other: int, at: int, tensor: int, offset: int) -> int:
    """The lowest place for a tensor, from an offset on, that one other tensor leaves free."""
    first, second = min(other, tensor), max(other, tensor)
    between = tensors.distances.get((first, second))
    if between is None:
        return offset
    before, behind, multiple = int(between.before), int(between.behind), int(between.multiple)
    size = tensors.aligned[second]
    if tensor == second:
        lag = at - offset
        even = lag - lag % multiple
        if lag >= size:
            return offset
        return at - even if even >= before else max(offset, at + behind)
    lag = max(offset - at, before)
    if at - offset >= behind:
        return offset
    return at + min(-(-lag // multiple) * multiple, max(lag, size))


def _end(offsets: Sequence[int], sizes: Sequence[int]) -> int:
    return max(offset + size for offset, size in zip(offsets, sizes, strict=True))
