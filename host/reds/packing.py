"""Packs blocks of memory as tightly as possible, in a process of its own."""

from dataclasses import dataclass
from typing import Any

from reds.own_process import answer, ask


@dataclass(frozen=True)
class Block:
    """Memory that is needed for a while."""

    size: int
    offset: int
    """Where it lies in a known packing."""

    @property
    def end(self) -> int:
        """The first place behind it."""
        return self.offset + self.size


@dataclass(frozen=True)
class Pair:
    """Two blocks that are needed at the same time."""

    first: int
    second: int
    before: int
    """The second begins that far before the first, or farther; where they overlap by a multiple of `multiple`."""
    behind: int
    """Or it begins that far behind the first's begin, or farther."""
    multiple: int


@dataclass(frozen=True)
class Request:
    """Blocks to pack."""

    blocks: tuple[Block, ...]
    pairs: tuple[Pair, ...]
    """All blocks that are needed at the same time."""
    fixed: tuple[int, ...]
    """Indices of the blocks that must stay where they are."""
    bound: int
    """No packing ends below it."""
    seconds: float
    """Time limit of the search."""

    @property
    def end(self) -> int:
        """Where the known packing ends."""
        return max(block.end for block in self.blocks)

    @property
    def is_solved(self) -> bool:
        """Whether the known packing is as good as any."""
        return self.end <= self.bound


def pack(requests: tuple[Request, ...]) -> tuple[tuple[int, ...], ...]:
    """Searches for the packings with the lowest ends, in a process of its own.

    Args:
        requests: independent problems.

    Returns:
        Per request the offset of each block; the known packing where no better one was found.

    Raises:
        subprocess.CalledProcessError: if the solver's process fails.
    """
    packings: tuple[tuple[int, ...], ...] = ask(__name__, requests)
    return packings


def _search_all(requests: tuple[Request, ...]) -> tuple[tuple[int, ...], ...]:
    return tuple(_search(request) for request in requests)


def _search(request: Request) -> tuple[int, ...]:
    """Packs with CP-SAT: of every pair one lies before the other."""
    from ortools.sat.python import cp_model

    model = cp_model.CpModel()
    end = model.new_int_var(request.bound, request.end, "")
    offsets = []
    for index, block in enumerate(request.blocks):
        low, high = (block.offset, block.offset) if index in request.fixed else (0, request.end - block.size)
        offset = model.new_int_var(low, high, "")
        model.add_hint(offset, block.offset)
        model.add(offset + block.size <= end)
        offsets.append(offset)
    for pair in request.pairs:
        size = request.blocks[pair.second].size
        distance = offsets[pair.first] - offsets[pair.second]
        ways: list[tuple[Any, ...]] = [(distance >= size,), (-distance >= pair.behind,)]
        if pair.before < size:
            factor = model.new_int_var(0, request.end // pair.multiple, "")
            ways.append((distance == pair.multiple * factor, distance >= pair.before))
        chosen = [model.new_bool_var("") for _ in ways]
        for literal, constraints in zip(chosen, ways, strict=True):
            for constraint in constraints:
                model.add(constraint).only_enforce_if(literal)
        model.add_exactly_one(chosen)
    model.minimize(end)
    solver = cp_model.CpSolver()
    solver.parameters.max_time_in_seconds = request.seconds
    solver.parameters.num_workers = 1
    solver.parameters.random_seed = 0
    if solver.solve(model) not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
        return tuple(block.offset for block in request.blocks)
    return tuple(solver.value(offset) for offset in offsets)


if __name__ == "__main__":
    answer(_search_all)
