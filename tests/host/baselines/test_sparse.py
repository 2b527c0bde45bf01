"""Kernels of a sparse network: how many weights are left, which ones, and that they are trained."""

from pathlib import Path

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers
from small_run import small_dataset, small_model

from reds import cost
from reds.baselines.sparse import LARGEST_SPARSITY, LargestWeights, nonzero_parameters, sparsity_for, train_sparse
from reds.finetuning.training import Schedule
from reds.graph import Graph
from reds.tracing import trace


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000), st.lists(st.integers(1, 4), min_size=1, max_size=4), st.data())
def test_the_largest_weights_are_left(seed: int, shape: list[int], data: st.DataObject) -> None:
    # Few values, so that some are alike.
    kernel = np.random.default_rng(seed).integers(-3, 4, shape).astype(np.float32)
    count = data.draw(st.integers(1, kernel.size))
    left = keras.ops.convert_to_numpy(LargestWeights(count)(keras.Variable(kernel)))
    kept = left != 0
    np.testing.assert_array_equal(left[kept], kernel[kept])
    magnitudes = np.sort(np.abs(kernel), axis=None)[::-1]
    np.testing.assert_array_equal(
        np.sort(np.abs(left), axis=None)[::-1], [*magnitudes[:count], *(0 * magnitudes[count:])]
    )


def trained(graph: Graph, folder: Path, sparsity: float, epochs: int) -> Graph:
    schedule = Schedule(epochs, learning_rate=0.1, batch_size=50, seed=0)
    supernet = train_sparse(graph, "sparse", sparsity, small_dataset(), schedule, folder, lambda report: None)
    return supernet.family.graph


def kernels(graph: Graph) -> dict[str, np.ndarray]:
    return {node.name: node.weights["kernel"] for node in graph.nodes if "kernel" in node.weights}


def test_every_kernel_has_its_share_of_zeros_before_and_after_training(tmp_path: Path) -> None:
    graph = trace(small_model())
    begin, end = (trained(graph, tmp_path / str(epochs), 0.6, epochs) for epochs in (0, 3))
    moved = 0
    for name, kernel in kernels(graph).items():
        first, last = kernels(begin)[name], kernels(end)[name]
        assert np.count_nonzero(first) == np.count_nonzero(last) == round(0.4 * kernel.size)
        np.testing.assert_array_equal(first[first != 0], kernel[first != 0])
        moved += np.count_nonzero((first != 0) != (last != 0))
        assert not np.array_equal(first, last)
    # Which weights are zero is not fixed at the begin.
    assert moved


@pytest.mark.parametrize("left", [0.3, 0.6, 1.0])
def test_so_many_parameters_are_left_as_are_wanted(tmp_path: Path, left: float) -> None:
    graph = trace(small_model())
    wanted = round(left * cost.parameters(graph, cost.full_widths(graph)))
    sparse = trained(graph, tmp_path, sparsity_for(graph, wanted), epochs=0)
    assert abs(nonzero_parameters(sparse) - wanted) <= 0.5 * len(kernels(graph))


def test_fewer_than_biases_and_more_than_all_are_as_near_as_possible() -> None:
    graph = trace(small_model())
    assert sparsity_for(graph, 1) == LARGEST_SPARSITY
    assert sparsity_for(graph, 10**6) == 0


def test_factors_of_channels_stay(tmp_path: Path) -> None:
    inputs = layers.Input((8, 6, 1))
    x = layers.Conv2D(4, 3, activation="relu")(layers.Rescaling(0.5)(inputs))
    x = layers.Dense(3, activation="softmax")(layers.GlobalAveragePooling2D()(x))
    graph = trained(trace(keras.Model(inputs, x)), tmp_path, LARGEST_SPARSITY, epochs=0)
    assert [np.count_nonzero(kernel) for kernel in kernels(graph).values()] == [1, 2, 1]
