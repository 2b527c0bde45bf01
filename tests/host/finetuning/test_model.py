"""The model that trains many branches computes what each branch alone does."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_networks import random_supernet

from reds.finetuning.model import Branch, BranchesModel
from reds.finetuning.objectives import WeightedCrossEntropy
from reds.finetuning.statistics import estimate_batch_norms
from reds.finetuning.weights import weights_of
from reds.forward import forward, forward_with_moments, predict, run_trunk, trunk_of
from reds.graph import Family
from reds.shallow import shallow_network
from reds.tracing import trace

WIDTHS = [(12, 16), (9, 10), (12, 7), (5, 16)]
TOLERANCE = {"rtol": 1e-4, "atol": 1e-5}


@pytest.fixture
def x(family: Family) -> np.ndarray:
    return np.random.default_rng(2).normal(1.0, 2.0, (20, *family.graph.input_shape)).astype(np.float32)


def _model(family: Family, x: np.ndarray, batch_norm: str = "own", precision: str = "float32") -> BranchesModel:
    weights = weights_of(family.graph)
    branches = [
        Branch(family.graph, str(widths), widths, estimate_batch_norms(family.graph, [x], weights, widths))
        for widths in WIDTHS
    ]
    objective = WeightedCrossEntropy((1.0,) * len(WIDTHS))
    return BranchesModel(branches, objective, batch_norm, precision)


def test_each_branch_in_training_is_the_subnetwork_alone(family: Family, x: np.ndarray) -> None:
    logits = _model(family, x)(x, training=True)
    for widths, actual in zip(WIDTHS, logits, strict=True):
        expected = forward(family.graph, x, widths=widths, training=True, stop_before_softmax=True)
        np.testing.assert_allclose(actual, expected, **TOLERANCE)


def test_moving_statistics_follow_what_each_branch_sees(family: Family, x: np.ndarray) -> None:
    model = _model(family, x)
    before = np.asarray(model(x))
    for _ in range(3):
        model(x, training=True)
    np.testing.assert_allclose(model(x), before, **TOLERANCE)


def test_branches_that_do_not_train_get_the_statistics_of_new_weights(family: Family, x: np.ndarray) -> None:
    model = _model(family, x)
    for weight in model.trainable_weights:
        weight.assign(weight + 0.3)
    model.activate((0, 3))
    model.measure_inactive([x])
    weights = model.weights_by_node()
    for index, (widths, actual) in enumerate(zip(WIDTHS, model(x), strict=True)):
        expected = forward(family.graph, x, weights, widths, training=True, stop_before_softmax=True)
        assert np.allclose(actual, expected, **TOLERANCE) == (index in (1, 2))


def test_shared_statistics_in_training_are_those_of_the_first_branch(family: Family, x: np.ndarray) -> None:
    _, moments = forward_with_moments(family.graph, x)
    weights = weights_of(family.graph)
    batch_norm = {
        name: {**weights[name], "moving_mean": seen.mean, "moving_variance": seen.variance}
        for name, seen in moments.items()
    }
    model = _model(family, x, "shared")
    for logits in (model(x, training=True), model(x)):
        for widths, actual in zip(WIDTHS, logits, strict=True):
            expected = forward(
                family.graph, x, widths=widths, batch_norm=batch_norm, training=False, stop_before_softmax=True
            )
            np.testing.assert_allclose(actual, expected, **TOLERANCE)


@pytest.mark.parametrize(("precision", "error"), [("mixed_float16", 2e-2), ("mixed_bfloat16", 2e-1)])
def test_low_precision_is_close_and_gives_float32(family: Family, x: np.ndarray, precision: str, error: float) -> None:
    expected = np.asarray(_model(family, x)(x, training=True))
    actual = np.asarray(_model(family, x, precision=precision)(x, training=True))
    assert actual.dtype == np.float32
    difference = np.abs(actual - expected).max() / np.abs(expected).max()
    assert 0 < difference < error


def test_behind_a_skipped_block_the_trunk_is_run_again() -> None:
    generator = np.random.default_rng(0)
    source = keras.Input((4, 4, 3))
    stem = keras.layers.ReLU()(keras.layers.DepthwiseConv2D(2, name="stem")(source))
    total = keras.layers.Add(name="add")([stem, keras.layers.DepthwiseConv2D(3, padding="same")(stem)])
    total = keras.layers.DepthwiseConv2D(2, name="behind")(keras.layers.ReLU()(total))
    graph = trace(keras.Model(source, keras.layers.Dense(3)(keras.layers.GlobalAveragePooling2D()(total))))
    x = generator.normal(size=(5, 4, 4, 3)).astype(np.float32)
    trunk = run_trunk(graph, x)
    network = shallow_network(graph, skips=("add",)).graph
    shared = trunk_of(trunk, graph, network)
    names = {network.nodes[index].name for index in shared.outputs}
    assert "stem" in names and "behind" not in names
    actual, _ = forward_with_moments(network, x, training=False, trunk=shared)
    np.testing.assert_allclose(actual, predict(network, x), **TOLERANCE)


@settings(derandomize=True, deadline=None, max_examples=15)
@given(st.integers(0, 2**32 - 1))
def test_trunk_of_any_network_gives_what_each_subnetwork_computes(seed: int) -> None:
    family = random_supernet(seed).family
    x = np.random.default_rng(seed).normal(size=(8, *family.graph.input_shape)).astype(np.float32)
    trunk = run_trunk(family.graph, x)
    for chosen in family.subnetworks:
        expected, moments = forward_with_moments(family.graph, x, widths=chosen.widths)
        actual, seen = forward_with_moments(family.graph, x, widths=chosen.widths, trunk=trunk)
        np.testing.assert_allclose(actual, expected, **TOLERANCE)
        assert seen.keys() == moments.keys()
        for name, moment in moments.items():
            np.testing.assert_allclose(seen[name].mean, moment.mean, **TOLERANCE)
