"""Sorts the channels of a TFLite model in its constants, so that the model computes what it did."""

from collections import Counter
from collections.abc import Sequence
from copy import copy

import numpy as np
from ai_edge_litert import schema_py_generated as tflite
from numpy.typing import NDArray

from reds.adopting.network import AdoptedNetwork
from reds.adopting.tflite_graph import CONSTANT_TYPES, OMITTED
from reds.graph import Conv2DTranspose, DepthwiseConv2D, DeviceOperation, Graph, Pair, PRelu

Order = NDArray[np.intp]

WEIGHTS_INPUT = 1
"""The input of every weighted operator that its weights or slopes are."""

_CHANNELS_LAST = (DepthwiseConv2D, PRelu)
"""Operations whose weights have the output channels last, and no axis for those of the input."""


def permute_channels(model: tflite.ModelT, adopted: AdoptedNetwork, graph: Graph, orders: Sequence[Order]) -> None:
    """Sorts the channels of each group in weights, slopes, biases and their scales.

    Args:
        model: the model to change.
        adopted: the network that was read from it.
        graph: the graph of that network.
        orders: per channel group the old index of each new channel.
    """
    constants = _Constants(model)
    for node, layer, operator in zip(graph.nodes, adopted.network.layers, adopted.operators, strict=True):
        if layer.weights is None:
            continue
        if isinstance(layer.operation, Pair):
            if node.output_group is not None and layer.weights.size > 1:
                constants.permute_outputs(operator, constants.position(operator), orders[node.output_group])
            continue
        if node.output_group is not None:
            made = orders[node.output_group]
            constants.permute_outputs(operator, WEIGHTS_INPUT, made, not isinstance(layer.operation, _CHANNELS_LAST))
            constants.permute_outputs(operator, _bias_input(layer.operation), made)
        if node.input_group is not None and not isinstance(layer.operation, _CHANNELS_LAST):
            constants.permute_inputs(operator, orders[node.input_group])


def _bias_input(operation: DeviceOperation) -> int:
    return 3 if isinstance(operation, Conv2DTranspose) else 2


class _Constants:
    """The constants of a model's operators. What several share is copied before it is changed for one of them."""

    def __init__(self, model: tflite.ModelT) -> None:
        self._model = model
        self._subgraph = model.subgraphs[0]
        self._readers = Counter(int(index) for operator in self._subgraph.operators for index in operator.inputs)
        self._users = Counter(tensor.buffer for tensor in self._subgraph.tensors)

    def position(self, operator: int) -> int:
        """Which of the two inputs of an operator is the constant."""
        second = self._subgraph.tensors[int(self._subgraph.operators[operator].inputs[1])]
        return 0 if self._model.buffers[second.buffer].data is None else 1

    def permute_outputs(self, operator: int, position: int, order: Order, first: bool = False) -> None:
        """Sorts the output channels of a constant, its first or its last axis, with their scales.

        Args:
            operator: index of the operator that reads it.
            position: which of its inputs it is; one that is not there is left so.
            order: the old index of each new channel.
            first: whether the channels are the first axis.
        """
        inputs = self._subgraph.operators[operator].inputs
        if position >= len(inputs) or inputs[position] == OMITTED:
            return
        tensor = self._own_tensor(operator, position)
        self._permute(tensor, order, first)
        if tensor.quantization is not None:
            tensor.quantization = _permuted_parameters(tensor.quantization, order)

    def permute_inputs(self, operator: int, order: Order) -> None:
        """Sorts the input channels of an operator's weights, their last axis or, of a flattened map, the last part of
        it."""
        self._permute(self._own_tensor(operator, WEIGHTS_INPUT), order, first=False)

    def _permute(self, tensor: tflite.TensorT, order: Order, first: bool) -> None:
        buffer = self._own_buffer(tensor)
        values = np.frombuffer(np.asarray(buffer.data, np.uint8).tobytes(), CONSTANT_TYPES[tensor.type])
        shape, axis = ((len(order), -1), 0) if first else ((-1, len(order)), 1)
        buffer.data = np.frombuffer(np.take(values.reshape(shape), order, axis).tobytes(), np.uint8)

    def _own_tensor(self, operator: int, position: int) -> tflite.TensorT:
        """An input of an operator that no other one reads."""
        inputs = self._subgraph.operators[operator].inputs
        index = int(inputs[position])
        if self._readers[index] == 1:
            return self._subgraph.tensors[index]
        tensor = copy(self._subgraph.tensors[index])
        self._readers[index] -= 1
        self._users[tensor.buffer] += 1
        self._subgraph.tensors.append(tensor)
        inputs = self._subgraph.operators[operator].inputs = np.array(inputs, np.int32)
        inputs[position] = len(self._subgraph.tensors) - 1
        self._readers[int(inputs[position])] = 1
        return tensor

    def _own_buffer(self, tensor: tflite.TensorT) -> tflite.BufferT:
        """The buffer of a tensor that no other one has."""
        if self._users[tensor.buffer] > 1:
            self._users[tensor.buffer] -= 1
            self._model.buffers.append(copy(self._model.buffers[tensor.buffer]))
            tensor.buffer = len(self._model.buffers) - 1
            self._users[tensor.buffer] = 1
        return self._model.buffers[tensor.buffer]


def _permuted_parameters(parameters: tflite.QuantizationParametersT, order: Order) -> tflite.QuantizationParametersT:
    """Quantisation with a scale per channel, sorted; one scale for all channels stays."""
    permuted = copy(parameters)
    for name in ("scale", "zeroPoint", "min", "max"):
        values = getattr(parameters, name)
        if values is not None and len(values) == len(order) > 1:
            setattr(permuted, name, np.take(values, order))
    return permuted
