"""Standard TFLite subgraphs: what any interpreter runs."""

import io
import math
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as tflite
from numpy.typing import NDArray

from reds.compiled import CompiledLayer, CompiledNetwork, CompiledStep, CompiledSubnetwork, ElementType
from reds.graph import (
    INPUT,
    Activation,
    Add,
    BatchMatMul,
    Concatenate,
    Conv2D,
    Conv2DTranspose,
    Crop,
    Dense,
    DepthwiseConv2D,
    Dequantize,
    MapDense,
    Mean,
    Multiply,
    Pad,
    Pair,
    Pool2D,
    PRelu,
    Quantize,
    Requantize,
    Resize,
    Slice,
    Subtract,
    Transpose,
    Upsample,
    as_map,
)
from reds.requantize import Quantization
from reds.schema import conventions
from reds.truncating import head_steps

SCHEMA_VERSION = 3
FILE_IDENTIFIER = b"TFL3"

_TENSOR_TYPES: Mapping[np.dtype, int] = {
    np.dtype(np.float32): tflite.TensorType.FLOAT32,
    np.dtype(np.int8): tflite.TensorType.INT8,
    np.dtype(np.uint8): tflite.TensorType.UINT8,
    np.dtype(np.int16): tflite.TensorType.INT16,
    np.dtype(np.int32): tflite.TensorType.INT32,
    np.dtype(np.int64): tflite.TensorType.INT64,
}
_DTYPES: Mapping[int, np.dtype] = {code: dtype for dtype, code in _TENSOR_TYPES.items()}

_FUSED_ACTIVATIONS = {
    "none": tflite.ActivationFunctionType.NONE,
    "relu": tflite.ActivationFunctionType.RELU,
    "relu6": tflite.ActivationFunctionType.RELU6,
}

# Versions of the builtin operators whose int8 form the TFLite converter also writes.
_OPERATOR_VERSIONS = {
    tflite.BuiltinOperator.CONV_2D: 3,
    tflite.BuiltinOperator.DEPTHWISE_CONV_2D: 3,
    tflite.BuiltinOperator.FULLY_CONNECTED: 4,
    tflite.BuiltinOperator.AVERAGE_POOL_2D: 2,
    tflite.BuiltinOperator.MAX_POOL_2D: 2,
    tflite.BuiltinOperator.SOFTMAX: 2,
    tflite.BuiltinOperator.RELU: 2,
    tflite.BuiltinOperator.RELU6: 2,
    tflite.BuiltinOperator.LEAKY_RELU: 2,
    tflite.BuiltinOperator.LOGISTIC: 2,
    tflite.BuiltinOperator.TANH: 2,
    tflite.BuiltinOperator.HARD_SWISH: 1,
    tflite.BuiltinOperator.PAD: 2,
    tflite.BuiltinOperator.RESHAPE: 1,
    tflite.BuiltinOperator.ADD: 2,
    tflite.BuiltinOperator.CONCATENATION: 2,
    tflite.BuiltinOperator.SUB: 2,
    tflite.BuiltinOperator.MEAN: 2,
    tflite.BuiltinOperator.PRELU: 1,
    tflite.BuiltinOperator.STRIDED_SLICE: 2,
    tflite.BuiltinOperator.TRANSPOSE_CONV: 3,
    tflite.BuiltinOperator.RESIZE_NEAREST_NEIGHBOR: 3,
    tflite.BuiltinOperator.QUANTIZE: 1,
    tflite.BuiltinOperator.DEQUANTIZE: 2,
    tflite.BuiltinOperator.MUL: 2,
    tflite.BuiltinOperator.TRANSPOSE: 2,
    tflite.BuiltinOperator.BATCH_MATMUL: 2,
}

_GROUPED_CONVOLUTION_VERSION = 6
_CLAMPED_TRANSPOSED_CONVOLUTION_VERSION = 4


_ON_MAPS = (
    Conv2D,
    DepthwiseConv2D,
    Conv2DTranspose,
    Pool2D,
    Pad,
    Mean,
    Upsample,
    Resize,
    Crop,
    Slice,
    Transpose,
    BatchMatMul,
)
"""Operations that need maps, with height and width."""


_CONVERTING = Requantize | Quantize | Dequantize


class AlignedBuffer(tflite.BufferT):
    """A buffer whose data starts at a multiple of the alignment that the TFLite schema asks for."""

    def Pack(self, builder: flatbuffers.Builder) -> int:  # noqa: N802 - overrides generated code
        """Writes the buffer; empty buffers stay without data."""
        if self.data is None:
            return super().Pack(builder)
        content = np.ascontiguousarray(self.data, np.uint8).tobytes()
        builder.StartVector(1, len(content), conventions.ARENA_ALIGNMENT)
        builder.head = builder.head - len(content)
        builder.Bytes[builder.head : builder.head + len(content)] = content
        vector = builder.EndVector()
        tflite.BufferStart(builder)
        tflite.BufferAddData(builder, vector)
        return tflite.BufferEnd(builder)


class SharingBuilder(flatbuffers.Builder):
    """Writes vectors that are alike once, such as the zero points of all layers of the same size: an eighth of a file.

    The content of buffers is not shared.
    """

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self._written: dict[tuple[str, bytes], int] = {}

    def CreateNumpyVector(self, x: NDArray) -> int:  # noqa: N802 - overrides the library
        """Writes a vector, or finds the one that is there; returns its offset."""
        key = (x.dtype.str, x.tobytes())
        if key not in self._written:
            self._written[key] = super().CreateNumpyVector(x)
        return self._written[key]


@dataclass
class ModelBuilder:
    """Collects buffers, operator codes and subgraphs of one model."""

    description: str
    buffers: list[AlignedBuffer] = field(default_factory=lambda: [AlignedBuffer()])
    operator_codes: list[tflite.OperatorCodeT] = field(default_factory=list)
    subgraphs: list[tflite.SubGraphT] = field(default_factory=list)
    metadata: list[tflite.MetadataT] = field(default_factory=list)

    def add_buffer(self, content: NDArray | bytes) -> int:
        """Adds constant data; returns its index."""
        buffer = AlignedBuffer()
        raw = content if isinstance(content, bytes) else np.ascontiguousarray(content).tobytes()
        buffer.data = np.frombuffer(raw, np.uint8)
        self.buffers.append(buffer)
        return len(self.buffers) - 1

    def add_metadata(self, name: str, content: bytes) -> None:
        """Adds a metadata entry."""
        entry = tflite.MetadataT()
        entry.name, entry.buffer = name, self.add_buffer(content)
        self.metadata.append(entry)

    def operator_code(self, builtin: int, version: int) -> int:
        """Index of an operator code, added when it is new."""
        for index, code in enumerate(self.operator_codes):
            if (code.builtinCode, code.version) == (builtin, version):
                return index
        code = tflite.OperatorCodeT()
        code.builtinCode = code.deprecatedBuiltinCode = builtin
        code.version = version
        self.operator_codes.append(code)
        return len(self.operator_codes) - 1

    def encode(self) -> bytes:
        """The model's bytes."""
        model = tflite.ModelT()
        model.version = SCHEMA_VERSION
        model.description = self.description
        model.buffers = self.buffers
        model.operatorCodes = self.operator_codes
        model.subgraphs = self.subgraphs
        model.metadata = self.metadata or None
        return pack(model)


def pack(model: tflite.ModelT) -> bytes:
    """Serialises a model with its file identifier."""
    builder = SharingBuilder(1024)
    builder.Finish(model.Pack(builder), FILE_IDENTIFIER)
    return bytes(builder.Output())


def pack_again(model: tflite.ModelT, content: bytes) -> bytes:
    """Serialises a model that was read from a file and changed.

    Args:
        model: what was read; its buffers are replaced by aligned ones.
        content: the file's bytes. A ZIP archive behind the model, where TFLite Metadata keeps label files, is kept.
    """
    for index, buffer in enumerate(model.buffers):
        aligned = AlignedBuffer()
        aligned.data = buffer.data
        model.buffers[index] = aligned
    return pack(model) + _archive(content)


def _archive(content: bytes) -> bytes:
    """The ZIP archive at the end of a file; empty where there is none."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return content[min((entry.header_offset for entry in archive.infolist()), default=len(content)) :]
    except (zipfile.BadZipFile, ValueError, NotImplementedError):
        return b""


class SubgraphBuilder:
    """Appends the steps of one subgraph to a model, with the weights sliced to the steps' channels."""

    def __init__(
        self, model: ModelBuilder, network: CompiledNetwork, name: str, stand_ins: Mapping[int, int] | None = None
    ) -> None:
        self._model = model
        self._network = network
        self._stand_ins = stand_ins or {}
        self._subgraph = tflite.SubGraphT()
        self._subgraph.name = name
        self._subgraph.tensors = []
        self._subgraph.operators = []
        self.weight_buffers: dict[int, int] = {}
        """Buffer index of each weighted layer's weights, where a step has all of them."""
        self.outputs: dict[int, int] = {}
        """Tensor with the output of each layer, and with the network's input for INPUT."""

    def add_activation(
        self, name: str, shape: Sequence[int], dtype: np.dtype, quantization: Quantization | None
    ) -> int:
        """Adds an activation tensor; returns its index."""
        return self._add_tensor(name, shape, dtype, 0, _activation_parameters(quantization))

    def add_step(self, step: CompiledStep) -> int:
        """Appends the operation of a step; returns the tensor that it writes."""
        layer = self._network.layers[step.layer]
        inputs = self._sources(layer, step)
        batch_shape = self._output_shape(inputs[0], layer, step)
        if isinstance(layer.operation, PRelu):
            inputs.append(self._add_slopes(layer, step, len(batch_shape) - 2))
        elif layer.weights is not None and isinstance(layer.operation, Pair):
            inputs.append(self._add_operand(layer, step))
        elif layer.weights is not None:
            inputs += self._add_constants(layer, step)
        if isinstance(layer.operation, Conv2DTranspose):
            source, weights, bias = inputs
            shape = self._add_int32(f"{layer.name}/shape", np.array(batch_shape, np.int32))
            inputs = [shape, weights, source, bias]
        if isinstance(layer.operation, Pad):
            inputs.append(self._add_int32(f"{layer.name}/paddings", paddings(layer.operation)))
        if isinstance(layer.operation, Mean):
            inputs.append(self._add_int32(f"{layer.name}/axes", np.array([1, 2], np.int32)))
        if isinstance(layer.operation, Crop | Slice):
            begin = slice_begin(layer.operation)
            for name, values in (("begin", begin), ("end", begin + batch_shape), ("strides", np.ones_like(begin))):
                inputs.append(self._add_int32(f"{layer.name}/{name}", values.astype(np.int32)))
        if isinstance(layer.operation, Upsample | Resize):
            inputs.append(self._add_int32(f"{layer.name}/size", np.array(layer.output_shape[:2], np.int32)))
        if isinstance(layer.operation, Transpose):
            order = np.array([0, *(1 + dimension for dimension in layer.operation.order)], np.int32)
            inputs.append(self._add_int32(f"{layer.name}/order", order))
        if isinstance(layer.operation, Subtract) and layer.operation.exchanged:
            inputs.reverse()
        target = self.add_activation(layer.name, batch_shape, self._output_dtype(layer), step.output_quantization)
        builtin, options_type, options = _operator(layer)
        if self._network.element_type is ElementType.INT16:
            _set_int16(options, step)
        self._add_operator(builtin, inputs, target, options_type, options, _version(builtin, layer))
        self.outputs[step.layer] = target
        return target

    def _output_dtype(self, layer: CompiledLayer) -> np.dtype:
        is_converted = isinstance(layer.operation, Dequantize)
        return self._network.output_dtype if is_converted else self._network.element_type.dtype

    def _sources(self, layer: CompiledLayer, step: CompiledStep) -> list[int]:
        """The tensors that a step reads: vectors, or maps of the height and width that the layer reads."""
        sources = [self.outputs[self._stand_ins.get(source, source)] for source in layer.inputs]
        if isinstance(layer.operation, MapDense):
            return [self._as_vector(sources[0], f"{layer.name}/vector", step.input_quantization)]
        on_maps = isinstance(layer.operation, _ON_MAPS)
        are_vectors = all(len(self.shape(source)) == 2 for source in sources)
        if are_vectors and layer.input_shape[:2] == (1, 1) and not on_maps:
            return sources
        quantizations = step.input_quantizations or (None,) * len(sources)
        return [
            self._as_map(source, f"{layer.name}/map{index}", layer.read_map(index), quantization)
            for index, (source, quantization) in enumerate(zip(sources, quantizations, strict=True))
        ]

    def _as_map(self, source: int, name: str, read: tuple[int, int], quantization: Quantization | None) -> int:
        """A tensor as a map of the height and width that are read."""
        height, width = read
        channels = math.prod(self.shape(source)[1:]) // (height * width)
        shape = (self._network.batch, height, width, channels)
        return source if self.shape(source) == shape else self.add_reshape(source, name, shape, quantization)

    def _as_vector(self, source: int, name: str, quantization: Quantization | None) -> int:
        """A tensor as a vector."""
        batch, *sizes = self.shape(source)
        return self.add_reshape(source, name, (batch, math.prod(sizes)), quantization)

    def add_reshape(self, source: int, name: str, shape: Sequence[int], quantization: Quantization | None) -> int:
        """Appends a reshape; returns the tensor that it writes."""
        dtype = _DTYPES[self._subgraph.tensors[source].type]
        target = self.add_activation(name, shape, dtype, quantization)
        new_shape = np.array(shape, np.int32)
        shape_tensor = self._add_int32(f"{name}/shape", new_shape)
        options = tflite.ReshapeOptionsT()
        options.newShape = new_shape
        self._add_operator(
            tflite.BuiltinOperator.RESHAPE,
            [source, shape_tensor],
            target,
            tflite.BuiltinOptions.ReshapeOptions,
            options,
            _OPERATOR_VERSIONS[tflite.BuiltinOperator.RESHAPE],
        )
        return target

    def finish(self, source: int, target: int) -> None:
        """Names the subgraph's input and output and adds it to the model."""
        self._subgraph.inputs = np.array([source], np.int32)
        self._subgraph.outputs = np.array([target], np.int32)
        self._model.subgraphs.append(self._subgraph)

    def shape(self, tensor: int) -> tuple[int, ...]:
        """Shape of a tensor, with the batch."""
        return tuple(int(size) for size in self._subgraph.tensors[tensor].shape)

    def _output_shape(self, source: int, layer: CompiledLayer, step: CompiledStep) -> tuple[int, ...]:
        height, width, _ = layer.output_shape
        elementwise = isinstance(layer.operation, Activation | Pair | Concatenate | PRelu | _CONVERTING)
        is_vector = (isinstance(layer.operation, Dense | MapDense) and (height, width) == (1, 1)) or (
            elementwise and len(self.shape(source)) == 2
        )
        shape = (step.output_channels,) if is_vector else (height, width, step.output_channels)
        return (self._network.batch, *shape)

    def _add_constants(self, layer: CompiledLayer, step: CompiledStep) -> list[int]:
        assert step.bias is not None
        assert step.weight_scales is not None
        weights = layer.sliced_weights(step.input_channels, step.output_channels)
        axis = 3 if isinstance(layer.operation, DepthwiseConv2D) else 0
        weight_parameters = bias_parameters = None
        if self._network.element_type is not ElementType.FLOAT32:
            assert step.input_quantization is not None
            weight_parameters = _symmetric_parameters(step.weight_scales, axis)
            bias_parameters = _symmetric_parameters(step.weight_scales * step.input_quantization.scale, 0)
        else:
            narrow = replace(layer, weights=weights)
            weights = narrow.scaled_weights(step.weight_scales)
        buffer = self._add_weights(layer, step, weights)
        if isinstance(layer.operation, MapDense):
            weights = weights.reshape(len(weights), -1)
        bias = self._model.add_buffer(step.bias)
        return [
            self._add_tensor(f"{layer.name}/weights", weights.shape, weights.dtype, buffer, weight_parameters),
            self._add_tensor(f"{layer.name}/bias", step.bias.shape, step.bias.dtype, bias, bias_parameters),
        ]

    def _add_weights(self, layer: CompiledLayer, step: CompiledStep, weights: NDArray) -> int:
        """Adds the weights of a step; returns their buffer, which is the layer's where they are all that it has."""
        assert layer.weights is not None
        buffer = self._model.add_buffer(weights)
        if weights.shape == layer.weights.shape:
            self.weight_buffers[step.layer] = buffer
        return buffer

    def _add_slopes(self, layer: CompiledLayer, step: CompiledStep, leading: int) -> int:
        """Adds the slopes of a PReLU, with so many dimensions of one before the channels; returns their tensor."""
        slopes = layer.sliced_weights(step.input_channels, step.output_channels)
        parameters = None if step.weight_scales is None else _symmetric_parameters(step.weight_scales, 0)
        buffer = self._add_weights(layer, step, slopes)
        shape = (*(1,) * leading, len(slopes))
        return self._add_tensor(f"{layer.name}/slopes", shape, slopes.dtype, buffer, parameters)

    def _add_operand(self, layer: CompiledLayer, step: CompiledStep) -> int:
        """Adds the constant second operand of a pair; returns its tensor."""
        values = layer.sliced_weights(step.input_channels, step.output_channels)
        buffer = self.weight_buffers[step.layer] = self._model.add_buffer(values)
        parameters = _activation_parameters(layer.operand)
        return self._add_tensor(f"{layer.name}/operand", values.shape, values.dtype, buffer, parameters)

    def _add_int32(self, name: str, values: NDArray[np.int32]) -> int:
        """Adds a constant tensor of integers, such as a shape; returns its index."""
        return self._add_tensor(name, values.shape, values.dtype, self._model.add_buffer(values), None)

    def _add_tensor(
        self,
        name: str,
        shape: Sequence[int],
        dtype: np.dtype,
        buffer: int,
        quantization: tflite.QuantizationParametersT | None,
    ) -> int:
        tensor = tflite.TensorT()
        tensor.name, tensor.shape, tensor.buffer = name, np.array(shape, np.int32), buffer
        tensor.type, tensor.quantization = _TENSOR_TYPES[dtype], quantization
        self._subgraph.tensors.append(tensor)
        return len(self._subgraph.tensors) - 1

    def _add_operator(
        self, builtin: int, inputs: Sequence[int], target: int, options_type: int, options: object, version: int
    ) -> None:
        operator = tflite.OperatorT()
        operator.opcodeIndex = self._model.operator_code(builtin, version)
        operator.inputs, operator.outputs = np.array(inputs, np.int32), np.array([target], np.int32)
        operator.builtinOptionsType, operator.builtinOptions = options_type, options
        self._subgraph.operators.append(operator)


def add_network(model: ModelBuilder, network: CompiledNetwork, subnetwork: CompiledSubnetwork) -> dict[int, int]:
    """Adds a subgraph that runs all steps of a subnetwork from the network's input to its output.

    Returns:
        The buffer index of each weighted layer's weights, where the subnetwork has all of them.
    """
    subgraph = SubgraphBuilder(model, network, "main", subnetwork.stand_ins)
    source = subgraph.add_activation(
        "input", (network.batch, *network.input_shape), network.input_dtype, subnetwork.steps[0].input_quantization
    )
    input_map = network.layers[subnetwork.steps[0].layer].input_shape
    tensor = source
    if len(network.input_shape) == 2 or input_map != as_map(network.input_shape):
        map_shape = (network.batch, *input_map)
        tensor = subgraph.add_reshape(source, "input/map", map_shape, subnetwork.steps[0].input_quantization)
    subgraph.outputs[INPUT] = tensor
    for step in subnetwork.steps:
        tensor = subgraph.add_step(step)
    output_shape = (network.batch, *network.output_shape)
    if subgraph.shape(tensor) != output_shape:
        tensor = subgraph.add_reshape(tensor, "output", output_shape, subnetwork.steps[-1].output_quantization)
    subgraph.finish(source, tensor)
    return subgraph.weight_buffers


def add_exit_head(model: ModelBuilder, network: CompiledNetwork, subnetwork: CompiledSubnetwork) -> dict[int, int]:
    """Adds a subgraph that runs the steps of a subnetwork's exit head, from the tapped map to the output.

    Returns:
        The buffer index of each weighted layer's weights, where the subnetwork has all of them.
    """
    steps = head_steps(network, subnetwork)
    subgraph = SubgraphBuilder(model, network, network.exits[subnetwork.exit].name)
    height, width, _ = network.layers[steps[0].layer].input_shape
    dtype = network.element_type.dtype
    source = subgraph.add_activation(
        "tap", (network.batch, height, width, steps[0].input_channels), dtype, steps[0].input_quantization
    )
    tensor = subgraph.outputs[network.exits[subnetwork.exit].tap] = source
    for step in steps:
        tensor = subgraph.add_step(step)
    subgraph.finish(source, tensor)
    return subgraph.weight_buffers


def _activation_parameters(quantization: Quantization | None) -> tflite.QuantizationParametersT | None:
    if quantization is None:
        return None
    return _parameters(np.array([quantization.scale]), np.array([quantization.zero_point]), 0)


def _symmetric_parameters(scales: NDArray[np.float32], axis: int) -> tflite.QuantizationParametersT:
    return _parameters(scales, np.zeros(len(scales)), axis)


def _parameters(scales: NDArray, zero_points: NDArray, axis: int) -> tflite.QuantizationParametersT:
    parameters = tflite.QuantizationParametersT()
    parameters.scale = scales.astype(np.float32)
    parameters.zeroPoint = zero_points.astype(np.int64)
    parameters.quantizedDimension = axis
    return parameters


def _set_int16(options: object, step: CompiledStep) -> None:
    """What only LiteRT asks for, where activations are int16."""
    if isinstance(options, tflite.AddOptionsT):
        options.potScaleInt16 = False
    if isinstance(options, tflite.Conv2DOptionsT | tflite.FullyConnectedOptionsT):
        assert step.bias is not None
        options.quantizedBiasType = _TENSOR_TYPES[step.bias.dtype]


def _version(builtin: int, layer: CompiledLayer) -> int:
    """Version of a layer's operator."""
    if isinstance(layer.operation, Conv2D) and layer.operation.groups > 1:
        return _GROUPED_CONVOLUTION_VERSION
    if isinstance(layer.operation, Conv2DTranspose) and layer.activation != "none":
        return _CLAMPED_TRANSPOSED_CONVOLUTION_VERSION
    return _OPERATOR_VERSIONS[builtin]


def _operator(layer: CompiledLayer) -> tuple[int, int, object]:
    """Builtin operator, options type and options of a layer."""
    builtin, options_type = tflite.BuiltinOperator, tflite.BuiltinOptions
    operation = layer.operation
    activation = _FUSED_ACTIVATIONS[layer.activation]
    if isinstance(operation, Dense | MapDense):
        dense = tflite.FullyConnectedOptionsT()
        dense.fusedActivationFunction = activation
        dense.keepNumDims = layer.output_shape[:2] != (1, 1)
        return builtin.FULLY_CONNECTED, options_type.FullyConnectedOptions, dense
    if isinstance(operation, Conv2D):
        convolution = tflite.Conv2DOptionsT()
        _set_window(convolution, operation)
        convolution.dilationHFactor, convolution.dilationWFactor = operation.dilation
        convolution.fusedActivationFunction = activation
        return builtin.CONV_2D, options_type.Conv2DOptions, convolution
    if isinstance(operation, DepthwiseConv2D):
        depthwise = tflite.DepthwiseConv2DOptionsT()
        _set_window(depthwise, operation)
        depthwise.dilationHFactor, depthwise.dilationWFactor = operation.dilation
        depthwise.depthMultiplier = layer.output_shape[2] // layer.input_shape[2]
        depthwise.fusedActivationFunction = activation
        return builtin.DEPTHWISE_CONV_2D, options_type.DepthwiseConv2DOptions, depthwise
    if isinstance(operation, Pool2D):
        pool = tflite.Pool2DOptionsT()
        _set_window(pool, operation)
        pool.filterHeight, pool.filterWidth = operation.pool_size
        pool.fusedActivationFunction = activation
        kind = builtin.AVERAGE_POOL_2D if operation.kind == "average" else builtin.MAX_POOL_2D
        return kind, options_type.Pool2DOptions, pool
    if isinstance(operation, Add):
        add = tflite.AddOptionsT()
        add.fusedActivationFunction = activation
        return builtin.ADD, options_type.AddOptions, add
    if isinstance(operation, Subtract):
        difference = tflite.SubOptionsT()
        difference.fusedActivationFunction = activation
        return builtin.SUB, options_type.SubOptions, difference
    if isinstance(operation, Multiply):
        product = tflite.MulOptionsT()
        product.fusedActivationFunction = activation
        return builtin.MUL, options_type.MulOptions, product
    if isinstance(operation, Concatenate):
        concatenation = tflite.ConcatenationOptionsT()
        concatenation.axis = -1
        return builtin.CONCATENATION, options_type.ConcatenationOptions, concatenation
    if isinstance(operation, Dequantize) and operation.target == "float32":
        return builtin.DEQUANTIZE, options_type.DequantizeOptions, tflite.DequantizeOptionsT()
    if isinstance(operation, _CONVERTING):
        return builtin.QUANTIZE, options_type.QuantizeOptions, tflite.QuantizeOptionsT()
    if isinstance(operation, Upsample):
        resize = tflite.ResizeNearestNeighborOptionsT()
        resize.halfPixelCenters = True
        return builtin.RESIZE_NEAREST_NEIGHBOR, options_type.ResizeNearestNeighborOptions, resize
    if isinstance(operation, Resize):
        resize = tflite.ResizeNearestNeighborOptionsT()
        resize.alignCorners, resize.halfPixelCenters = operation.align_corners, operation.half_pixel_centers
        return builtin.RESIZE_NEAREST_NEIGHBOR, options_type.ResizeNearestNeighborOptions, resize
    if isinstance(operation, Conv2DTranspose):
        transposed = tflite.TransposeConvOptionsT()
        _set_window(transposed, operation)
        transposed.fusedActivationFunction = activation
        return builtin.TRANSPOSE_CONV, options_type.TransposeConvOptions, transposed
    if isinstance(operation, Crop | Slice):
        return builtin.STRIDED_SLICE, options_type.StridedSliceOptions, tflite.StridedSliceOptionsT()
    if isinstance(operation, BatchMatMul):
        matrices = tflite.BatchMatMulOptionsT()
        matrices.adjX, matrices.adjY = operation.transpose_first, operation.transpose_second
        return builtin.BATCH_MATMUL, options_type.BatchMatMulOptions, matrices
    if isinstance(operation, Transpose):
        return builtin.TRANSPOSE, options_type.TransposeOptions, tflite.TransposeOptionsT()
    if isinstance(operation, PRelu):
        return builtin.PRELU, options_type.NONE, None
    if isinstance(operation, Mean):
        mean = tflite.ReducerOptionsT()
        mean.keepDims = True
        return builtin.MEAN, options_type.ReducerOptions, mean
    if isinstance(operation, Pad):
        return builtin.PAD, options_type.PadOptions, tflite.PadOptionsT()
    return _activation_operator(operation)


def _activation_operator(activation: Activation) -> tuple[int, int, object]:
    builtin, options_type = tflite.BuiltinOperator, tflite.BuiltinOptions
    match activation.function:
        case "relu":
            return builtin.RELU, options_type.NONE, None
        case "relu6":
            return builtin.RELU6, options_type.NONE, None
        case "leaky_relu":
            leaky = tflite.LeakyReluOptionsT()
            leaky.alpha = activation.slope
            return builtin.LEAKY_RELU, options_type.LeakyReluOptions, leaky
        case "sigmoid":
            return builtin.LOGISTIC, options_type.NONE, None
        case "tanh":
            return builtin.TANH, options_type.NONE, None
        case "hard_swish":
            return builtin.HARD_SWISH, options_type.HardSwishOptions, tflite.HardSwishOptionsT()
        case "softmax":
            softmax = tflite.SoftmaxOptionsT()
            softmax.beta = 1.0
            return builtin.SOFTMAX, options_type.SoftmaxOptions, softmax


def paddings(pad: Pad) -> NDArray[np.int32]:
    """Rows of (before, after) for the batch, the height, the width and the channels."""
    return np.array([(0, 0), pad.rows, pad.columns, (0, 0)], np.int32)


def slice_begin(operation: Crop | Slice) -> NDArray[np.int32]:
    """The first element that stays in the batch, the height, the width and the channels."""
    if isinstance(operation, Slice):
        return np.array([0, 0, 0, operation.first], np.int32)
    return np.array([0, operation.rows[0], operation.columns[0], 0], np.int32)


def _set_window(
    options: tflite.Conv2DOptionsT
    | tflite.DepthwiseConv2DOptionsT
    | tflite.Pool2DOptionsT
    | tflite.TransposeConvOptionsT,
    operation: Conv2D | DepthwiseConv2D | Pool2D | Conv2DTranspose,
) -> None:
    options.strideH, options.strideW = operation.strides
    options.padding = tflite.Padding.SAME if operation.padding == "same" else tflite.Padding.VALID
