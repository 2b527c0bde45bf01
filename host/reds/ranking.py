"""Measures how important each channel is and sorts the channels by it, without changing the network's function."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any, Literal, Protocol

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from reds.datasets.adapting import Batches, Pair, as_dataset, is_pair_of_arrays
from reds.errors import UsageError, VerificationError
from reds.forward import Tensor, forward, predict
from reds.graph import (
    WITH_KERNEL,
    Conv2D,
    Conv2DTranspose,
    Dense,
    DepthwiseConv2D,
    Graph,
    KernelImportance,
    Node,
    Ranked,
)
from reds.tracing import trace

Method = Literal["taylor", "l1", "l2", "random"]
Loss = Callable[[Tensor, Tensor], Tensor]
"""From a batch of targets and of outputs (logits where the network ends with a softmax) to one number."""
Kernels = Mapping[str, Any]
"""Per node name its kernel."""

PERMUTATION_TOLERANCE = 1e-4
"""Largest difference of the outputs that counts as float32 rounding, relative to the largest output."""

_VERIFIED_SAMPLES = 4


class Split(Protocol):
    """The part of a data set's split that ranking uses."""

    def batches(self, batch_size: int, seed: int, augment: bool, epoch: int) -> Batches:
        """Shuffled batches (x, y) that depend on nothing but the arguments."""


class Dataset(Protocol):
    """The part of a data set that ranking uses."""

    @property
    def train(self) -> Split:
        """Samples to rank with."""


def rank(
    model: Graph | keras.Model,
    dataset: Dataset | Pair | Batches | None = None,
    method: Method = "taylor",
    batches: int = 100,
    batch_size: int = 100,
    seed: int = 0,
    loss: Loss | None = None,
    kernels: bool = False,
) -> Ranked:
    """Measures the importance of every channel and sorts each channel group by it, most important first.

    A channel's importance is summed over all convolution filters, depthwise filters and neurons that make it. With
    w their weights (biases and batch normalisation not included) it is the sum of |w * G| for "taylor", where G is
    the signed sum of the loss' gradients over the batches (first-order Taylor criterion, Molchanov et al.,
    arXiv 1611.06440, as used by REDS, arXiv 2311.13349); of |w| for "l1"; the root of the sum of w squared for
    "l2"; and uniform in [0, 1) for "random".

    Args:
        model: a traced network, or a Keras model to trace.
        dataset: for "taylor" a data set or a pair of arrays (x, y), of which the training samples are used (see
            `reds.datasets.from_arrays`); or batches (x, y), such as a `keras.utils.PyDataset` or a `tf.data.Dataset`,
            which are used as they come. There y holds class indices, or one-hot rows, or what `loss` takes.
        method: "taylor", "l1", "l2" or "random".
        batches: largest number of batches to use.
        batch_size: samples per batch where `dataset` is a data set.
        seed: seed of "random" and of a data set's batches.
        loss: the loss to differentiate; cross-entropy where None.
        kernels: keep the importance of each kernel of pointwise convolutions too, for `solve(kernels=True)`. A kernel
            is one weight, between one channel of the input and one filter.

    Returns:
        The permuted network and the sorted importance.

    Raises:
        UsageError: if an argument does not fit, or `model` cannot be traced.
        VerificationError: if the permuted network gives other outputs than the network.
    """
    graph = model if isinstance(model, Graph) else trace(model)
    score = _weight_scores(graph, dataset, method, batches, batch_size, seed, loss)
    exponent = 2 if method == "l2" else 1
    if method == "random":
        generator = np.random.default_rng(seed)
        importance = [generator.random(group.size) for group in graph.groups]
    else:
        importance = _sum_over_groups(graph, _weighted_nodes(graph), score, exponent)
    orders = [np.argsort(-values, kind="stable") for values in importance]
    permuted = permute(graph, orders)
    verify_same_function(graph, permuted, seed)
    of_kernels = _kernel_importance(graph, score, exponent, orders) if kernels else None
    return Ranked(permuted, _ordered(importance, orders), method, kernels=of_kernels)


def permute(graph: Graph, orders: Sequence[NDArray[np.intp]]) -> Graph:
    """Sorts the channels of each group, in every tensor that makes, normalises or takes them.

    Args:
        graph: the network.
        orders: per channel group the old index of each new channel.

    Returns:
        A network of the same function.

    Raises:
        UsageError: if an order is not a permutation of its group's channels.
    """
    for group, order in zip(graph.groups, orders, strict=True):
        if not np.array_equal(np.sort(order), np.arange(group.size)):
            raise UsageError(
                f"`orders` must hold each index below {group.size} once for group '{group.name}'. Received: {order}"
            )
    return replace(graph, nodes=tuple(_permute_node(node, orders) for node in graph.nodes))


def verify_same_function(graph: Graph, other: Graph, seed: int = 0) -> None:
    """Checks that two networks give the same outputs for random inputs, to float32 rounding.

    Args:
        graph: a network.
        other: a network with the same input and output.
        seed: seed of the inputs.

    Raises:
        VerificationError: if an output differs.
    """
    generator = np.random.default_rng(seed)
    x = generator.standard_normal((_VERIFIED_SAMPLES, *graph.input_shape)).astype(np.float32)
    expected = predict(graph, x, stop_before_softmax=True)
    difference = float(np.abs(predict(other, x, stop_before_softmax=True) - expected).max())
    if not difference <= PERMUTATION_TOLERANCE * float(np.abs(expected).max()):
        raise VerificationError(
            f"Permuting the channels of '{graph.name}' changed its outputs by up to {difference:.3g}."
        )


def _permute_node(node: Node, orders: Sequence[NDArray[np.intp]]) -> Node:
    weights = dict(node.weights)
    if node.output_group is not None:
        order = orders[node.output_group]
        for name, values in weights.items():
            axis = 2 if name == "kernel" and isinstance(node.operation, DepthwiseConv2D) else -1
            weights[name] = np.take(values, order, axis)
    if node.input_group is not None and isinstance(node.operation, Conv2D | Dense | Conv2DTranspose):
        weights["kernel"] = np.take(weights["kernel"], orders[node.input_group], axis=-2)
    return replace(node, weights=weights)


Score = Callable[[Node], NDArray]
"""From a node to the importance of each weight of its kernel."""


def _weight_scores(
    graph: Graph,
    dataset: Dataset | Pair | Batches | None,
    method: Method,
    batches: int,
    batch_size: int,
    seed: int,
    loss: Loss | None,
) -> Score:
    match method:
        case "taylor":
            if dataset is None:
                raise UsageError("`dataset` must be given for method 'taylor': batches (x, y) of the training data.")
            drawn = islice(_batches(graph, dataset, batch_size, seed), batches)
            gradients = _gradient_sums(graph, drawn, loss or _cross_entropy)
            return lambda node: np.abs(node.weights["kernel"] * gradients[node.name])
        case "l1" | "l2":
            return lambda node: np.abs(node.weights["kernel"])
        case "random":
            generator = np.random.default_rng(seed)
            return lambda node: generator.random(node.weights["kernel"].shape)
    raise UsageError(f"`method` must be 'taylor', 'l1', 'l2' or 'random'. Received: method={method!r}")


def _sum_over_groups(graph: Graph, nodes: Iterable[Node], score: Score, exponent: int) -> list[NDArray[np.float64]]:
    """Norm of the scores of all weights that make a channel: their sum, or the root of their squares' sum."""
    totals = [np.zeros(group.size) for group in graph.groups]
    for node in nodes:
        if node.output_group is not None:
            axis = 2 if isinstance(node.operation, DepthwiseConv2D) else -1
            scores = np.power(np.moveaxis(score(node), axis, -1), exponent, dtype=np.float64)
            totals[node.output_group] += scores.reshape(-1, scores.shape[-1]).sum(axis=0)
    return [np.power(total, 1 / exponent) for total in totals]


def _kernel_importance(
    graph: Graph, score: Score, exponent: int, orders: Sequence[NDArray[np.intp]]
) -> KernelImportance:
    """Importance per kernel of pointwise convolutions between groups, and of what else makes the channels."""
    others = (node for node in _weighted_nodes(graph) if not _is_pointwise(node))
    units = _sum_over_groups(graph, others, score, exponent)
    pointwise = {}
    for node in filter(_is_pointwise, graph.nodes):
        assert node.input_group is not None and node.output_group is not None
        scores = score(node)
        kernel = scores.reshape(scores.shape[-2:])
        pointwise[node.name] = kernel[np.ix_(orders[node.input_group], orders[node.output_group])].astype(np.float64)
    return KernelImportance(_ordered(units, orders), pointwise)


def _is_pointwise(node: Node) -> bool:
    between_groups = node.input_group is not None and node.output_group is not None
    return between_groups and isinstance(node.operation, Conv2D) and node.operation.kernel_size == (1, 1)


def _ordered(
    importance: Sequence[NDArray[np.float64]], orders: Sequence[NDArray[np.intp]]
) -> tuple[NDArray[np.float64], ...]:
    return tuple(values[order] for values, order in zip(importance, orders, strict=True))


def _weighted_nodes(graph: Graph) -> list[Node]:
    return [node for node in graph.nodes if isinstance(node.operation, WITH_KERNEL)]


def _gradient_sums(
    graph: Graph, batches: Iterable[tuple[NDArray, NDArray]], loss: Loss
) -> dict[str, NDArray[np.float64]]:
    """Signed sum over batches of the loss' gradient by each kernel."""
    kernels = {node.name: ops.convert_to_tensor(node.weights["kernel"]) for node in _weighted_nodes(graph)}
    sums = {name: np.zeros(kernel.shape) for name, kernel in kernels.items()}
    gradients_of = _gradient_function(graph, loss)
    count = 0
    for x, y in batches:
        gradients = gradients_of(kernels, ops.convert_to_tensor(x, "float32"), ops.convert_to_tensor(y))
        for name, gradient in gradients.items():
            sums[name] += ops.convert_to_numpy(gradient)
        count += 1
    if count == 0:
        raise UsageError("`dataset` must hold at least one batch (x, y), and `batches` be at least 1. Received: none.")
    return sums


def _gradient_function(graph: Graph, loss: Loss) -> Callable[[Kernels, Tensor, Tensor], Kernels]:
    """The loss' gradients by the kernels, on the Keras backend in use."""

    def batch_loss(kernels: Kernels, x: Tensor, y: Tensor) -> Tensor:
        weights = {
            node.name: {**node.weights, "kernel": kernels[node.name]} if node.name in kernels else node.weights
            for node in graph.nodes
        }
        return loss(y, forward(graph, x, weights, training=True, stop_before_softmax=True))

    match keras.backend.backend():
        case "tensorflow":
            return _tensorflow_gradients(batch_loss)
        case "jax":
            import jax

            return jax.jit(jax.grad(batch_loss))
        case other:
            raise UsageError(
                f"Method 'taylor' needs the Keras backend 'tensorflow' or 'jax'. Received: '{other}'; "
                "set KERAS_BACKEND."
            )


def _tensorflow_gradients(
    batch_loss: Callable[[Kernels, Tensor, Tensor], Tensor],
) -> Callable[[Kernels, Tensor, Tensor], Kernels]:
    import tensorflow as tf

    @tf.function(reduce_retracing=True)
    def gradients(kernels: Kernels, x: Tensor, y: Tensor) -> Kernels:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(kernels)
            value = batch_loss(kernels, x, y)
        return tape.gradient(value, kernels)

    return gradients


def _cross_entropy(y: Tensor, logits: Tensor) -> Tensor:
    """Mean cross-entropy of class indices (batch,) or (batch, 1), or of class probabilities (batch, classes)."""
    classes = logits.shape[-1]
    logits = ops.reshape(logits, (-1, classes))
    if len(y.shape) == 1 or y.shape[-1] != classes:
        y = ops.one_hot(ops.cast(ops.reshape(y, (-1,)), "int32"), classes)
    return ops.mean(ops.categorical_crossentropy(ops.cast(y, logits.dtype), logits, from_logits=True))


def _batches(graph: Graph, dataset: Any, batch_size: int, seed: int) -> Iterator[tuple[NDArray, NDArray]]:
    """One pass over the dataset as arrays."""
    source = dataset
    if is_pair_of_arrays(source):
        source = as_dataset(source, graph.input_shape, graph.output_shape[-1])
    if hasattr(source, "train"):
        source = source.train.batches(batch_size, seed=seed, augment=False, epoch=0)
    if isinstance(source, keras.utils.PyDataset):
        source = map(source.__getitem__, range(len(source)))
    for batch in source:
        x, y = (np.asarray(values) for values in batch)
        if math.prod(x.shape[1:]) != math.prod(graph.input_shape):
            raise UsageError(
                f"`dataset` must hold samples of the network's input shape {graph.input_shape}. Received: {x.shape[1:]}"
            )
        yield x, y
