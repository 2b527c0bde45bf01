"""Exit heads: where they may be attached and what they are."""

from dataclasses import replace

import keras
import numpy as np
import pytest
from keras import layers

from reds import zoo
from reds.errors import UsageError
from reds.exits import attach_exits, block_ends, check_narrowed_exits, possible_taps
from reds.forward import forward, predict
from reds.graph import Exit, Family, Graph, Ranked, Subnetwork
from reds.tracing import trace

CLASSES = 12
CHANNELS = 20


def _ranked(graph: Graph) -> Ranked:
    importance = tuple(np.arange(group.size, 0, -1, dtype=np.float64) for group in graph.groups)
    return Ranked(graph, importance, "random")


def _convolutional(softmax: bool = True) -> Ranked:
    blocks = []
    for index in (1, 2, 3):
        blocks += [
            layers.DepthwiseConv2D(3, padding="same", activation="relu", name=f"dw_{index}"),
            layers.Conv2D(CHANNELS, 1, name=f"pw_{index}"),
            layers.BatchNormalization(name=f"pw_{index}_bn"),
            layers.ReLU(name=f"pw_{index}_relu"),
        ]
    model = keras.Sequential(
        [
            layers.Input((6, 5, 1)),
            layers.Conv2D(CHANNELS, 3, padding="same", activation="relu", name="conv"),
            *blocks,
            layers.GlobalAveragePooling2D(name="pool"),
            layers.Dense(CLASSES, activation="softmax" if softmax else None, name="classes"),
        ]
    )
    return _ranked(trace(model))


def _perceptron() -> Ranked:
    model = keras.Sequential(
        [
            layers.Input((7,)),
            layers.Dense(10, activation="relu", name="first"),
            layers.Dense(6, activation="relu", name="second"),
            layers.Dense(CLASSES, name="classes"),
        ]
    )
    return _ranked(trace(model))


def _parameters(graph: Graph) -> int:
    return sum(value.size for node in graph.nodes for value in node.weights.values())


def test_head_reads_the_activated_map_and_gives_class_probabilities() -> None:
    ranked = attach_exits(_convolutional(), ["pw_2"])
    (exit_,) = ranked.exits
    assert ranked.graph.nodes[exit_.tap].name == "pw_2_relu"
    assert exit_.head.input_shape == (6, 5, CHANNELS)
    x = np.random.default_rng(0).normal(size=(4, 6, 5, 1)).astype(np.float32)
    features = forward(ranked.graph, x, until=exit_.tap)
    np.testing.assert_allclose(predict(exit_.head, features).sum(axis=1), np.ones(4), rtol=1e-5)
    assert predict(exit_.head, features).shape == (4, CLASSES)


def test_head_has_the_published_number_of_parameters() -> None:
    head = attach_exits(_convolutional(), ["pw_1"]).exits[0].head
    assert _parameters(head) == 46 * CHANNELS + 1200 + 17 * CLASSES


def test_head_gives_logits_where_the_network_does() -> None:
    softmax, logits = (attach_exits(_convolutional(softmax), ["pw_1"]).exits[0].head for softmax in (True, False))
    assert len(softmax.nodes) == len(logits.nodes) + 1


def test_head_of_a_vector_is_dense() -> None:
    head = attach_exits(_perceptron(), ["first"]).exits[0].head
    assert _parameters(head) == 10 * 64 + 64 + 64 * 32 + 32 + 32 * CLASSES + CLASSES


def test_auto_picks_the_end_of_the_block_nearest_to_half_of_the_work() -> None:
    # MACs: conv 5400, then three blocks of 17400: 40 % are done after the first, 70 % after the second.
    assert attach_exits(_convolutional(), "auto").exits[0].name == "exit_pw_1"


def test_exits_are_in_the_networks_order_and_names_are_unique() -> None:
    ranked = attach_exits(attach_exits(_convolutional(), ["pw_3"]), ["pw_1_bn", "conv"])
    assert [exit_.name for exit_ in ranked.exits] == ["exit_conv", "exit_pw_1", "exit_pw_3"]
    names = [node.name for graph in (ranked.graph, *(e.head for e in ranked.exits)) for node in graph.nodes]
    assert len(names) == len(set(names))


def test_weights_depend_on_nothing_but_the_seed() -> None:
    first, again, other = (
        attach_exits(_convolutional(), ["pw_1"], seed).exits[0].head.nodes[0].weights["kernel"] for seed in (3, 3, 4)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("taps", [["pw_4"], ["pool", "classes"], ["pw_1", "pw_1_relu"]])
def test_bad_taps_are_answered_with_the_possible_ones(taps: list[str]) -> None:
    with pytest.raises(UsageError, match=r"pw_1|once"):
        attach_exits(_convolutional(), taps)


def test_a_head_that_needs_all_channels_cannot_be_taken_by_a_narrowed_subnetwork() -> None:
    ranked = _convolutional()
    tap = next(index for index, node in enumerate(ranked.graph.nodes) if node.name == "pw_1_relu")
    source = layers.Input((6, 5, CHANNELS))
    joined = layers.Concatenate(name="join")([source, layers.Conv2D(4, 1)(source)])
    output = layers.Dense(CLASSES)(layers.GlobalAveragePooling2D()(joined))
    leave = Exit("early", tap, trace(keras.Model(source, output)))
    full = tuple(group.size for group in ranked.graph.groups)
    narrow = tuple(size - 1 for size in full)
    family = Family(ranked.graph, ranked.importance, (leave,), (Subnetwork("full", full), Subnetwork("s", full, 1)))
    check_narrowed_exits(family)
    family = replace(family, subnetworks=(*family.subnetworks, Subnetwork("both", narrow, 1)))
    with pytest.raises(UsageError, match=r"'both' cannot narrow the map of 'early': layer 'join'"):
        check_narrowed_exits(family)


@pytest.mark.parametrize(
    ("architecture", "ends"),
    [
        ("ds_cnn_s", ["conv1", *(f"block{block}_pointwise" for block in range(1, 5))]),
        ("mobilenet_v1_025_fashion_mnist", ["conv1", *(f"block{block}_pointwise" for block in range(1, 9))]),
        ("resnet_8", ["conv1", "block1_add", "block2_add", "block3_add"]),
    ],
)
def test_blocks_end_where_the_network_can_be_cut(architecture: str, ends: list[str]) -> None:
    assert list(block_ends(trace(zoo.build(architecture)))) == ends


def test_possible_taps_leave_a_weighted_layer_to_skip() -> None:
    assert possible_taps(_perceptron().graph) == ("first", "second")
