"""The subgraph of a foreign TFLite model, its tensors and operators, every access checked."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NoReturn, TypeVar

import numpy as np
from ai_edge_litert import schema_py_generated as tflite
from numpy.typing import NDArray

from reds.compiled import ElementType
from reds.errors import UsageError
from reds.graph import Shape
from reds.model_file import (
    ACTIVATION_TYPES,
    ELEMENT_TYPE_OF_TENSOR,
    RESHAPING,
    RESHAPING_ALONE,
    builtin_code,
    keeps_order,
)
from reds.plan import text
from reds.requantize import SMALLEST_SCALE, Quantization

BUILTIN_NAMES = {code: name for name, code in vars(tflite.BuiltinOperator).items() if not name.startswith("_")}
TYPE_NAMES = {code: name for name, code in vars(tflite.TensorType).items() if not name.startswith("_")}

CONSTANT_TYPES: Mapping[int, np.dtype] = {
    tflite.TensorType.FLOAT32: np.dtype("<f4"),
    tflite.TensorType.INT8: np.dtype("i1"),
    tflite.TensorType.INT32: np.dtype("<i4"),
    tflite.TensorType.INT64: np.dtype("<i8"),
}

QUANTIZED_TYPES: Mapping[int, np.dtype] = {
    tflite.TensorType.INT8: np.dtype(np.int8),
    tflite.TensorType.UINT8: np.dtype(np.uint8),
    tflite.TensorType.INT16: np.dtype(np.int16),
}
"""Types of activations with a quantisation."""

Options = TypeVar("Options")

DIVIDING = (tflite.BuiltinOperator.UNPACK, tflite.BuiltinOperator.SPLIT, tflite.BuiltinOperator.SPLIT_V)
"""The operators that take a tensor apart, and so may write several."""

OMITTED = -1
"""Index of an optional tensor that is not there."""


class TfliteGraph:
    """Subgraph 0 of a model.

    Args:
        model: the model.
        source: name of its file, for messages.
    """

    def __init__(self, model: tflite.ModelT, source: str) -> None:
        self.model = model
        self.source = source
        self.subgraph = model.subgraphs[0]
        self.operators = tuple(
            site for index in range(len(self.subgraph.operators or ())) for site in OperatorSite(self, index).parts
        )

    @cached_property
    def batch(self) -> int:
        """Samples of one inference: the first dimension of its input."""
        shapes = [self.tensor(int(index)).whole_shape for index in _elements(self.subgraph.inputs)]
        return shapes[0][0] if shapes and shapes[0] else 1

    @cached_property
    def computed(self) -> frozenset[int]:
        """Indices of the tensors with samples in them: its inputs, and what its operators write."""
        written = (index for site in self.operators for index in site.outputs)
        return frozenset((*written, *(int(index) for index in _elements(self.subgraph.inputs))))

    def refuse(self, reason: str) -> NoReturn:
        """Raises UsageError with what keeps the model from being adopted."""
        raise UsageError(f"'{self.source}' cannot be adopted: {reason}.")

    def tensor(self, index: int) -> "TfliteTensor":
        """A tensor."""
        if not 0 <= index < len(self.subgraph.tensors):
            self.refuse(f"it refers to a tensor {index} that is not there")
        return TfliteTensor(self, index)

    def port(self, indices: NDArray | None, what: str) -> "TfliteTensor":
        """Its only input or output, a tensor of samples."""
        indices = _elements(indices)
        if len(indices) != 1:
            self.refuse(f"it has {len(indices)} {what}s; libreds runs networks with one")
        tensor = self.tensor(int(indices[0]))
        if tensor.type not in ACTIVATION_TYPES:
            self.refuse(f"its {what} is {tensor.type_name}; convert the model with a float32 or int8 {what}")
        shape = tensor.whole_shape
        if not 2 <= len(shape) <= 4 or shape[0] != self.batch:
            self.refuse(
                f"its {what} has the shape {shape}; libreds runs samples of one to three dimensions, and gives as many "
                f"as it takes, here {self.batch}"
            )
        if tensor.is_dynamic:
            self.refuse(f"its {what} has a size that is only known when it runs; convert the model with a fixed shape")
        return tensor


def _elements(values: NDArray | None) -> NDArray:
    """A vector of the file; the readers have None for an absent one."""
    return np.zeros(0) if values is None else np.asarray(values)


@dataclass(frozen=True)
class TfliteTensor:
    """One tensor."""

    graph: TfliteGraph
    index: int

    @property
    def _fields(self) -> tflite.TensorT:
        return self.graph.subgraph.tensors[self.index]

    @property
    def name(self) -> str:
        """Its name in the file, fit to be printed in a line."""
        name = text(self._fields.name or "")
        return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in name)

    @property
    def type(self) -> int:
        """Its TFLite type."""
        return int(self._fields.type)

    @property
    def type_name(self) -> str:
        """Its type as the TFLite schema calls it."""
        return TYPE_NAMES.get(self.type, f"type {self.type}")

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape; of one sample, with 1 in place of the batch, where it is computed. Empty for a scalar.

        Raises:
            UsageError: if it holds nothing, or it is computed and does not keep the samples apart.
        """
        shape = self.whole_shape
        if self.graph.batch == 1 or self.index not in self.graph.computed:
            return shape
        if not self.keeps_samples_apart:
            self.graph.refuse(f"tensor '{self.name}' has the shape {shape}, not {self.graph.batch} samples in a row")
        return (shape[0] // self.graph.batch, *shape[1:])

    @property
    def keeps_samples_apart(self) -> bool:
        """Whether its first dimension, which is not its last one, is one sample after the other."""
        return len(self.whole_shape) > 1 and self.whole_shape[0] % self.graph.batch == 0

    @property
    def whole_shape(self) -> tuple[int, ...]:
        """Its shape with the batch; empty for a scalar.

        Raises:
            UsageError: if it holds nothing.
        """
        shape = tuple(int(size) for size in _elements(self._fields.shape))
        if min(shape, default=1) < 1:
            self.graph.refuse(f"tensor '{self.name}' has the shape {shape}, which holds nothing")
        return shape

    @property
    def is_dynamic(self) -> bool:
        """Whether a size other than the batch is only known when it runs; TFLite has 1 for it in the shape."""
        return min((int(size) for size in _elements(self._fields.shapeSignature)[1:]), default=1) < 0

    @property
    def size(self) -> int:
        """Number of its elements."""
        return math.prod(self.shape)

    @property
    def map(self) -> Shape:
        """Its elements as positions of a map with channels, for operations that treat all positions alike."""
        shape = (1,) * (4 - len(self.shape)) + self.shape
        if len(shape) == 4 and shape[0] == 1:
            return shape[1], shape[2], shape[3]
        return 1, math.prod(shape[:-1]), shape[-1]

    @property
    def buffer(self) -> int:
        """Index of its buffer."""
        return int(self._fields.buffer)

    @property
    def constant(self) -> NDArray | None:
        """Its values; None where they are not in the file.

        Raises:
            UsageError: if the values are sparse or do not fill its shape.
        """
        fields = self._fields
        if fields.sparsity is not None:
            self.graph.refuse(f"tensor '{self.name}' is sparse; convert the model without sparsity")
        if not 0 <= self.buffer < len(self.graph.model.buffers):
            self.graph.refuse(f"tensor '{self.name}' has a buffer {self.buffer} that is not there")
        data = self.graph.model.buffers[self.buffer].data
        if data is None or self.type not in CONSTANT_TYPES:
            return None
        dtype = CONSTANT_TYPES[self.type]
        if len(data) != self.size * dtype.itemsize:
            self.graph.refuse(f"tensor '{self.name}' has {len(data)} bytes, which do not fill its shape {self.shape}")
        return np.frombuffer(np.asarray(data, np.uint8).tobytes(), dtype).reshape(self.shape)

    @property
    def scales(self) -> NDArray[np.float32]:
        """The scales of its quantisation, empty for none, all finite and none negative."""
        parameters = self._fields.quantization
        scales = _elements(None if parameters is None else parameters.scale).astype(np.float32)
        if not np.all(np.isfinite(scales) & (scales >= 0)):
            self.graph.refuse(f"tensor '{self.name}' has a scale that is negative or not finite")
        return scales

    @property
    def zero_points(self) -> NDArray[np.int64]:
        """The zero points of its quantisation; empty for none."""
        parameters = self._fields.quantization
        return _elements(None if parameters is None else parameters.zeroPoint).astype(np.int64)

    @property
    def quantized_dimension(self) -> int:
        """The axis of its scales."""
        return int(self._fields.quantization.quantizedDimension)

    @property
    def quantization(self) -> Quantization | None:
        """Its quantisation as an activation; None for float32.

        Raises:
            UsageError: if a quantised tensor has not one scale and one zero point.
        """
        if self.type not in QUANTIZED_TYPES:
            return None
        dtype = QUANTIZED_TYPES[self.type]
        if len(self.scales) != 1 or len(self.zero_points) != 1 or self.scales[0] < SMALLEST_SCALE:
            self.graph.refuse(f"the {dtype} tensor '{self.name}' has not one scale and one zero point")
        zero_point = int(self.zero_points[0])
        if not np.iinfo(dtype).min <= zero_point <= np.iinfo(dtype).max:
            self.graph.refuse(f"tensor '{self.name}' has the zero point {zero_point}, which no {dtype} is")
        if zero_point != 0 and self.type == tflite.TensorType.INT16:
            self.graph.refuse(f"the int16 tensor '{self.name}' has the zero point {zero_point}, not 0")
        return Quantization(np.float32(self.scales[0]), zero_point)


@dataclass(frozen=True)
class OperatorSite:
    """An operator where it stands in the graph."""

    graph: TfliteGraph
    index: int
    part: int = 0
    """Which of its outputs is meant, where it takes a tensor apart."""

    @property
    def parts(self) -> tuple["OperatorSite", ...]:
        """The operator once for each output, all of which only the operators that take a tensor apart may have."""
        if self.code not in DIVIDING:
            return (self,)
        return tuple(replace(self, part=part) for part in range(len(self.outputs)))

    @property
    def outputs(self) -> tuple[int, ...]:
        """Indices of the tensors that it writes."""
        return tuple(int(index) for index in _elements(self._fields.outputs))

    @property
    def _fields(self) -> tflite.OperatorT:
        return self.graph.subgraph.operators[self.index]

    @property
    def code(self) -> int:
        """Which builtin operator it is."""
        fields = self._fields
        if not 0 <= fields.opcodeIndex < len(self.graph.model.operatorCodes or ()):
            self.graph.refuse(f"operator {self.index} has no operator code")
        return builtin_code(self.graph.model, fields)

    @property
    def name(self) -> str:
        """The builtin operator's name."""
        return BUILTIN_NAMES.get(self.code, f"builtin operator {self.code}")

    def options(self, kind: type[Options]) -> Options:
        """Its options.

        Raises:
            UsageError: if it has none, or those of another operator.
        """
        options = self._fields.builtinOptions
        if not isinstance(options, kind):
            self.refuse(f"it has no {kind.__name__.removesuffix('T')}")
        return options

    @property
    def is_reshaping(self) -> bool:
        """Whether it copies its input's elements as they are."""
        if self.code == tflite.BuiltinOperator.TRANSPOSE:
            return keeps_order(self.input(0).whole_shape, self.permutation)
        if self.code in RESHAPING_ALONE:
            return len(self.inputs) == len(self.outputs) == 1
        return self.code in RESHAPING

    @property
    def permutation(self) -> tuple[int, ...]:
        """Of a TRANSPOSE, per dimension of the output the one of the input.

        Raises:
            UsageError: if it is not constant, not of 32 bits, or no permutation.
        """
        values = self.input(1).constant
        if values is None or values.dtype != np.int32:
            self.refuse("its permutation is not constant INT32")
        order = tuple(int(axis) for axis in values.reshape(-1))
        if sorted(order) != list(range(len(self.input(0).whole_shape))):
            self.refuse(f"{order} is no permutation of the dimensions of {self.input(0).whole_shape}")
        return order

    @property
    def converts(self) -> bool:
        """Whether what it writes may have another type than what it reads."""
        return self.code in (tflite.BuiltinOperator.QUANTIZE, tflite.BuiltinOperator.DEQUANTIZE)

    @property
    def computes(self) -> bool:
        """Whether it makes activations; others compute with shapes, which are known."""
        return self.output.type in ACTIVATION_TYPES

    @property
    def inputs(self) -> tuple[int, ...]:
        """Indices of the tensors that it reads; OMITTED for an optional one that is not there."""
        return tuple(int(index) for index in _elements(self._fields.inputs))

    def input(self, position: int) -> TfliteTensor:
        """A tensor that it needs.

        Raises:
            UsageError: if it has no such input.
        """
        if position >= len(self.inputs) or self.inputs[position] == OMITTED:
            self.refuse(f"it has no input {position}")
        return self.graph.tensor(self.inputs[position])

    def optional_input(self, position: int) -> TfliteTensor | None:
        """A tensor that it can do without."""
        there = position < len(self.inputs) and self.inputs[position] != OMITTED
        return self.input(position) if there else None

    @property
    def output(self) -> TfliteTensor:
        """The tensor that it writes.

        Raises:
            UsageError: if it writes none, or several that are no parts of one.
        """
        if len(self.outputs) != 1 and self.code not in DIVIDING:
            self.graph.refuse(f"operator {self.index} ({self.name}) does not write exactly one tensor")
        return self.graph.tensor(self.outputs[self.part])

    @property
    def element_type(self) -> ElementType:
        """Type of what it writes."""
        return ELEMENT_TYPE_OF_TENSOR[self.output.type]

    def refuse(self, reason: str) -> NoReturn:
        """Raises UsageError with the operator's name and place, and what is not supported of it."""
        self.graph.refuse(f"operator {self.index} ({self.name}), which writes '{self.output.name}': {reason}")

    def require(self, condition: bool, reason: str) -> None:
        """Refuses the operator where a condition does not hold."""
        if not condition:
            self.refuse(reason)
