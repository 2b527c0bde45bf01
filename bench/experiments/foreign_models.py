"""Draws small int8 models with operators that `reds adopt` reads as others, as converters write them."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from ai_edge_litert import schema_py_generated as tflite
from layer_drawing import Draw
from numpy.typing import NDArray

from reds.emitting.standard import ModelBuilder

LARGEST_PARTS = 5


@dataclass(frozen=True)
class ForeignModel:
    """A model, and its input's size."""

    content: bytes
    input_size: int


class _Writer:
    """Writes a model operator by operator; all its int8 tensors have one quantisation, as these operators need it."""

    def __init__(self, draw: Draw) -> None:
        self._model = ModelBuilder("foreign")
        self._scale, self._zero_point = np.float32(draw.size(1000) / 2000), draw.size(256) - 129
        self._subgraph = tflite.SubGraphT()
        self._subgraph.tensors, self._subgraph.operators = [], []

    def tensor(self, shape: Sequence[int]) -> int:
        """Adds what an operator writes."""
        parameters = tflite.QuantizationParametersT()
        parameters.scale = np.array([self._scale], np.float32)
        parameters.zeroPoint = np.array([self._zero_point], np.int64)
        return self._add_tensor(shape, tflite.TensorType.INT8, 0, parameters)

    def integers(self, values: Sequence[int], shape: Sequence[int] | None = None) -> int:
        """Adds constant integers, a vector if no shape is given."""
        buffer = self._model.add_buffer(np.array(values, np.int32))
        return self._add_tensor((len(values),) if shape is None else shape, tflite.TensorType.INT32, buffer, None)

    def append(self, name: str, inputs: Sequence[int], outputs: Sequence[int], options: object = None) -> None:
        """Appends an operator."""
        operator = tflite.OperatorT()
        operator.opcodeIndex = self._model.operator_code(getattr(tflite.BuiltinOperator, name), 1)
        operator.inputs, operator.outputs = np.array(inputs, np.int32), np.array(outputs, np.int32)
        operator.builtinOptions = options
        kind = "NONE" if options is None else type(options).__name__.removesuffix("T")
        operator.builtinOptionsType = getattr(tflite.BuiltinOptions, kind)
        self._subgraph.operators.append(operator)

    def reshape(self, source: int, shape: Sequence[int]) -> int:
        """Appends a reshape; returns the tensor that it writes."""
        options, target = tflite.ReshapeOptionsT(), self.tensor(shape)
        options.newShape = np.array(shape, np.int32)
        self.append("RESHAPE", [source, self.integers(shape)], [target], options)
        return target

    def join(self, parts: Sequence[int], axis: int, shape: Sequence[int]) -> int:
        """Appends a concatenation; returns the tensor that it writes."""
        options, target = tflite.ConcatenationOptionsT(), self.tensor(shape)
        options.axis = axis
        self.append("CONCATENATION", parts, [target], options)
        return target

    def finish(self, source: int, target: int) -> ForeignModel:
        """The model from a vector to what `target` holds, as a vector."""
        input_size, output_size = (math.prod(self._subgraph.tensors[tensor].shape) for tensor in (source, target))
        self._subgraph.inputs = np.array([source], np.int32)
        self._subgraph.outputs = np.array([self.reshape(target, (1, output_size))], np.int32)
        self._model.subgraphs.append(self._subgraph)
        return ForeignModel(self._model.encode(), int(input_size))

    def _add_tensor(
        self, shape: Sequence[int], kind: int, buffer: int, parameters: tflite.QuantizationParametersT | None
    ) -> int:
        tensor = tflite.TensorT()
        tensor.name, tensor.shape = f"tensor{len(self._subgraph.tensors)}", np.array(shape, np.int32)
        tensor.type, tensor.buffer, tensor.quantization = kind, buffer, parameters
        self._subgraph.tensors.append(tensor)
        return len(self._subgraph.tensors) - 1


def _sizes(draw: Draw, rank: int) -> list[int]:
    return [draw.size(6) for _ in range(rank)]


def _signed(draw: Draw, axis: int, rank: int) -> int:
    """An axis, or the same counted from the end."""
    return draw.choice(axis, axis - rank)


def _pack(draw: Draw) -> ForeignModel:
    """The input and what two functions make of it, some of them and some twice, stacked."""
    writer, shape = _Writer(draw), _sizes(draw, draw.size(4))
    axis, rank = draw.size(len(shape) + 1) - 1, len(shape) + 1
    source = writer.tensor((1, math.prod(shape)))
    known: dict[str, int] = {}
    order = [draw.choice("input", "RELU", "RELU6") for _ in range(1 + draw.size(LARGEST_PARTS))]
    for name in dict.fromkeys(order):
        whole = source
        if name != "input":
            whole = writer.tensor((1, math.prod(shape)))
            writer.append(name, [source], [whole])
        known[name] = writer.reshape(whole, shape)
    target = writer.tensor([*shape[:axis], len(order), *shape[axis:]])
    options = tflite.PackOptionsT()
    options.valuesCount, options.axis = len(order), _signed(draw, axis, rank)
    writer.append("PACK", [known[name] for name in order], [target], options)
    return writer.finish(source, target)


def _unpack(draw: Draw) -> ForeignModel:
    """What is taken apart, joined in the reverse order."""
    writer, shape = _Writer(draw), _sizes(draw, 1 + draw.size(3))
    axis = draw.size(len(shape)) - 1
    shape[axis] = 1 + draw.size(LARGEST_PARTS)
    source = writer.tensor((1, math.prod(shape)))
    rest = shape[:axis] + shape[axis + 1 :]
    parts = [writer.tensor(rest) for _ in range(shape[axis])]
    options = tflite.UnpackOptionsT()
    options.num, options.axis = len(parts), _signed(draw, axis, len(shape))
    writer.append("UNPACK", [writer.reshape(source, shape)], parts, options)
    return writer.finish(source, writer.join(parts[::-1], 0, [len(parts) * rest[0], *rest[1:]]))


def _split(draw: Draw) -> ForeignModel:
    return _in_parts(draw, "SPLIT")


def _split_v(draw: Draw) -> ForeignModel:
    return _in_parts(draw, "SPLIT_V")


def _in_parts(draw: Draw, name: str) -> ForeignModel:
    """Parts, alike for a SPLIT, joined in the reverse order."""
    writer, shape = _Writer(draw), _sizes(draw, draw.size(4))
    axis, count, size = draw.size(len(shape)) - 1, 1 + draw.size(LARGEST_PARTS), draw.size(3)
    sizes = [size if name == "SPLIT" else draw.size(4) for _ in range(count)]
    shape[axis] = sum(sizes)
    source = writer.tensor((1, math.prod(shape)))
    parts = [writer.tensor([*shape[:axis], part, *shape[axis + 1 :]]) for part in sizes]
    along, whole = writer.integers([_signed(draw, axis, len(shape))], ()), writer.reshape(source, shape)
    if name == "SPLIT":
        inputs, options = [along, whole], tflite.SplitOptionsT()
    else:
        inputs, options = [whole, writer.integers(sizes), along], tflite.SplitVOptionsT()
    options.numSplits = count
    writer.append(name, inputs, parts, options)
    return writer.finish(source, writer.join(parts[::-1], axis, shape))


def _reduce_max(draw: Draw) -> ForeignModel:
    """Over all positions of a map or a series; its batch of one may be among the axes."""
    writer, shape = _Writer(draw), [1, *_sizes(draw, 1 + draw.size(2))]
    rank = len(shape)
    source = writer.tensor((1, math.prod(shape)))
    axes = [_signed(draw, axis, rank) for axis in range(draw.choice(0, 1, 1), rank - 1)]
    options = tflite.ReducerOptionsT()
    options.keepDims = draw.choice(True, False)
    reduced = {axis % rank for axis in axes}
    kept = [1 if axis in reduced else size for axis, size in enumerate(shape)]
    target = writer.tensor(kept if options.keepDims else [kept[axis] for axis in range(rank) if axis not in reduced])
    axes = axes[:: draw.choice(1, -1)]
    writer.append("REDUCE_MAX", [writer.reshape(source, shape), writer.integers(axes)], [target], options)
    return writer.finish(source, target)


FOREIGN: Mapping[str, Callable[[Draw], ForeignModel]] = {
    "PACK": _pack,
    "REDUCE_MAX": _reduce_max,
    "SPLIT": _split,
    "SPLIT_V": _split_v,
    "UNPACK": _unpack,
}
"""How a model around each operator is drawn. libreds has them as concatenations, poolings and slices."""


def inputs_of(model: ForeignModel, samples: int, seed: int) -> NDArray[np.int8]:
    """Random inputs, (samples, input size)."""
    return np.random.default_rng(seed).integers(-128, 128, (samples, model.input_size), np.int8)
