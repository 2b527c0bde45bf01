"""Which residual blocks can be left out, and what is left without them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops
from random_networks import random_residual_supernet
from residual_network import residual_network

from reds import cost
from reds.errors import UsageError
from reds.fold import fuse
from reds.forward import forward_with_moments, predict
from reds.graph import (
    INPUT,
    Activation,
    ActivationFunction,
    Add,
    Conv2D,
    Dense,
    Exit,
    Family,
    Graph,
    Multiply,
    Node,
    Operation,
    Pool2D,
    Subnetwork,
)
from reds.grouping import with_groups
from reds.shallow import check_networks, shallow_network
from reds.skipping import AUTO, Block, blocks_named, sets_to_skip, skippable_blocks

POINT = (1, 1)
CONV = Conv2D(POINT)
RELU = Activation("relu")


def graph_of(*layers: tuple[str, Operation, tuple[int, ...]]) -> Graph:
    """A network of maps of one shape with four channels, and a dense layer behind it."""
    nodes = [Node(name, operation, inputs, (2, 2, 4), None, None, {}) for name, operation, inputs in layers]
    pooled = Node("pool", Pool2D("average", (2, 2), (2, 2)), (len(nodes) - 1,), (1, 1, 4), None, None, {})
    classes = Node("classes", Dense(), (len(nodes),), (1, 1, 3), None, None, {})
    return Graph("net", (2, 2, 4), (3,), *with_groups([*nodes, pooled, classes]))


def names_of(graph: Graph) -> list[str]:
    return [block.name for block in skippable_blocks(graph)]


def test_blocks_with_a_shortcut_of_their_own_cannot_be_skipped() -> None:
    graph = residual_network(8, (4, 8), blocks=2)
    assert skippable_blocks(graph) == (
        Block("add_3", 0, (1, 2, 3)),
        Block("add_6", 3, (4, 5, 6)),
        Block("add_13", 10, (11, 12, 13)),
    )


@pytest.mark.parametrize(
    ("before", "behind", "skippable"),
    [
        ("relu", "relu", True),
        ("relu6", "relu", True),
        ("sigmoid", "relu6", True),
        ("relu", "relu6", False),
        ("tanh", "relu", False),
        ("relu", "tanh", True),
        ("tanh", "leaky_relu", True),
    ],
)
def test_a_clamp_behind_the_sum_must_change_nothing_of_what_the_block_reads(
    before: ActivationFunction, behind: ActivationFunction, skippable: bool
) -> None:
    graph = graph_of(
        ("stem", CONV, (INPUT,)),
        ("before", Activation(before), (0,)),
        ("smooth", Pool2D("average", POINT, POINT), (1,)),
        ("inner", CONV, (2,)),
        ("add", Add(), (3, 2)),
        ("behind", Activation(behind), (4,)),
    )
    assert names_of(graph) == (["add"] if skippable else [])
    if skippable:
        # What a device does not do together with the sum stays.
        fused = behind in ("relu", "relu6")
        assert skippable_blocks(graph)[0].nodes == ((3, 4, 5) if fused else (3, 4))


@pytest.mark.parametrize(
    "layers",
    [
        pytest.param([("inner", CONV, (INPUT,)), ("add", Add(), (INPUT, 0)), ("relu", RELU, (1,))], id="input"),
        pytest.param(
            [("stem", CONV, (INPUT,)), ("inner", CONV, (0,)), ("add", Add(), (1, 0)), ("again", Multiply(), (2, 1))],
            id="read elsewhere",
        ),
        pytest.param(
            [("stem", CONV, (INPUT,)), ("one", CONV, (0,)), ("other", CONV, (0,)), ("add", Add(), (1, 2))],
            id="two branches",
        ),
        pytest.param([("stem", CONV, (INPUT,)), ("add", Add(), (0, 0))], id="twice"),
    ],
)
def test_other_sums_are_no_blocks(layers: Sequence[tuple[str, Operation, tuple[int, ...]]]) -> None:
    assert names_of(graph_of(*layers)) == []


def test_a_block_that_makes_the_output_stays() -> None:
    layers = [("stem", CONV, (INPUT,)), ("inner", CONV, (0,)), ("add", Add(), (0, 1))]
    nodes = [Node(name, operation, inputs, (2, 2, 4), None, None, {}) for name, operation, inputs in layers]
    assert names_of(Graph("net", (2, 2, 4), (2, 2, 4), *with_groups(nodes))) == []


def nested() -> Graph:
    """A block inside of another, and one behind both."""
    return graph_of(
        ("stem", CONV, (INPUT,)),
        ("outer conv", CONV, (0,)),
        ("inner conv", CONV, (1,)),
        ("inner", Add(), (1, 2)),
        ("outer", Add(), (0, 3)),
        ("last conv", CONV, (4,)),
        ("last", Add(), (4, 5)),
    )


def test_sets_that_leave_out_the_same_are_tried_once() -> None:
    assert sets_to_skip(nested(), ("inner", "outer")) == ((), ("inner",), ("outer",))
    assert sets_to_skip(nested(), AUTO)[:4] == ((), ("last",), ("outer",), ("inner",))
    assert len(sets_to_skip(nested(), AUTO)) == 6
    assert sets_to_skip(nested(), ()) == ((),)


def test_of_many_blocks_one_more_is_skipped_at_a_time() -> None:
    graph = residual_network(8, (4, 8), blocks=3)
    names = ("add_6", "add_19", "add_3", "add_9")
    assert sets_to_skip(graph, names) == tuple(names[:size] for size in range(5))
    assert sets_to_skip(graph, AUTO)[1] == ("add_19",)


def test_an_exit_skips_nothing_behind_it_nor_around_it() -> None:
    graph = nested()
    head = graph_of(("head", CONV, (INPUT,)))
    assert sets_to_skip(graph, AUTO, Exit("exit", 4, head)) == ((), ("outer",), ("inner",))
    assert sets_to_skip(graph, AUTO, Exit("exit", 3, head)) == ((), ("inner",))
    widths = cost.full_widths(graph)
    family = Family(graph, (), (Exit("exit", 2, head),), (Subnetwork("shallow", widths, 1, skips=("inner",)),))
    with pytest.raises(UsageError, match="'inner conv' cannot skip the block"):
        check_networks(family)


def test_other_names_are_refused() -> None:
    with pytest.raises(UsageError, match=r"'stem'\. Those that can: inner, outer, last"):
        blocks_named(nested(), ("inner", "stem"))
    with pytest.raises(UsageError, match="None can be skipped"):
        blocks_named(graph_of(("stem", CONV, (INPUT,))), AUTO)


@settings(derandomize=True, deadline=None, max_examples=25)
@given(st.integers(0, 2**32 - 1))
def test_a_network_without_a_block_gives_what_it_gives_where_the_blocks_layers_make_zeros(seed: int) -> None:
    graph = random_residual_supernet(seed).family.graph
    x = np.random.default_rng(seed).normal(size=(3, *graph.input_shape)).astype(np.float32)
    for block in skippable_blocks(graph):
        total = next(node for node in graph.nodes if node.name == block.name)
        changed = next(node for node in total.inputs if node != block.source)

        def without(index: int, y: Any, changed: int = changed) -> Any:
            return ops.zeros_like(y) if index == changed else y

        expected, _ = forward_with_moments(graph, x, training=False, transform=without)
        network = shallow_network(graph, skips=(block.name,))
        np.testing.assert_allclose(predict(network.graph, x), expected, rtol=1e-5, atol=1e-6)


@settings(derandomize=True, deadline=None, max_examples=25)
@given(st.integers(0, 2**32 - 1))
def test_a_network_without_blocks_costs_what_its_other_layers_cost(seed: int) -> None:
    family = random_residual_supernet(seed).family
    graph = family.graph
    for subnetwork in (one for one in family.subnetworks if one.exit == 0):
        left_out = {node for block in blocks_named(graph, subnetwork.skips) for node in block.nodes}
        network = shallow_network(graph, skips=subnetwork.skips)
        widths = network.narrow(subnetwork.widths)
        active = cost.active_channels(graph, subnetwork.widths, graph.input_map[2])
        macs = sum(
            cost.node_macs(graph, index, graph.input_map[2] if node.input == INPUT else active[node.input], own)
            for index, (node, own) in enumerate(zip(graph.nodes, active, strict=True))
            if index not in left_out
        )
        assert cost.macs(network.graph, widths) == macs
        layers = [layer.name for layer in fuse(graph) if left_out.isdisjoint(layer.nodes)]
        assert [layer.name for layer in fuse(network.graph)] == layers
