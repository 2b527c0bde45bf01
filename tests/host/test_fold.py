"""Folding: fused layers with scale and bias compute what the nodes compute."""

from dataclasses import replace

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers
from random_networks import random_supernet

from reds.errors import UsageError
from reds.fold import affine, folded_kernel, fuse
from reds.forward import predict
from reds.graph import INPUT, BatchNormalization, DepthwiseConv2D, Graph, Node, Supernet
from reds.tracing import trace


def unfolded(graph: Graph) -> Graph:
    """The network of the fused layers: batch normalisation gone into kernels and biases."""
    nodes: list[Node] = []
    last_nodes = {INPUT: INPUT}
    for index, layer in enumerate(fuse(graph)):
        sources = tuple(last_nodes[source] for source in layer.inputs)
        node = replace(graph.nodes[layer.first_node], inputs=sources)
        if layer.weighted:
            full = affine(graph, layer, layer.output_shape[2], None)
            node = replace(node, weights={"kernel": folded_kernel(graph, layer), "bias": full.bias})
        nodes.append(node)
        if layer.activation != "none":
            nodes.append(replace(graph.nodes[layer.last_node], inputs=(len(nodes) - 1,)))
        last_nodes[index] = len(nodes) - 1
    return replace(graph, nodes=tuple(nodes))


@settings(derandomize=True, deadline=None, max_examples=30)
@given(st.integers(0, 2**32 - 1))
def test_a_folded_network_is_the_same_function(seed: int) -> None:
    graph = random_supernet(seed).family.graph
    folded = unfolded(graph)
    assert not any(isinstance(node.operation, BatchNormalization) for node in folded.nodes)
    x = np.random.default_rng(seed).standard_normal((3, *graph.input_shape)).astype(np.float32)
    expected = predict(graph, x)
    np.testing.assert_allclose(predict(folded, x), expected, atol=1e-5 * max(1, np.abs(expected).max()))


@settings(derandomize=True, deadline=None, max_examples=50)
@given(st.integers(0, 2**32 - 1), st.integers(0, 2))
def test_a_subnetworks_own_batch_norm_is_a_factor_and_a_bias(seed: int, subnetwork: int) -> None:
    supernet = random_supernet(seed)
    graph, chosen = supernet.family.graph, supernet.family.subnetworks[subnetwork]
    generator = np.random.default_rng(seed)
    for layer in fuse(graph):
        if layer.batch_norm_node is None:
            continue
        width = layer.output_shape[2] if layer.output_group is None else chosen.widths[layer.output_group]
        own = own_batch_norm(supernet, subnetwork, graph.nodes[layer.batch_norm_node])
        numbers = affine(graph, layer, width, own)
        product = generator.standard_normal(width)
        bias = graph.nodes[layer.first_node].weights.get("bias", np.zeros(layer.output_shape[2]))[:width]
        epsilon = graph.nodes[layer.batch_norm_node].operation.epsilon  # type: ignore[union-attr]
        expected = (product + bias - own["moving_mean"]) / np.sqrt(own["moving_variance"] + epsilon)
        expected = expected * own["gamma"] + own["beta"]
        shared = graph.nodes[layer.batch_norm_node].weights
        gain = (shared["gamma"] / np.sqrt(shared["moving_variance"] + epsilon))[:width]
        np.testing.assert_allclose(numbers.scale * (product * gain) + numbers.bias, expected, atol=1e-4)


def own_batch_norm(supernet: Supernet, subnetwork: int, node: Node) -> dict[str, np.ndarray]:
    return dict(supernet.batch_norms[subnetwork][node.name])


def with_gamma(value: float) -> tuple[Graph, dict[str, np.ndarray]]:
    """A network with one batch normalisation, and weights of it with the first gamma changed."""
    for seed in range(100):
        graph = random_supernet(seed).family.graph
        for node in graph.nodes:
            if isinstance(node.operation, BatchNormalization):
                own = {key: values.copy() for key, values in node.weights.items()}
                own["gamma"][0] = value * own["gamma"][0]
                return graph, own
    raise AssertionError("no random network has a batch normalisation")


def test_a_gamma_of_another_sign_cannot_share_weights() -> None:
    for factor in (-1.0, 0.0):
        graph, own = with_gamma(factor)
        layer = next(layer for layer in fuse(graph) if layer.batch_norm_node is not None)
        with pytest.raises(UsageError, match="another sign"):
            affine(graph, layer, layer.output_shape[2], own)


def test_a_gamma_of_zero_everywhere_leaves_the_bias() -> None:
    graph, own = with_gamma(0.0)
    layer = next(layer for layer in fuse(graph) if layer.batch_norm_node is not None)
    index = layer.batch_norm_node
    assert index is not None
    nodes = list(graph.nodes)
    nodes[index] = replace(nodes[index], weights=own)
    silent = replace(graph, nodes=tuple(nodes))
    numbers = affine(silent, layer, layer.output_shape[2], own)
    assert numbers.scale[0] == 1
    assert numbers.bias[0] == own["beta"][0]
    axis = 2 if isinstance(layer.operation, DepthwiseConv2D) else -1
    assert not np.take(folded_kernel(silent, layer), 0, axis).any()


def test_batch_norm_without_a_layer_to_fold_into() -> None:
    graph = next(
        graph
        for graph in (random_supernet(seed).family.graph for seed in range(100))
        if isinstance(graph.nodes[1].operation, BatchNormalization)
    )
    alone = replace(graph, nodes=(replace(graph.nodes[1], inputs=(INPUT,)),))
    with pytest.raises(UsageError, match="must directly follow"):
        fuse(alone)


def test_an_activation_is_fused_only_where_nothing_else_reads_what_it_reads() -> None:
    inputs = layers.Input((4, 4, 3))
    x = layers.Conv2D(5, 1, name="conv")(inputs)
    activated = layers.ReLU(name="activated")(x)
    x = layers.Add(name="add")([x, activated])
    graph = trace(keras.Model(inputs, layers.ReLU(max_value=6, name="alone")(x)))
    assert [(layer.name, layer.activation, layer.inputs) for layer in fuse(graph)] == [
        ("conv", "none", (INPUT,)),
        ("activated", "none", (0,)),
        ("add", "relu6", (0, 1)),
    ]
