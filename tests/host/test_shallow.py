"""The network up to an exit as a graph of its own."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from random_networks import random_residual_supernet, random_supernet

from reds import cost
from reds.finetuning import evaluate
from reds.forward import predict
from reds.graph import Ranked, Supernet
from reds.shallow import ShallowNetwork, shallow_ranked, subnetwork_network


def network_that_gives_the_same(supernet: Supernet, index: int, x: NDArray[np.float32]) -> ShallowNetwork:
    """The network of a subnetwork, whose outputs at the subnetwork's widths were compared with the family's."""
    subnetwork = supernet.family.subnetworks[index]
    network = subnetwork_network(supernet.family, subnetwork)
    widths = network.narrow(subnetwork.widths)
    given_by_it = predict(network.graph, x, widths=widths, batch_norm=supernet.batch_norms[index])
    np.testing.assert_allclose(given_by_it, evaluate(supernet, index, x), rtol=1e-4, atol=1e-5)
    return network


@settings(derandomize=True, deadline=None, max_examples=15)
@given(st.integers(0, 2**32 - 1))
def test_it_gives_without_blocks_what_the_subnetwork_does(seed: int) -> None:
    supernet = random_residual_supernet(seed)
    family = supernet.family
    x = np.random.default_rng(seed).normal(size=(5, *family.graph.input_shape)).astype(np.float32)
    for index, subnetwork in enumerate(family.subnetworks):
        network = network_that_gives_the_same(supernet, index, x)
        widths = network.narrow(subnetwork.widths)
        assert network.widen(widths, subnetwork.widths) == subnetwork.widths
        for node, place in network.places.items():
            assert network.graph.shape_of(place) == family.graph.shape_of(node)


@settings(derandomize=True, deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1))
def test_it_gives_and_costs_what_the_subnetwork_does(seed: int) -> None:
    supernet = random_supernet(seed)
    family = supernet.family
    x = np.random.default_rng(seed).normal(size=(5, *family.graph.input_shape)).astype(np.float32)
    for index, subnetwork in enumerate(family.subnetworks):
        network = network_that_gives_the_same(supernet, index, x)
        widths = network.narrow(subnetwork.widths)
        leave = family.exits[subnetwork.exit - 1] if subnetwork.exit else None
        for of in (cost.macs, cost.parameters, cost.peak_activation_bytes):
            arguments = {"leave": leave}
            assert of(network.graph, widths) == of(family.graph, subnetwork.widths, **arguments)
        assert network.widen(widths, subnetwork.widths) == subnetwork.widths


def test_importance_is_that_of_the_channels_it_has() -> None:
    supernet = next(s for s in map(random_supernet, range(100)) if s.family.exits and len(s.family.graph.groups) > 2)
    graph = supernet.family.graph
    importance = tuple(np.full(group.size, number) for number, group in enumerate(graph.groups))
    ranked, shallow = shallow_ranked(Ranked(graph, importance, "random"), supernet.family.exits[0])
    assert [int(values[0]) for values in ranked.importance] == list(shallow.groups)
    assert [len(values) for values in ranked.importance] == [group.size for group in ranked.graph.groups]
