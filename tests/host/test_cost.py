import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers
from random_networks import random_supernet

from reds import cost, zoo
from reds.graph import Exit, Graph
from reds.overlapping import sharing
from reds.quantizing import quantize
from reds.tensors import lifetimes, lower_bound
from reds.tracing import trace

PUBLISHED_MACS = {
    "dnn_s": 79_200,
    "dnn_m": 198_144,
    "dnn_l": 494_424,
    "cnn_s": 2_498_304,
    "cnn_m": 8_633_856,
    "cnn_l": 12_636_672,
    "ds_cnn_s": 2_656_768,
    "ds_cnn_m": 9_816_384,
    "ds_cnn_l": 28_327_812,
}


@pytest.fixture(scope="module")
def ds_cnn_s() -> Graph:
    return trace(zoo.build("ds_cnn_s"))


@pytest.mark.parametrize("name", PUBLISHED_MACS)
def test_full_networks_cost_what_is_published(name: str) -> None:
    graph = trace(zoo.build(name))
    assert cost.macs(graph, cost.full_widths(graph)) == PUBLISHED_MACS[name]


def test_subnetwork_costs_what_the_narrow_network_does() -> None:
    """The widths found by REDS at a nominal 25 %, against the same network built that narrow."""
    widths = (9, 22, 48, 12, 63)
    x = inputs = layers.Input((49, 10, 1))
    x = layers.Conv2D(widths[0], (10, 4), strides=2, padding="same")(x)
    for width in widths[1:]:
        x = layers.DepthwiseConv2D(3, padding="same", use_bias=False)(x)
        x = layers.Conv2D(width, 1)(x)
    x = layers.GlobalAveragePooling2D()(x)
    narrow = trace(keras.Model(inputs, layers.Dense(12)(x)))
    graph = trace(zoo.build("ds_cnn_s"))

    assert cost.macs(graph, widths) == cost.macs(narrow, cost.full_widths(narrow)) == 471_381


def test_parameters_are_counted_after_folding() -> None:
    model = keras.Sequential(
        [
            layers.Input((8, 8, 3)),
            layers.Conv2D(4, 3, use_bias=False),
            layers.BatchNormalization(),
            layers.DepthwiseConv2D(3),
            layers.BatchNormalization(),
            layers.Conv2D(5, 1, use_bias=False),
            layers.GlobalAveragePooling2D(),
            layers.Dense(2),
        ]
    )
    graph = trace(model)
    assert cost.parameters(graph, (4, 5)) == (27 * 4 + 4) + (9 * 4 + 4) + 4 * 5 + (5 * 2 + 2)
    assert cost.parameters(graph, (2, 3)) == (27 * 2 + 2) + (9 * 2 + 2) + 2 * 3 + (3 * 2 + 2)


def test_a_grouped_convolution_costs_the_input_channels_of_one_group() -> None:
    model = keras.Sequential(
        [
            layers.Input((8, 8, 4)),
            layers.Conv2D(5, 1),
            layers.Conv2D(6, 1),
            layers.Conv2D(12, 3, groups=3, padding="same"),
            layers.Conv2D(12, 3, groups=12, use_bias=False),
            layers.Conv2D(7, 1),
            layers.GlobalAveragePooling2D(),
            layers.Dense(2),
        ]
    )
    graph = trace(model)
    assert cost.parameters(graph, cost.full_widths(graph)) == model.count_params()
    fixed = 64 * 9 * 2 * 12 + 36 * 9 * 12
    assert cost.macs(graph, (5, 7)) == 64 * (4 * 5 + 5 * 6) + fixed + 36 * 12 * 7 + 7 * 2
    assert cost.macs(graph, (2, 3)) == 64 * (4 * 2 + 2 * 6) + fixed + 36 * 12 * 3 + 3 * 2


def test_arrays_of_widths_give_arrays_of_costs(ds_cnn_s: Graph) -> None:
    widths = np.random.default_rng(0).integers(1, 65, (5, 20))
    for function in (cost.macs, cost.parameters, cost.peak_activation_bytes):
        one_by_one = [function(ds_cnn_s, tuple(column)) for column in widths.T.tolist()]
        np.testing.assert_array_equal(function(ds_cnn_s, tuple(widths)), one_by_one)


def test_node_macs_add_up(ds_cnn_s: Graph) -> None:
    per_node = [
        cost.node_macs(ds_cnn_s, index, ds_cnn_s.shape_of(node.input)[2], node.output_shape[2])
        for index, node in enumerate(ds_cnn_s.nodes)
    ]
    assert sum(per_node) == cost.macs(ds_cnn_s, cost.full_widths(ds_cnn_s))


def test_arena_is_the_largest_input_and_output_of_an_operation_that_overlap(ds_cnn_s: Graph) -> None:
    """A depthwise convolution writes four rows of five positions before what it reads."""
    assert cost.peak_activation_bytes(ds_cnn_s, (64,) * 5) == (125 + 20) * 64
    assert cost.peak_activation_bytes(ds_cnn_s, (64,) * 5, element_bytes=4) == 4 * (125 + 20) * 64
    assert cost.peak_activation_bytes(ds_cnn_s, (10, 3, 40, 2, 1)) == (125 + 20) * 40
    written_last = 5 * 22 - 3
    behind = 49 * 10 - written_last
    assert cost.peak_activation_bytes(ds_cnn_s, (1, 1, 1, 1, 1)) == behind + 1 + 128, (
        "offsets of 383, maps of 125, aligned"
    )


def test_an_exit_costs_the_nodes_up_to_its_tap_and_its_head(ds_cnn_s: Graph) -> None:
    tap = next(index for index, node in enumerate(ds_cnn_s.nodes) if node.output_group == 1)
    head_input = layers.Input(ds_cnn_s.nodes[tap].output_shape)
    head = keras.Model(head_input, layers.Dense(12)(layers.GlobalAveragePooling2D()(head_input)))
    leave = Exit("early", tap, trace(head))

    macs = cost.macs(ds_cnn_s, (10, 20, 30, 40, 50), leave)
    parameters = cost.parameters(ds_cnn_s, (10, 20, 30, 40, 50), leave)

    assert macs == 125 * (40 * 10 + 9 * 10 + 10 * 20) + 20 * 12
    assert parameters == (40 * 10 + 10) + (9 * 10 + 10) + (10 * 20 + 20) + (20 * 12 + 12)
    assert cost.peak_activation_bytes(ds_cnn_s, (10, 20, 30, 40, 50), leave=leave) == 4 * 10 + 125 * 20


@settings(derandomize=True, deadline=None, max_examples=60)
@given(st.integers(0, 2**32 - 1))
def test_costs_of_any_network_are_those_of_its_run_lists(seed: int) -> None:
    supernet = random_supernet(seed)
    family, network = supernet.family, quantize(supernet, "float32")
    for index, subnetwork in enumerate(family.subnetworks):
        leave = family.exits[subnetwork.exit - 1] if subnetwork.exit else None
        shared = [
            sharing(network.layers[step.layer], step.input_channels, step.output_channels, 4)
            for step in network.subnetworks[index].steps
        ]
        peak = lower_bound(network.tensor_sizes(index), lifetimes(network.tensors_read(index)), shared)
        assert cost.macs(family.graph, subnetwork.widths, leave) == network.macs(index)
        assert cost.peak_activation_bytes(family.graph, subnetwork.widths, 4, leave) == peak
