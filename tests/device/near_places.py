"""Places the tensors of chains as near to each other as kernels allow, or apart, whatever arena that takes."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Literal
from unittest.mock import patch

from reds.schema.conventions import TENSOR_ALIGNMENT
from reds.tensors import Placement, Tensors, placement_of

Side = Literal["before", "behind"]
"""Where an output begins: before its input or behind the begin of it."""

Place = Callable[[Sequence[Tensors]], tuple[Placement, ...]]


def near(side: Side, farther: int = 0) -> Place:
    """Each output as near to its input as its kernel allows, on one side where both are possible.

    The network's input and output overlap nothing, so that they have one place in every subnetwork.

    Args:
        side: where outputs begin.
        farther: how many places farther; with -1 hidden outputs are nearer than is allowed.
    """

    def place(family: Sequence[Tensors]) -> tuple[Placement, ...]:
        hidden = [_hidden(tensors, side, farther) for tensors in family]
        input_bytes = max(tensors.aligned[0] for tensors in family)
        shifted = [[input_bytes + offset - min(offsets) for offset in offsets] for offsets in hidden]
        output_at = max(
            offset + size
            for offsets, tensors in zip(shifted, family, strict=True)
            for offset, size in zip(offsets, tensors.aligned[1:-1], strict=True)
        )
        return tuple(
            placement_of([0, *offsets, output_at], tensors.sizes)
            for offsets, tensors in zip(shifted, family, strict=True)
        )

    return place


def _hidden(tensors: Tensors, side: Side, farther: int) -> list[int]:
    assert tensors.is_chain
    offsets = [0]
    for step in range(1, len(tensors.sizes) - 2):
        between = tensors.distances[step, step + 1]
        may_be_before = between.before < tensors.aligned[step + 1]
        may_be_behind = between.behind < tensors.aligned[step]
        is_before = may_be_before if side == "before" else may_be_before and not may_be_behind
        before = -between.before - farther * between.multiple
        behind = between.behind + farther * TENSOR_ALIGNMENT
        offsets.append(offsets[-1] + int(before if is_before else behind))
    return offsets


def apart(family: Sequence[Tensors]) -> tuple[Placement, ...]:
    """Every tensor behind all others, each as large as the largest of the family."""
    size = max(max(tensors.aligned) for tensors in family)
    return tuple(
        placement_of(
            [*(size * index for index in range(len(tensors.sizes) - 1)), size * len(tensors.sizes)], tensors.sizes
        )
        for tensors in family
    )


def overlap(placement: Placement, tensors: Tensors) -> bool:
    """Whether a tensor overlaps the one before it."""
    return any(
        abs(placement.offsets[step] - placement.offsets[step + 1])
        < tensors.sizes[step + (placement.offsets[step] > placement.offsets[step + 1])]
        for step in range(len(tensors.sizes) - 1)
    )


@contextmanager
def placed(place: Place) -> Iterator[list[bool]]:
    """Has the emitter place tensors so; yields whether tensors of each subnetwork overlapped, once it has."""
    seen: list[bool] = []

    def observe(family: Sequence[Tensors]) -> tuple[Placement, ...]:
        placements = place(family)
        seen.extend(overlap(placement, tensors) for placement, tensors in zip(placements, family, strict=True))
        return placements

    with patch("reds.plan.place", observe):
        yield seen
