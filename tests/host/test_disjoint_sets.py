"""Sets united step by step equal the connected components."""

from hypothesis import given, settings
from hypothesis import strategies as st

from reds.disjoint_sets import DisjointSets

SIZE = 9
PAIRS = st.lists(st.tuples(st.integers(0, SIZE - 1), st.integers(0, SIZE - 1)), max_size=12)


def smallest_reachable(pairs: list[tuple[int, int]], start: int) -> int:
    reached = {start}
    for _ in range(SIZE):
        reached |= {b for a, b in pairs if a in reached} | {a for a, b in pairs if b in reached}
    return min(reached)


@settings(derandomize=True, deadline=None)
@given(PAIRS)
def test_a_set_is_what_pairs_connect(pairs: list[tuple[int, int]]) -> None:
    sets = DisjointSets(SIZE)
    for first, second in pairs:
        sets.unite(first, second)
    assert [sets.find(member) for member in range(SIZE)] == [smallest_reachable(pairs, m) for m in range(SIZE)]
