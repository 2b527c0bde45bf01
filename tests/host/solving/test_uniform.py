"""Uniform widths: one fraction for all layers, and the largest within the budget."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reds import cost, zoo
from reds.errors import UsageError
from reds.graph import Family, Ranked
from reds.solving import solve
from reds.solving.formulation import Rules
from reds.solving.uniform import with_uniform_widths
from reds.tracing import trace


@pytest.fixture(scope="module")
def ranked() -> Ranked:
    graph = trace(zoo.build("cnn_s"))
    return Ranked(graph, tuple(np.arange(group.size, 0, -1.0) for group in graph.groups), "random")


def fractions_of(family: Family, multiple: int) -> list[tuple[int, ...]]:
    """Every uniform choice of widths, by plain enumeration."""
    sizes = cost.full_widths(family.graph)
    found = set()
    for fraction in np.linspace(0, 1, 2000)[1:]:
        widths = tuple(int(fraction * size / multiple + 1e-9) * multiple if fraction < 1 else size for size in sizes)
        if min(widths) > 0:
            found.add(widths)
    return sorted(found)


@settings(max_examples=10, deadline=None)
@given(st.lists(st.floats(0.2, 0.95), min_size=1, max_size=3), st.sampled_from([1, 2, 4]))
def test_the_widest_within_the_budget_and_nested(ranked: Ranked, budgets: list[float], multiple: int) -> None:
    family = solve(ranked, budgets, multiple=multiple)
    uniform = with_uniform_widths(family, Rules(multiple=multiple))
    assert uniform.subnetworks[0] == family.subnetworks[0]
    previous = uniform.subnetworks[0].widths
    for searched, one in zip(family.subnetworks[1:], uniform.subnetworks[1:], strict=True):
        assert searched.solution is not None
        budget = searched.solution.budget
        macs = int(cost.macs(family.graph, one.widths))
        within = [widths for widths in fractions_of(family, multiple) if cost.macs(family.graph, widths) <= budget]
        assert macs <= budget
        assert macs >= max(int(cost.macs(family.graph, widths)) for widths in within)
        assert all(few <= many for few, many in zip(one.widths, previous, strict=True))
        previous = one.widths


def test_the_arena_binds_too(ranked: Ranked) -> None:
    family = solve(ranked, (0.9,), multiple=2)
    free = with_uniform_widths(family, Rules(multiple=2)).subnetworks[1]
    most = int(cost.peak_activation_bytes(family.graph, free.widths)) - 1
    limited = solve(ranked, (0.9,), multiple=2, max_arena=most)
    bound = with_uniform_widths(limited, Rules(multiple=2)).subnetworks[1]
    assert cost.peak_activation_bytes(family.graph, bound.widths) <= most


def test_a_budget_that_no_fraction_keeps(ranked: Ranked) -> None:
    family = solve(ranked, (0.01,))
    with pytest.raises(UsageError, match="1%"):
        with_uniform_widths(family, Rules(multiple=8))
