"""An adopted network in the words of the search: its channel groups, and how much weight makes each channel."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from reds.compiled import CompiledLayer, CompiledNetwork, CompiledStep
from reds.graph import (
    INPUT,
    OPERAND,
    WITH_KERNEL,
    Activation,
    DepthwiseConv2D,
    DeviceOperation,
    Graph,
    Node,
    Pair,
    Requantize,
    as_map,
)
from reds.grouping import with_groups


def graph_of(network: CompiledNetwork) -> Graph:
    """The graph of an adopted network, one node per layer, without weights but constant operands.

    Args:
        network: a network of one subnetwork, the full one.

    Returns:
        The graph with its channel groups.
    """
    nodes = [
        _node(network, layer, step) for layer, step in zip(network.layers, network.subnetworks[0].steps, strict=True)
    ]
    return Graph(network.name, network.input_shape, network.output_shape, *with_groups(nodes), is_fused=True)


def _node(network: CompiledNetwork, layer: CompiledLayer, step: CompiledStep) -> Node:
    source = layer.inputs[0]
    written = as_map(network.input_shape) if source == INPUT else network.layers[source].output_shape
    return Node(
        name=layer.name,
        operation=_operation(layer, step),
        inputs=layer.inputs,
        output_shape=layer.output_shape,
        input_group=None,
        output_group=None,
        weights=_operand(layer),
        reads=None if layer.input_shape == written else layer.input_shape,
    )


def _operand(layer: CompiledLayer) -> Mapping[str, NDArray[np.float32]]:
    """The constant of a pair, whose size counts."""
    if not isinstance(layer.operation, Pair) or layer.weights is None:
        return {}
    return {OPERAND: layer.weights.astype(np.float32)}


def _operation(layer: CompiledLayer, step: CompiledStep) -> DeviceOperation:
    """A ReLU that changes the quantisation costs what a change of the quantisation costs, a table."""
    operation = layer.operation
    is_relu = isinstance(operation, Activation) and operation.function == "relu"
    return Requantize() if is_relu and step.input_quantization != step.output_quantization else operation


def magnitudes(graph: Graph, network: CompiledNetwork) -> list[NDArray[np.float64]]:
    """How much weight makes each channel.

    Args:
        graph: the graph of the network.
        network: the network.

    Returns:
        Per channel group the sum of the magnitudes of all real weights that make each channel.
    """
    totals = [np.zeros(group.size) for group in graph.groups]
    for node, layer, step in zip(graph.nodes, network.layers, network.subnetworks[0].steps, strict=True):
        if node.output_group is not None and isinstance(layer.operation, WITH_KERNEL):
            totals[node.output_group] += _channel_norms(layer, step)
    return totals


def _channel_norms(layer: CompiledLayer, step: CompiledStep) -> NDArray[np.float64]:
    assert layer.weights is not None and step.weight_scales is not None
    axis = 3 if isinstance(layer.operation, DepthwiseConv2D) else 0
    by_channel = np.moveaxis(np.abs(layer.weights.astype(np.float64)), axis, 0)
    return by_channel.reshape(len(by_channel), -1).sum(axis=1) * step.weight_scales


def falling_orders(importance: Sequence[NDArray[np.float64]]) -> list[NDArray[np.intp]]:
    """Per channel group the old index of each channel when they are sorted by falling importance."""
    return [np.argsort(-values, kind="stable") for values in importance]
