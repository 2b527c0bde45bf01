"""An adopted network in the words of the search."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from reds.compiled import CompiledLayer, CompiledNetwork, CompiledStep
from reds.graph import INPUT, OPERAND, Activation, DeviceOperation, Graph, Node, Pair, Requantize, as_map
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
