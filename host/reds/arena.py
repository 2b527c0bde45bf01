"""Places activation tensors in the arena."""

from collections.abc import Sequence
from dataclasses import dataclass

from reds.schema import conventions


@dataclass(frozen=True)
class Placement:
    """Where the tensors of a chain lie."""

    offsets: tuple[int, ...]
    """Bytes from the start of the arena, per tensor."""
    arena_bytes: int
    """Size of the arena that holds them."""


def align(size: int) -> int:
    """Rounds a size in bytes up to the alignment of tensors."""
    alignment = conventions.TENSOR_ALIGNMENT
    return (size + alignment - 1) // alignment * alignment


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
    peak = max(aligned[i] + aligned[i + 1] for i in range(last))
    below_output = 0 if last % 2 == 1 else aligned[last - 1]
    peak = max(peak, output_at + aligned[last] + below_output)
    offsets = [0 if i % 2 == 0 else peak - aligned[i] for i in range(last)]
    offsets.append(output_at)
    return Placement(tuple(offsets), max(offset + size for offset, size in zip(offsets, sizes, strict=True)))
