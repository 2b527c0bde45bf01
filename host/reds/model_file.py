"""Reads a .tflite file with its metadata entry `REDS` back into the compiled network."""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as tflite
from numpy.typing import NDArray

from reds.compiled import (
    CompiledExit,
    CompiledLayer,
    CompiledNetwork,
    CompiledStep,
    CompiledSubnetwork,
    ElementType,
    Sources,
    common_sources,
    stand_ins_of,
)
from reds.errors import UsageError
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
    DeviceOperation,
    MapDense,
    Mean,
    Multiply,
    Pad,
    Padding,
    Pair,
    Pool2D,
    PortType,
    PRelu,
    Quantize,
    Requantize,
    Resize,
    Slice,
    Subtract,
    Transpose,
    Upsample,
)
from reds.plan import ACTIVATIONS, ELEMENT_TYPES, FUNCTIONS, text, zero_point_term
from reds.requantize import Quantization, Requantization, recover_weight_scales
from reds.schema import conventions
from reds.schema import reds_generated as schema

TFLITE_IDENTIFIER = b"TFL3"
PAIRS: Mapping[int, type[Add] | type[Subtract] | type[Multiply]] = {
    schema.Operation.Add: Add,
    schema.Operation.Sub: Subtract,
    schema.Operation.Mul: Multiply,
}
"""Operations on two maps; their constants begin with the second one's tensor where that is not constant."""

RESHAPING = (
    tflite.BuiltinOperator.RESHAPE,
    tflite.BuiltinOperator.SQUEEZE,
    tflite.BuiltinOperator.EXPAND_DIMS,
)
"""The operators that copy a tensor's elements as they are."""

RESHAPING_ALONE = (tflite.BuiltinOperator.PACK, tflite.BuiltinOperator.UNPACK)
"""The operators that do so where they join, or take apart, no more than one tensor."""


def keeps_order(shape: Sequence[int], permutation: Sequence[int]) -> bool:
    """Whether a TRANSPOSE leaves all elements in their order, since only dimensions of one change places.

    Args:
        shape: of its input.
        permutation: per dimension of the output the one of the input.
    """
    moved = [axis for axis in permutation if shape[axis] > 1]
    return moved == sorted(moved)


ELEMENT_TYPE_OF_TENSOR = {
    tflite.TensorType.FLOAT32: ElementType.FLOAT32,
    tflite.TensorType.INT8: ElementType.INT8,
    tflite.TensorType.INT16: ElementType.INT16,
}

ACTIVATION_TYPES = (*ELEMENT_TYPE_OF_TENSOR, tflite.TensorType.UINT8)
"""TFLite types of activations, those of a converted input or output among them."""

PORT_TYPE_NAMES: Mapping[int, PortType] = {schema.PortType.Float32: "float32", schema.PortType.UInt8: "uint8"}
"""Of a port of another type than the plan's."""

CRC_BYTES = 4
CRC_FIELD = 8
"""FlatBuffers slot of `crc32`, the third field of `Plan`: 4 + 2 * 2."""


@dataclass(frozen=True)
class ModelFile:
    """A model with its plan."""

    content: bytes
    model: tflite.ModelT
    plan: schema.PlanT
    source: str
    """Name of the file, for messages."""


@dataclass(frozen=True)
class ForeignModel:
    """A model that another tool made."""

    content: bytes
    model: tflite.ModelT
    source: str
    """Name of the file, for messages."""


def read_foreign_model(source: Path | str | bytes) -> ForeignModel:
    """Reads a TFLite model without a plan.

    Args:
        source: path of a .tflite file, or its bytes.

    Returns:
        The model; of its one subgraph nothing is checked.

    Raises:
        UsageError: if there is no such file, or it is not a whole TFLite model of one subgraph, or it has a plan.
    """
    name, content = _content(source)
    try:
        root = tflite.Model.GetRootAs(content, 0)
        if _plan_entry(content) is not None:
            raise UsageError(f"'{name}' has the metadata entry '{conventions.METADATA_NAME}' already; use it as it is.")
        if root.SubgraphsLength() != 1:
            raise UsageError(
                f"'{name}' cannot be adopted: it has {root.SubgraphsLength()} subgraphs; convert a model without "
                "control flow and with one signature."
            )
        model = tflite.ModelT.InitFromPackedBuf(content)
        if any(buffer.offset for buffer in model.buffers):
            raise UsageError(f"'{name}' cannot be adopted: it keeps its weights behind the model, as huge models do.")
    except UsageError:
        raise
    except Exception as error:  # the generated readers raise whatever the damaged bytes lead them to
        raise UsageError(f"'{name}' is damaged: it ends or points outside itself. Convert it again.") from error
    return ForeignModel(content, model, name)


def read_model_file(source: Path | str | bytes) -> ModelFile:
    """Reads and checks a file that `emit` wrote.

    Args:
        source: path of a .tflite file, or its bytes.

    Returns:
        The model and its plan.

    Raises:
        UsageError: if there is no such file, or it is not a TFLite model with an intact `REDS` entry.
    """
    name, content = _content(source)
    try:
        entry = _plan_entry(content)
        if entry is None:
            raise UsageError(
                f"'{name}' is a TFLite model without the metadata entry '{conventions.METADATA_NAME}'. "
                "`reds emit`, `reds prune` and `reds demo` write files with one; `reds adopt` gives a model one."
            )
        if checksum(content) != stored_checksum(content):
            raise UsageError(f"'{name}' was changed or cut short after it was written. Emit it again.")
        model = tflite.ModelT.InitFromPackedBuf(content)
        plan = schema.PlanT.InitFromObj(schema.Plan.GetRootAs(bytes(model.buffers[entry.Buffer()].data), 0))
    except UsageError:
        raise
    except Exception as error:  # the generated readers raise whatever the damaged bytes lead them to
        raise UsageError(f"'{name}' is damaged: it ends or points outside itself. Emit it again.") from error
    if plan.formatMajor != conventions.FORMAT_MAJOR:
        raise UsageError(
            f"'{name}' has format version {plan.formatMajor}; this release reads version {conventions.FORMAT_MAJOR}."
        )
    return ModelFile(content, model, plan, name)


def _content(source: Path | str | bytes) -> tuple[str, bytes]:
    """The name for messages and the bytes of a TFLite model."""
    name = "model" if isinstance(source, bytes) else str(source)
    content = source if isinstance(source, bytes) else _read(Path(source))
    if content[4:8] != TFLITE_IDENTIFIER:
        raise UsageError(f"'{name}' is not a TFLite model. Make one with `reds prune`.")
    return name, content


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"Cannot read '{path}': {error.strerror}.") from error


def _plan_entry(content: bytes) -> tflite.Metadata | None:
    """The metadata entry that names the plan's buffer."""
    root = tflite.Model.GetRootAs(content, 0)
    entries = (root.Metadata(index) for index in range(root.MetadataLength()))
    return next((entry for entry in entries if entry.Name() == conventions.METADATA_NAME.encode()), None)


def _checksum_position(content: bytes) -> int:
    """Offset in the file of the plan's four checksum bytes."""
    entry = _plan_entry(content)
    if entry is None:
        raise ValueError("the model has no plan")
    table = tflite.Model.GetRootAs(content, 0).Buffers(entry.Buffer())._tab
    start = table.Vector(table.Offset(4))
    plan = schema.Plan.GetRootAs(content, start)
    return int(plan._tab.Pos + plan._tab.Offset(CRC_FIELD))


def checksum(content: bytes) -> int:
    """CRC-32 of a file with the plan's checksum bytes taken as zero."""
    position = _checksum_position(content)
    crc = zlib.crc32(content[:position])
    crc = zlib.crc32(bytes(CRC_BYTES), crc)
    return zlib.crc32(content[position + CRC_BYTES :], crc)


def stored_checksum(content: bytes) -> int:
    """The checksum that a file carries."""
    position = _checksum_position(content)
    return int.from_bytes(content[position : position + CRC_BYTES], "little")


def with_checksum(content: bytes) -> bytes:
    """The file with its checksum written."""
    position = _checksum_position(content)
    crc = checksum(content).to_bytes(CRC_BYTES, "little")
    return content[:position] + crc + content[position + CRC_BYTES :]


def decode(file: ModelFile) -> CompiledNetwork:
    """Rebuilds the compiled network from a file, to extract subnetworks from it.

    Args:
        file: what `read_model_file` gave.

    Returns:
        The network as it was before it was written.
    """
    plan = file.plan
    element_type = {code: kind for kind, code in ELEMENT_TYPES.items()}[plan.elementType]
    sources = [_sources(plan, subnetwork) for subnetwork in plan.subnetworks]
    common = common_sources(sources)
    layers = _decode_layers(file, element_type, common)
    return CompiledNetwork(
        name=text(file.model.description or ""),
        element_type=element_type,
        input_shape=tuple(int(size) for size in plan.input.shape[1:]),
        output_shape=tuple(int(size) for size in plan.output.shape[1:]),
        layers=layers,
        exits=tuple(CompiledExit(text(exit.name), exit.tap, exit.threshold) for exit in plan.exits),
        subnetworks=tuple(
            _decode_subnetwork(plan, layers, element_type, subnetwork, stand_ins_of(own, common))
            for subnetwork, own in zip(plan.subnetworks, sources, strict=True)
        ),
        batch=int(plan.input.shape[0]),
    )


def _decode_layers(file: ModelFile, element_type: ElementType, inputs: Sources) -> tuple[CompiledLayer, ...]:
    operators = _layer_operators(file.model)
    exits = _layer_exits(file.plan)
    return tuple(
        CompiledLayer(
            name=operators[i].name,
            operation=_decode_operation(file.plan, layer, operators[i].options),
            activation={code: name for name, code in ACTIVATIONS.items()}[layer.activation],
            inputs=inputs[i],
            input_shape=(layer.inputHeight, layer.inputWidth, layer.inputChannels),
            output_shape=(layer.outputHeight, layer.outputWidth, layer.outputChannels),
            subgraph=exits[i],
            weights=_decode_weights(file.model, layer, element_type),
            operand=_decode_operand(layer, operators[i].inputs),
        )
        for i, layer in enumerate(file.plan.layers)
    )


@dataclass(frozen=True)
class _LayerOperator:
    """What only the TFLite operator of a layer knows."""

    name: str
    options: Any
    inputs: tuple[tflite.TensorT, ...]


def _layer_operators(model: tflite.ModelT) -> list[_LayerOperator]:
    """Layers are in the order of the subgraphs' operators, and of what these write."""
    return [
        _LayerOperator(
            text(subgraph.tensors[output].name),
            operator.builtinOptions,
            tuple(subgraph.tensors[tensor] for tensor in operator.inputs),
        )
        for subgraph in model.subgraphs
        for operator in subgraph.operators
        if is_layer(model, subgraph, operator)
        for output in operator.outputs
    ]


def builtin_code(model: tflite.ModelT, operator: tflite.OperatorT) -> int:
    """Which builtin operator it is; files from before there were more than 127 of them have only the older field."""
    code = model.operatorCodes[operator.opcodeIndex]
    return int(max(code.builtinCode, code.deprecatedBuiltinCode))


def is_layer(model: tflite.ModelT, subgraph: tflite.SubGraphT, operator: tflite.OperatorT) -> bool:
    """Whether an operator computes activations: not what gives a tensor another shape, or computes with shapes."""
    computes = subgraph.tensors[operator.outputs[0]].type in ACTIVATION_TYPES
    return computes and not _is_reshaping(model, subgraph, operator)


def _is_reshaping(model: tflite.ModelT, subgraph: tflite.SubGraphT, operator: tflite.OperatorT) -> bool:
    code = builtin_code(model, operator)
    if code in RESHAPING_ALONE:
        return len(operator.inputs) == len(operator.outputs) == 1
    if code != tflite.BuiltinOperator.TRANSPOSE:
        return code in RESHAPING
    source, permutation = (subgraph.tensors[tensor] for tensor in operator.inputs)
    data = np.asarray(model.buffers[permutation.buffer].data, np.uint8)
    return keeps_order(list(source.shape), list(np.frombuffer(data.tobytes(), "<i4")))


def _layer_exits(plan: schema.PlanT) -> dict[int, int]:
    """Per layer 0, or the exit whose head it belongs to."""
    last = plan.exits[0].tap
    exits = dict.fromkeys(range(last + 1), 0)
    for subnetwork in plan.subnetworks:
        exits.update({step.layer: subnetwork.exit for step in subnetwork.steps if step.layer > last})
    return exits


def _sources(plan: schema.PlanT, subnetwork: schema.SubnetworkT) -> Sources:
    """What the layers of a subnetwork take."""
    sources: dict[int, tuple[int, ...]] = {}
    written = {step.output for step in subnetwork.steps}
    writers, last_at = {0: INPUT}, {subnetwork.tensors[0].offset: INPUT}
    for step in subnetwork.steps:
        read = _tensors_read(plan, step)
        views = {tensor: last_at[subnetwork.tensors[tensor].offset] for tensor in read if tensor not in written}
        sources[step.layer] = tuple((views | writers)[tensor] for tensor in read)
        writers[step.output] = last_at[subnetwork.tensors[step.output].offset] = step.layer
    return sources


def _tensors_read(plan: schema.PlanT, step: schema.StepT) -> list[int]:
    """The tensors that a step reads: `input`, and for operations with more the ones in its constants."""
    layer = plan.layers[step.layer]
    operation = layer.operation
    further: list[int] = []
    if (operation in PAIRS and layer.weights == 0) or operation == schema.Operation.BatchMatMul:
        further = [int(plan.constants[step.constants])]
    if operation == schema.Operation.Concatenation:
        first = step.constants + 1
        further = [int(tensor) for tensor in plan.constants[first : first + plan.constants[step.constants]]]
    return [step.input, *further]


def _decode_operation(plan: schema.PlanT, layer: schema.LayerT, options: Any) -> DeviceOperation:
    kernel = (layer.kernelHeight, layer.kernelWidth)
    strides = (layer.strideHeight, layer.strideWidth)
    if layer.operation == schema.Operation.ResizeNearestNeighbor:
        size = (layer.outputHeight, layer.outputWidth)
        return Upsample(strides) if min(strides) else Resize(size, options.alignCorners, options.halfPixelCenters)
    dilation = (layer.dilationHeight, layer.dilationWidth)
    valid = all(
        output == (size - (k - 1) * d - 1) // s + 1
        for size, output, k, s, d in zip(
            (layer.inputHeight, layer.inputWidth),
            (layer.outputHeight, layer.outputWidth),
            kernel,
            strides,
            dilation,
            strict=True,
        )
    )
    padding: Padding = "valid" if valid else "same"
    if layer.operation == schema.Operation.Conv2D and isinstance(options, tflite.FullyConnectedOptionsT):
        return MapDense(kernel)
    if layer.operation == schema.Operation.Conv2D:
        return Conv2D(kernel, strides, padding, dilation, _groups(layer))
    if layer.operation == schema.Operation.DepthwiseConv2D:
        return DepthwiseConv2D(kernel, strides, padding, dilation)
    if layer.operation == schema.Operation.FullyConnected:
        return Dense()
    if layer.operation == schema.Operation.AveragePool2D:
        return Pool2D("average", kernel, strides, padding)
    if layer.operation == schema.Operation.MaxPool2D:
        return Pool2D("max", kernel, strides, padding)
    if layer.operation == schema.Operation.Sub:
        return Subtract(spread=kernel != (1, 1), exchanged=layer.paddingTop > 0)
    if layer.operation in PAIRS:
        return PAIRS[layer.operation](spread=kernel != (1, 1))
    if layer.operation == schema.Operation.Mean:
        return Mean()
    if layer.operation == schema.Operation.PRelu:
        return PRelu()
    if layer.operation == schema.Operation.StridedSlice:
        return _decode_slice(layer)
    if layer.operation == schema.Operation.BatchMatMul:
        return BatchMatMul(transpose_first=kernel[0] == 1, transpose_second=kernel[1] == 2)
    if layer.operation == schema.Operation.Transpose:
        return Transpose((*kernel, len(kernel) + 1 - sum(kernel)))
    if layer.operation == schema.Operation.TransposeConv:
        return Conv2DTranspose(kernel, strides, _transposed_padding(layer))
    if layer.operation == schema.Operation.Requantize:
        return Requantize()
    if layer.operation == schema.Operation.Quantize:
        return Quantize(PORT_TYPE_NAMES[plan.input.type])
    if layer.operation == schema.Operation.Dequantize:
        return Dequantize(PORT_TYPE_NAMES[plan.output.type])
    if layer.operation == schema.Operation.Concatenation:
        return Concatenate()
    if layer.operation == schema.Operation.Pad:
        top, left = layer.paddingTop, layer.paddingLeft
        bottom = layer.outputHeight - layer.inputHeight - top
        return Pad((top, bottom), (left, layer.outputWidth - layer.inputWidth - left))
    return _decode_activation(layer, options)


def _transposed_padding(layer: schema.LayerT) -> Padding:
    """Where a window without padding covers the whole output, "same" would be the same."""
    covered = (
        (layer.inputHeight - 1) * layer.strideHeight + max(layer.kernelHeight, layer.strideHeight),
        (layer.inputWidth - 1) * layer.strideWidth + max(layer.kernelWidth, layer.strideWidth),
    )
    return "valid" if covered == (layer.outputHeight, layer.outputWidth) else "same"


def _decode_slice(layer: schema.LayerT) -> Crop | Slice:
    if layer.inputChannels != layer.outputChannels:
        return Slice(layer.kernelWidth)
    top, left = layer.paddingTop, layer.paddingLeft
    bottom = layer.inputHeight - layer.outputHeight - top
    return Crop((top, bottom), (left, layer.inputWidth - layer.outputWidth - left))


def _decode_activation(layer: schema.LayerT, options: Any) -> Activation:
    if layer.operation == schema.Operation.Relu:
        return Activation("relu6" if layer.activation == ACTIVATIONS["relu6"] else "relu")
    function = next(name for name, operation in FUNCTIONS.items() if operation == layer.operation)
    return Activation(function, options.alpha if function == "leaky_relu" else 0.0)


def _decode_weights(model: tflite.ModelT, layer: schema.LayerT, element_type: ElementType) -> NDArray | None:
    if layer.weights == 0:
        return None
    flat = np.frombuffer(bytes(model.buffers[layer.weights].data), element_type.weights_dtype)
    kernel = (layer.kernelHeight, layer.kernelWidth)
    if layer.operation == schema.Operation.PRelu or (layer.operation in PAIRS and kernel != (1, 1)):
        return flat
    if layer.operation in PAIRS:
        whole = (layer.inputHeight, layer.inputWidth, layer.inputChannels)
        return flat.reshape(whole) if flat.size > 1 else flat
    if layer.operation == schema.Operation.FullyConnected:
        return flat.reshape(layer.outputChannels, layer.inputChannels)
    if layer.operation == schema.Operation.DepthwiseConv2D:
        return flat.reshape(1, *kernel, layer.outputChannels)
    return flat.reshape(layer.outputChannels, *kernel, layer.inputChannels // _groups(layer))


def _decode_operand(layer: schema.LayerT, inputs: tuple[tflite.TensorT, ...]) -> Quantization | None:
    """Quantisation of the constant operand of a pair; None in float32."""
    if layer.operation not in PAIRS or layer.weights == 0:
        return None
    parameters = next(tensor.quantization for tensor in inputs if tensor.buffer == layer.weights)
    if parameters is None or parameters.scale is None or not len(parameters.scale):
        return None
    return Quantization(np.float32(parameters.scale[0]), int(parameters.zeroPoint[0]))


def _groups(layer: schema.LayerT) -> int:
    """Groups of a convolution; files of format 1.0 have none and a zero in their place."""
    return max(layer.groups, 1)


def _decode_subnetwork(
    plan: schema.PlanT,
    layers: tuple[CompiledLayer, ...],
    element_type: ElementType,
    subnetwork: schema.SubnetworkT,
    stand_ins: Mapping[int, int],
) -> CompiledSubnetwork:
    return CompiledSubnetwork(
        name=text(subnetwork.name),
        exit=subnetwork.exit,
        widths=tuple(int(width) for width in subnetwork.widths),
        steps=tuple(
            _decode_step(plan, layers[step.layer], element_type, subnetwork.tensors, step) for step in subnetwork.steps
        ),
        stand_ins=stand_ins,
        threshold=subnetwork.threshold,
    )


def _decode_step(
    plan: schema.PlanT,
    layer: CompiledLayer,
    element_type: ElementType,
    tensors: list[schema.TensorT],
    step: schema.StepT,
) -> CompiledStep:
    source, target = tensors[step.input], tensors[step.output]
    if element_type is ElementType.FLOAT32:
        scales = bias = None
        if layer.weights is not None and not isinstance(layer.operation, PRelu | Pair):
            bias = _words(plan, step.constants, target.channels, np.dtype("<f4"))
            scales = _words(plan, step.constants + target.channels, target.channels, np.dtype("<f4"))
        return CompiledStep(step.layer, source.channels, target.channels, (), None, scales, bias)
    return _decode_quantized_step(plan, layer, element_type, tensors, step)


def _decode_quantized_step(
    plan: schema.PlanT,
    layer: CompiledLayer,
    element_type: ElementType,
    tensors: list[schema.TensorT],
    step: schema.StepT,
) -> CompiledStep:
    sources = tuple(_quantization(tensors[tensor]) for tensor in _tensors_read(plan, step))
    target = _quantization(tensors[step.output])
    inputs, channels = tensors[step.input].channels, tensors[step.output].channels
    if isinstance(layer.operation, Quantize):
        from_bytes = (_quantization(plan.input),) if layer.operation.source == "uint8" else ()
        return CompiledStep(step.layer, inputs, channels, from_bytes, target, None, None)
    if isinstance(layer.operation, Dequantize):
        to_bytes = _quantization(plan.output) if layer.operation.target == "uint8" else None
        return CompiledStep(step.layer, inputs, channels, sources, to_bytes, None, None)
    without_weights = CompiledStep(step.layer, inputs, channels, sources, target, None, None)
    if layer.weights is None or isinstance(layer.operation, Pair):
        return without_weights
    if isinstance(layer.operation, PRelu):
        multiplier, shift = _words(plan, step.constants + 2, 2, np.dtype("<i4"))
        factor = Requantization(np.array([multiplier], np.int32), np.array([shift], np.int8))
        return replace(without_weights, weight_scales=recover_weight_scales(sources[0].scale, factor, target.scale))
    if element_type is ElementType.INT16:
        bias, numbers = _int16_channel_constants(plan, step.constants, channels)
    else:
        folded = _words(plan, step.constants, channels, np.dtype("<i4"))
        bias = (folded + zero_point_term(layer, without_weights)).astype(np.int32)
        numbers = _channel_numbers(plan, step.constants + channels, channels)
    return replace(without_weights, weight_scales=_weight_scales(layer, sources[0], numbers, target), bias=bias)


def _channel_numbers(plan: schema.PlanT, start: int, channels: int) -> Requantization:
    multipliers = _words(plan, start, channels, np.dtype("<i4"))
    shifts = _words(plan, start + channels, (channels + 3) // 4, np.dtype("i1"))[:channels]
    return Requantization(multipliers, shifts.astype(np.int32))


def _int16_channel_constants(plan: schema.PlanT, start: int, channels: int) -> tuple[NDArray, Requantization]:
    """Bias, multipliers and shifts; behind the range stands whether the sums and the bias have 64 bits."""
    is_wide = bool(plan.constants[start + 1])
    bias = _words(plan, start + 2, channels, np.dtype("<i4"))
    start += 2 + channels
    if is_wide:
        bias = (_words(plan, start, channels, np.dtype("<i4")).astype(np.int64) << 32) | bias.view(np.uint32)
        start += channels
    return bias, _channel_numbers(plan, start, channels)


def _weight_scales(
    layer: CompiledLayer, source: Quantization, numbers: Requantization, target: Quantization
) -> NDArray[np.float32]:
    """Those of a fully connected layer with equal numbers may have come from one scale for all its channels."""
    if not isinstance(layer.operation, Dense | MapDense):
        return recover_weight_scales(source.scale, numbers, target.scale)
    first = Requantization(numbers.multipliers[:1], numbers.shifts[:1])
    if np.all(numbers.multipliers == first.multipliers) and np.all(numbers.shifts == first.shifts):
        try:
            return recover_weight_scales(source.scale, first, target.scale, fully_connected=True)
        except ValueError:
            pass
    return recover_weight_scales(source.scale, numbers, target.scale, fully_connected=True)


def _quantization(tensor: schema.TensorT | schema.PortT) -> Quantization:
    return Quantization(np.float32(tensor.scale), tensor.zeroPoint)


def _words(plan: schema.PlanT, start: int, count: int, dtype: np.dtype) -> NDArray:
    words = np.asarray(plan.constants[start : start + count], "<u4")
    return np.frombuffer(words.tobytes(), dtype)
