from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from reds.errors import UsageError, VerificationError
from reds.forward import predict
from reds.graph import Graph
from reds.ranking import Method, permute, rank, verify_same_function
from reds.tracing import trace


def small_model(seed: int = 0) -> keras.Model:
    keras.utils.set_random_seed(seed)
    model = keras.Sequential(
        [
            layers.Input((9, 7, 2)),
            layers.Conv2D(6, 3, name="conv", bias_initializer="normal"),
            layers.BatchNormalization(name="conv_norm", beta_initializer="normal"),
            layers.ReLU(),
            layers.DepthwiseConv2D(3, padding="same", name="depthwise"),
            layers.ReLU(),
            layers.Conv2D(5, 1, name="pointwise", activation="relu"),
            layers.MaxPooling2D(2),
            layers.Flatten(),
            layers.Dense(8, activation="relu", name="dense", bias_initializer="normal"),
            layers.Dense(3, activation="softmax", name="classifier"),
        ]
    )
    generator = np.random.default_rng(seed)
    norm = model.get_layer("conv_norm")
    norm.gamma.assign(generator.normal(1, 0.5, 6))
    norm.moving_mean.assign(generator.normal(0, 1, 6))
    norm.moving_variance.assign(generator.uniform(0.5, 2, 6))
    return model


@pytest.fixture(scope="module")
def model() -> keras.Model:
    return small_model()


@pytest.fixture(scope="module")
def graph(model: keras.Model) -> Graph:
    return trace(model)


def random_batches(count: int, one_hot: bool = False) -> list[tuple[np.ndarray, np.ndarray]]:
    generator = np.random.default_rng(1)
    labels = generator.integers(0, 3, (count, 16))
    x = generator.normal(size=(count, 16, 9, 7, 2)).astype(np.float32)
    return list(zip(x, np.eye(3, dtype=np.float32)[labels] if one_hot else labels, strict=True))


def test_permutation_keeps_the_function(graph: Graph) -> None:
    generator = np.random.default_rng(0)
    x = generator.normal(size=(8, 9, 7, 2)).astype(np.float32)
    permuted = permute(graph, [generator.permutation(group.size) for group in graph.groups])

    assert not np.array_equal(permuted.nodes[0].weights["kernel"], graph.nodes[0].weights["kernel"])
    np.testing.assert_allclose(predict(permuted, x), predict(graph, x), rtol=1e-5, atol=1e-6)


def test_permutation_moves_everything_that_belongs_to_a_channel(graph: Graph) -> None:
    order = np.array([3, 0, 5, 1, 4, 2])
    permuted = permute(graph, [order, np.arange(5), np.arange(8)])

    before = {node.name: node.weights for node in graph.nodes}
    after = {node.name: node.weights for node in permuted.nodes}
    for name in before["conv_norm"]:
        np.testing.assert_array_equal(after["conv_norm"][name], before["conv_norm"][name][order])
    np.testing.assert_array_equal(after["conv"]["bias"], before["conv"]["bias"][order])
    np.testing.assert_array_equal(after["depthwise"]["kernel"], before["depthwise"]["kernel"][:, :, order])
    np.testing.assert_array_equal(after["pointwise"]["kernel"], before["pointwise"]["kernel"][:, :, order])
    np.testing.assert_array_equal(after["pointwise"]["bias"], before["pointwise"]["bias"])


@pytest.mark.parametrize("node", range(9))
def test_a_permutation_that_forgets_a_node_is_noticed(graph: Graph, node: int) -> None:
    permuted = permute(graph, [np.arange(group.size)[::-1] for group in graph.groups])
    nodes = list(permuted.nodes)
    nodes[node] = graph.nodes[node]
    if not graph.nodes[node].weights:
        verify_same_function(graph, replace(permuted, nodes=tuple(nodes)))
        return
    with pytest.raises(VerificationError, match="changed its outputs"):
        verify_same_function(graph, replace(permuted, nodes=tuple(nodes)))


def test_an_order_that_is_no_permutation_is_refused(graph: Graph) -> None:
    with pytest.raises(UsageError, match="'conv'"):
        permute(graph, [np.array([0, 1, 2, 3, 4, 4]), np.arange(5), np.arange(8)])


@pytest.mark.parametrize(("method", "norm"), [("l1", 1), ("l2", 2)])
def test_norms_cover_every_layer_that_makes_the_channel(model, graph: Graph, method, norm: int) -> None:
    ranked = rank(graph, method=method)

    conv = model.get_layer("conv").get_weights()[0].reshape(-1, 6)
    depthwise = model.get_layer("depthwise").get_weights()[0].reshape(-1, 6)
    expected = np.linalg.norm(np.concatenate([conv, depthwise]), norm, axis=0)
    np.testing.assert_allclose(ranked.importance[0], np.sort(expected)[::-1], rtol=1e-5)
    assert ranked.method == method
    first = np.argmax(expected)
    np.testing.assert_array_equal(
        ranked.graph.nodes[0].weights["kernel"][..., 0], graph.nodes[0].weights["kernel"][..., first]
    )


@pytest.mark.parametrize("one_hot", [False, True])
def test_taylor_is_weight_times_signed_sum_of_gradients(one_hot: bool) -> None:
    model = small_model()
    ranked = rank(model, random_batches(3, one_hot))

    names = ["conv", "depthwise", "pointwise", "dense"]
    kernels = [model.get_layer(name).kernel for name in names]
    sums = [np.zeros(kernel.shape) for kernel in kernels]
    for x, y in random_batches(3):
        with tf.GradientTape() as tape:
            losses = keras.losses.sparse_categorical_crossentropy(y, model(x, training=True))
            loss = tf.reduce_mean(losses)
        gradients = tape.gradient(loss, [kernel.value for kernel in kernels])
        sums = [total + gradient.numpy() for total, gradient in zip(sums, gradients, strict=True)]
    scores = [np.abs(kernel.numpy() * total) for kernel, total in zip(kernels, sums, strict=True)]
    expected = [
        scores[0].sum((0, 1, 2)) + scores[1].sum((0, 1, 3)),
        scores[2].sum((0, 1, 2)),
        scores[3].sum(0),
    ]
    for importance, values in zip(ranked.importance, expected, strict=True):
        np.testing.assert_allclose(importance, np.sort(values)[::-1], rtol=1e-3)


def test_taylor_sees_through_grouped_convolutions() -> None:
    """One group per input channel is a depthwise convolution."""

    def ranked(middle: keras.layers.Layer) -> tuple[np.ndarray, ...]:
        stack = [layers.Conv2D(5, 3), layers.Conv2D(4, 1), middle, layers.Conv2D(7, 1, activation="relu")]
        model = keras.Sequential(
            [layers.Input((9, 7, 2)), *stack, layers.GlobalMaxPooling2D(), layers.Dense(3, activation="softmax")]
        )
        generator = np.random.default_rng(0)
        for variable in model.trainable_variables:
            values = generator.normal(0, 0.5, np.prod(variable.shape))
            # Depthwise (h, w, channels, filters), grouped (h, w, 1, channels * filters).
            variable.assign(values.reshape(variable.shape))
        return rank(model, random_batches(2)).importance

    grouped = ranked(layers.Conv2D(8, 3, groups=4, padding="same"))
    depthwise = ranked(layers.DepthwiseConv2D(3, depth_multiplier=2, padding="same"))
    assert [values.size for values in grouped] == [5, 7]
    for one, other in zip(grouped, depthwise, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3)


def test_taylor_reads_keras_datasets_and_stops_after_the_batches(graph: Graph) -> None:
    class Batches(keras.utils.PyDataset):
        def __len__(self) -> int:
            return 4

        def __getitem__(self, index: int):
            if index >= 2:
                raise AssertionError("read past the asked batches")
            return random_batches(4)[index]

    from_keras = rank(graph, Batches(), batches=2)
    from_list = rank(graph, random_batches(4)[:2])
    np.testing.assert_array_equal(from_keras.importance[0], from_list.importance[0])


@pytest.mark.parametrize("method", ["taylor", "l1", "l2", "random"])
def test_importance_of_kernels_follows_the_order_of_the_channels(graph: Graph, method: Method) -> None:
    ranked = rank(graph, random_batches(2), method=method, kernels=True)
    assert rank(graph, random_batches(2), method=method).kernels is None
    assert ranked.kernels is not None
    (name,) = ranked.kernels.pointwise
    scores = ranked.kernels.pointwise[name]
    node = next(node for node in ranked.graph.nodes if node.name == name)
    assert scores.shape == (ranked.graph.groups[0].size, ranked.graph.groups[1].size)
    if method in ("l1", "l2"):
        np.testing.assert_array_equal(scores, np.abs(node.weights["kernel"][0, 0]))
    if method in ("l1", "taylor"):
        np.testing.assert_allclose(scores.sum(axis=0) + ranked.kernels.units[1], ranked.importance[1], rtol=1e-6)
        np.testing.assert_allclose(ranked.kernels.units[0], ranked.importance[0], rtol=1e-6)


def test_random_ranking_depends_on_the_seed_only(graph: Graph) -> None:
    first, same, other = (rank(graph, method="random", seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.importance[0], same.importance[0])
    assert not np.array_equal(first.importance[0], other.importance[0])
    assert all(np.all(np.diff(values) <= 0) for values in first.importance)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, "`dataset` must be given"),
        ({"dataset": []}, "at least one batch"),
        ({"dataset": [(np.zeros((4, 9, 7, 1)), np.zeros(4))]}, "input shape"),
        ({"method": "magic"}, "`method`"),
    ],
)
def test_bad_arguments_are_refused(graph: Graph, arguments, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        rank(graph, **arguments)
