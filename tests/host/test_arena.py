"""Placement of a chain's tensors: live neighbours never overlap, and no byte too much."""

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from reds.arena import align, output_offset, place_chain

SIZES = st.lists(st.integers(1, 5000), min_size=2, max_size=9)
same_for_all = settings(derandomize=True, deadline=None, max_examples=300)


def neighbours_sum(sizes: list[int]) -> int:
    return max(align(a) + align(b) for a, b in pairwise(sizes))


@same_for_all
@given(st.lists(SIZES, min_size=1, max_size=5))
def test_no_chain_lets_live_tensors_overlap_and_all_share_the_output(chains: list[list[int]]) -> None:
    output_at = output_offset(chains)
    for sizes in chains:
        placement = place_chain(sizes, output_at)
        spans = [(start, start + size) for start, size in zip(placement.offsets, sizes, strict=True)]
        assert placement.offsets[0] == 0
        assert placement.offsets[-1] == output_at
        assert all(start == align(start) for start in placement.offsets)
        assert placement.arena_bytes == max(end for _, end in spans)
        for (first, first_end), (second, second_end) in pairwise(spans):
            assert first_end <= second or second_end <= first


@same_for_all
@given(SIZES.filter(lambda sizes: len(sizes) % 2 == 1))
def test_an_arena_is_as_small_as_any_placement_can_be_when_the_output_lies_at_the_start(sizes: list[int]) -> None:
    assert output_offset([sizes]) == 0
    aligned = [align(size) for size in sizes]
    assert place_chain(aligned, 0).arena_bytes == neighbours_sum(sizes)
    assert place_chain(sizes, 0).arena_bytes <= neighbours_sum(sizes)


@same_for_all
@given(SIZES)
def test_one_chain_alone_never_needs_more_than_its_neighbours(sizes: list[int]) -> None:
    assert place_chain(sizes, output_offset([sizes])).arena_bytes <= neighbours_sum(sizes)
