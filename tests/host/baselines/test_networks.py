"""A subnetwork as a network of its own gives what the subnetwork gives; fresh weights are fresh."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from random_networks import random_supernet
from small_run import SHAPE, small_model

from reds import cost
from reds.baselines.networks import standalone, with_fresh_weights
from reds.exits import attach_exits
from reds.forward import predict
from reds.graph import Family, Ranked, Subnetwork
from reds.tracing import trace

SEEDS = st.integers(0, 10_000)


def outputs_inside(family: Family, index: int, x: np.ndarray) -> np.ndarray:
    """What a subnetwork gives inside the full network."""
    chosen = family.subnetworks[index]
    if chosen.exit == 0:
        return predict(family.graph, x, widths=chosen.widths)
    exit_ = family.exits[chosen.exit - 1]
    return predict(exit_.head, predict(family.graph, x, widths=chosen.widths, until=exit_.tap))


@settings(max_examples=15, deadline=None)
@given(st.tuples(st.integers(1, 8), st.integers(1, 10)), st.sampled_from([(), ("conv",), ("depthwise",)]), SEEDS)
def test_a_standalone_network_gives_what_the_subnetwork_gives(
    widths: tuple[int, int], taps: tuple[str, ...], seed: int
) -> None:
    graph = trace(small_model(seed))
    exits = attach_exits(Ranked(graph, (), "random"), taps, seed).exits
    family = Family(graph, (), exits, (Subnetwork("narrow", widths, exit=len(exits)),))
    x = np.random.default_rng(seed).standard_normal((3, *SHAPE)).astype(np.float32)
    np.testing.assert_allclose(predict(standalone(family, 0), x), outputs_inside(family, 0, x), rtol=1e-4, atol=1e-6)


@settings(max_examples=15, deadline=None)
@given(SEEDS)
def test_a_standalone_network_costs_what_the_subnetwork_costs(seed: int) -> None:
    family = random_supernet(seed).family
    for index, chosen in enumerate(family.subnetworks):
        alone = standalone(family, index)
        leave = None if chosen.exit == 0 else family.exits[chosen.exit - 1]
        widths = cost.full_widths(alone)
        assert cost.macs(alone, widths) == cost.macs(family.graph, chosen.widths, leave)
        assert cost.parameters(alone, widths) == cost.parameters(family.graph, chosen.widths, leave)


@settings(max_examples=10, deadline=None)
@given(SEEDS)
def test_fresh_weights_depend_on_the_seed_alone(seed: int) -> None:
    graph = random_supernet(seed).family.graph
    first, again, other = (with_fresh_weights(graph, chosen) for chosen in (1, 1, 2))
    kernels = 0
    for old, one, same, different in zip(graph.nodes, first.nodes, again.nodes, other.nodes, strict=True):
        for name, values in one.weights.items():
            np.testing.assert_array_equal(values, same.weights[name])
            assert values.shape == old.weights[name].shape
            if name == "kernel":
                kernels += 1
                assert not np.array_equal(values, different.weights[name])
                assert not np.array_equal(values, old.weights[name])
            else:
                assert np.all(values == (1 if name in ("gamma", "moving_variance") else 0))
    assert kernels
