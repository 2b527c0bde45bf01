"""Every stage that takes a data set takes a user's own data as they are."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from small_run import CLASSES, SETTINGS, SHAPE, small_dataset, small_model

from reds.baselines import measure_baseline
from reds.datasets import from_arrays
from reds.errors import UsageError
from reds.finetuning import finetune, quantize_aware
from reds.pruning import calibration_samples, prune
from reds.ranking import rank
from reds.solving import solve
from reds.tracing import trace
from reds.training import train

QUICK = replace(SETTINGS, budgets=(0.5,), exits=(), epochs=1)


@pytest.fixture(scope="module")
def pair() -> tuple[np.ndarray, np.ndarray]:
    return small_dataset().train.features()


def shuffled(pair: tuple[np.ndarray, np.ndarray]) -> tf.data.Dataset:
    """Comes in another order every time."""
    return tf.data.Dataset.from_tensor_slices(pair).shuffle(len(pair[1])).batch(32)


def weights(model: keras.Model) -> list[np.ndarray]:
    return [np.copy(one) for one in model.get_weights()]


def test_train(pair: tuple[np.ndarray, np.ndarray]) -> None:
    trained = []
    for data in (pair, from_arrays(pair)):
        model = small_model()
        train(model, data, epochs=1)
        trained.append(weights(model))
    for one, other in zip(*trained, strict=True):
        np.testing.assert_array_equal(one, other)


def test_rank_sees_the_training_samples_only(pair: tuple[np.ndarray, np.ndarray]) -> None:
    graph = trace(small_model())
    own, made = rank(graph, pair), rank(graph, from_arrays(pair))
    for one, other in zip(own.importance, made.importance, strict=True):
        np.testing.assert_array_equal(one, other)
    assert len(rank(graph, shuffled(pair)).importance) == len(own.importance)


def test_finetune(pair: tuple[np.ndarray, np.ndarray]) -> None:
    family = solve(rank(small_model(), method="l1"), (0.5,))
    first, again = (finetune(family, data, epochs=1).family.graph for data in (pair, from_arrays(pair)))
    for one, other in zip(first.nodes, again.nodes, strict=True):
        for name, values in one.weights.items():
            np.testing.assert_array_equal(values, other.weights[name])


def test_quantize_aware(pair: tuple[np.ndarray, np.ndarray]) -> None:
    family = solve(rank(small_model(), method="l1"), (0.5,))
    calibration = calibration_samples(from_arrays(pair))
    supernet = finetune(family, pair, epochs=0)
    first, again = (
        quantize_aware(supernet, data, calibration, epochs=1).family.graph for data in (pair, from_arrays(pair))
    )
    for one, other in zip(first.nodes, again.nodes, strict=True):
        for name, values in one.weights.items():
            np.testing.assert_array_equal(values, other.weights[name])


def test_prune_goes_on_with_data_in_another_order(pair: tuple[np.ndarray, np.ndarray], tmp_path: Path) -> None:
    first = prune(small_model(), shuffled(pair), tmp_path, QUICK)
    assert prune(small_model(), shuffled(pair), tmp_path, QUICK).accuracy == first.accuracy
    measured = measure_baseline("uniform", tmp_path, shuffled(pair)).table
    assert len(measured["subnetworks"]) == 2


def test_calibration(pair: tuple[np.ndarray, np.ndarray]) -> None:
    samples = calibration_samples(from_arrays(pair))
    assert samples.shape[1:] == SHAPE
    held_out = {one.tobytes() for one in from_arrays(pair).test.features()[0]}
    assert not held_out & {one.tobytes() for one in samples}


@pytest.mark.parametrize("wrong", ["shape", "label", "empty"])
def test_what_does_not_fit(pair: tuple[np.ndarray, np.ndarray], tmp_path: Path, wrong: str) -> None:
    x, y = pair
    data: Any = {
        "shape": (x[:, 1:], y),
        "label": (x, y + len(CLASSES) - 1),
        "empty": (x[:0], y[:0]),
    }[wrong]
    family = solve(rank(small_model(), method="l1"), (0.5,))
    supernet = finetune(family, pair, epochs=0)
    for stage in (
        lambda: train(small_model(), data, epochs=1),
        lambda: rank(small_model(), data),
        lambda: finetune(family, data, epochs=1),
        lambda: quantize_aware(supernet, data, x, epochs=1),
        lambda: prune(small_model(), data, tmp_path / "run", QUICK),
    ):
        with pytest.raises(UsageError):
            stage()
    assert not (tmp_path / "run").exists()
