"""The metadata entry `REDS`: what a device needs to run each subnetwork. docs/format.md describes it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from itertools import chain

import flatbuffers
import numpy as np
from numpy.typing import NDArray

from reds.arena import place, place_batch
from reds.compiled import (
    CompiledLayer,
    CompiledNetwork,
    CompiledStep,
    CompiledSubnetwork,
    ElementType,
)
from reds.errors import UsageError
from reds.graph import (
    Activation,
    ActivationFunction,
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
)
from reds.int16 import (
    INT16_MAXIMUM,
    INT16_MINIMUM,
    LARGEST_HIGH_BIAS,
    LARGEST_RESCALING_SHIFT,
    LARGEST_WIDE_SHIFT,
    channel_constants,
    range_word,
    softmax_factor,
    softmax_tables,
)
from reds.lookup import TABLED, lookup_table, requantization_table
from reds.overlapping import sharing
from reds.requantize import (
    INT8_MAXIMUM,
    INT8_MINIMUM,
    UINT8_BIAS,
    Quantization,
    Requantization,
    as_int8,
    mean_factor,
    product_factor,
    quantize_multiplier,
    requantization,
    slope_factors,
    softmax_scaling,
    sum_scaling,
)
from reds.resizing import nearest
from reds.schema import conventions
from reds.schema import reds_generated as schema
from reds.tensors import Placement, Tensors, lifetimes
from reds.windows import geometry

FILE_IDENTIFIER = b"REDS"

CRC_PLACEHOLDER = 0xFFFFFFFF
"""Stands where the checksum will be written; not zero, since FlatBuffers leaves out fields with default values."""

ELEMENT_TYPES = {ElementType.FLOAT32: 0, ElementType.INT8: 1, ElementType.INT16: 2}
PORT_TYPES = {np.dtype(np.float32): schema.PortType.Float32, np.dtype(np.uint8): schema.PortType.UInt8}
"""Of a port of another type than the plan's."""

ACTIVATIONS = {"none": 0, "relu": 1, "relu6": 2}
FUNCTIONS: Mapping[ActivationFunction, int] = {
    "relu": schema.Operation.Relu,
    "relu6": schema.Operation.Relu,
    "leaky_relu": schema.Operation.LeakyRelu,
    "sigmoid": schema.Operation.Logistic,
    "tanh": schema.Operation.Tanh,
    "hard_swish": schema.Operation.HardSwish,
    "softmax": schema.Operation.Softmax,
}
"""The operation that an activation function is where it is not fused into another."""

STEP_BYTES = 12
TENSOR_BYTES = 12
WORD_BYTES = 4
LARGEST_SHIFT = 30
"""Of a requantisation; libreds and TFLite Micro shift accumulators left by no more."""
LARGEST_PRODUCT_SHIFT = 15
"""Of the product of two int8 values, which has 16 bits, so that what is shifted has 31."""
LARGEST_MEAN_SHIFT = 23
"""Of a mean, with the bits of the number of values, so that a shifted sum of 8-bit differences has 31."""
LARGEST_UPSAMPLING = 40
"""From 41 on, TFLite Micro's single-precision positions are not always exact."""
LARGEST_ARENA = 0x7FFFFFFF
LARGEST_UINT32 = 0xFFFFFFFF
LARGEST_UINT16 = 0xFFFF
LARGEST_UINT8 = 0xFF


@dataclass(frozen=True)
class TargetCosts:
    """Instructions of one inference per subnetwork on one core."""

    name: str
    measured: bool
    """True when counted on the core, false when estimated from its cost table."""
    instructions: tuple[int, ...]


@dataclass(frozen=True)
class Measurements:
    """What is known of a network beside its structure."""

    accuracy: tuple[float | None, ...] | None = None
    """Per subnetwork the fraction of the test split that libreds answers right."""
    targets: tuple[TargetCosts, ...] = ()


def measurements_in(plan: schema.PlanT) -> Measurements:
    """What a plan knows of its subnetworks."""
    return Measurements(
        tuple(None if subnetwork.accuracy < 0 else float(subnetwork.accuracy) for subnetwork in plan.subnetworks),
        tuple(
            TargetCosts(text(target.name), bool(target.measured), tuple(int(count) for count in target.instructions))
            for target in plan.targets or ()
        ),
    )


@dataclass
class ConstantPool:
    """32-bit words that steps refer to; equal blocks are stored once."""

    words: list[NDArray[np.uint32]] = field(default_factory=list)
    size: int = 0
    _known: dict[bytes, int] = field(default_factory=dict)

    def add(self, *parts: NDArray) -> tuple[int, int]:
        """Appends parts, each padded to whole words.

        Returns:
            Index of the first word and number of words.
        """
        block = b"".join(_whole_words(part) for part in parts)
        count = len(block) // WORD_BYTES
        if not block:
            return 0, 0
        if block in self._known:
            return self._known[block], count
        start = self._known[block] = self.size
        self.words.append(np.frombuffer(block, "<u4"))
        self.size += count
        return start, count

    def array(self) -> NDArray[np.uint32]:
        """All words."""
        return np.concatenate(self.words) if self.words else np.zeros(0, np.uint32)


def _whole_words(part: NDArray) -> bytes:
    raw = np.ascontiguousarray(part).astype(part.dtype.newbyteorder("<")).tobytes()
    return raw + bytes(-len(raw) % WORD_BYTES)


def encode_plan(network: CompiledNetwork, weight_buffers: Mapping[int, int], measurements: Measurements) -> bytes:
    """Serialises the plan of a network, its checksum still to be written.

    Args:
        network: what to run.
        weight_buffers: TFLite buffer index of each weighted layer's full weights.
        measurements: accuracies and instruction counts where they are known.

    Returns:
        The bytes of the metadata entry.

    Raises:
        UsageError: if a size is larger than the format can hold.
    """
    for what, count, limit in (
        ("layers", len(network.layers), conventions.MAXIMUM_LAYERS),
        ("subnetworks", len(network.subnetworks), conventions.MAXIMUM_SUBNETWORKS),
    ):
        if count > limit:
            raise UsageError(f"The network has {count} {what}; the file format holds up to {limit}.")
    pool = ConstantPool()
    family = [_tensors_to_place(network, i) for i in range(len(network.subnetworks))]
    placements, input_at = place_batch(family, place(family), network.batch)
    plan = schema.PlanT()
    plan.formatMajor, plan.formatMinor = conventions.FORMAT_MAJOR, conventions.FORMAT_MINOR
    plan.crc32 = CRC_PLACEHOLDER
    plan.library = f"reds {version('reds')}"
    plan.elementType = ELEMENT_TYPES[network.element_type]
    for layer in network.layers:
        _check_limits(network, layer)
    plan.layers = [_layer(layer, weight_buffers.get(i, 0)) for i, layer in enumerate(network.layers)]
    plan.exits = [_exit(network, i) for i in range(len(network.exits))]
    plan.subnetworks = [_subnetwork(network, i, pool, placement) for i, placement in enumerate(placements)]
    plan.constants = pool.array()
    first, last = network.subnetworks[0].steps[0], network.subnetworks[0].steps[-1]
    plan.input = _port(network, network.input_shape, network.input_dtype, first.input_quantization)
    plan.output = _port(network, network.output_shape, network.output_dtype, last.output_quantization)
    plan.input.offset, plan.output.offset = input_at, placements[0].offsets[-1]
    _check_sizes(plan)
    apply_measurements(plan, measurements)
    return pack_plan(plan)


def _check_sizes(plan: schema.PlanT) -> None:
    for what, limit, count in (
        ("bytes of an arena", LARGEST_ARENA, max(subnetwork.arenaBytes for subnetwork in plan.subnetworks)),
        ("multiply-accumulates", LARGEST_UINT32, max(subnetwork.macs for subnetwork in plan.subnetworks)),
    ):
        if count > limit:
            raise UsageError(f"An inference of the network needs {count} {what}; the file format holds up to {limit}.")


def pack_plan(plan: schema.PlanT) -> bytes:
    """Serialises a plan object."""
    builder = flatbuffers.Builder(1024)
    builder.Finish(plan.Pack(builder), FILE_IDENTIFIER)
    return bytes(builder.Output())


def apply_measurements(plan: schema.PlanT, measurements: Measurements) -> None:
    """Writes accuracies and instruction counts into a plan and ranks its subnetworks anew."""
    if measurements.accuracy is not None:
        for subnetwork, accuracy in zip(plan.subnetworks, measurements.accuracy, strict=True):
            subnetwork.accuracy = -1.0 if accuracy is None else float(accuracy)
    by_name = {text(target.name): target for target in plan.targets or []}
    for costs in measurements.targets:
        by_name[costs.name] = _target(costs)
    plan.targets = list(by_name.values())
    plan.ranking = _ranking(plan)


def text(value: str | bytes) -> str:
    """A FlatBuffers string, whether it was just set or read from a file; what is no UTF-8 is replaced."""
    return value.decode(errors="replace") if isinstance(value, bytes) else value


def _target(costs: TargetCosts) -> schema.TargetT:
    target = schema.TargetT()
    target.name, target.measured = costs.name, costs.measured
    target.instructions = np.array(costs.instructions, np.uint32)
    return target


def _ranking(plan: schema.PlanT) -> list[schema.RankT]:
    """Subnetworks, most accurate first; all by MACs where an accuracy is unknown."""
    known = all(subnetwork.accuracy >= 0 for subnetwork in plan.subnetworks)

    def order(index: int) -> tuple[float, int]:
        subnetwork = plan.subnetworks[index]
        return (-subnetwork.accuracy, subnetwork.macs) if known else (-float(subnetwork.macs), 0)

    ranking = []
    for index in sorted(range(len(plan.subnetworks)), key=order):
        rank = schema.RankT()
        rank.macs, rank.arenaBytes = plan.subnetworks[index].macs, plan.subnetworks[index].arenaBytes
        rank.subnetwork = index
        ranking.append(rank)
    return ranking


def _layer(layer: CompiledLayer, buffer: int) -> schema.LayerT:
    result = schema.LayerT()
    result.weights = buffer
    result.inputHeight, result.inputWidth, result.inputChannels = _uint16(layer, layer.input_shape)
    result.outputHeight, result.outputWidth, result.outputChannels = _uint16(layer, layer.output_shape)
    window = geometry(layer)
    result.kernelHeight, result.kernelWidth = _uint16(layer, _kernel(layer))
    result.paddingTop, result.paddingLeft = _uint16(layer, _padding(layer))
    result.strideHeight, result.strideWidth = _uint8(layer, _strides(layer))
    result.dilationHeight, result.dilationWidth = _uint8(layer, window.dilation)
    result.operation = _operation(layer)
    result.activation = ACTIVATIONS[layer.activation]
    result.groups = layer.operation.groups if isinstance(layer.operation, Conv2D) else 1
    return result


def _uint16(layer: CompiledLayer, values: tuple[int, ...]) -> tuple[int, ...]:
    return _limited(layer, values, LARGEST_UINT16)


def _uint8(layer: CompiledLayer, values: tuple[int, ...]) -> tuple[int, ...]:
    return _limited(layer, values, LARGEST_UINT8)


def _check_limits(network: CompiledNetwork, layer: CompiledLayer) -> None:
    """Refuses what could overflow the device's 32-bit sums, or differ in TFLite Micro."""
    taps = 0
    if layer.weights is not None and not isinstance(layer.operation, Pair):
        taps = layer.weights.size // layer.output_shape[2]
    if isinstance(layer.operation, Pool2D | Mean):
        taps = math.prod(geometry(layer).kernel) * (2 if network.element_type is ElementType.INT16 else 1)
    if isinstance(layer.operation, Conv2DTranspose):
        taps *= 2  # What it sums has the zero point taken away, and so one bit more.
    if isinstance(layer.operation, BatchMatMul):
        taps = 4 * layer.operation.depth(layer.input_shape)  # Both have their zero points taken away.
    if taps > conventions.MAXIMUM_TAPS:
        limit = conventions.MAXIMUM_TAPS
        raise UsageError(f"Layer '{layer.name}' sums {taps} products for each output; libreds takes up to {limit}.")
    if isinstance(layer.operation, Upsample):
        _limited(layer, layer.operation.size, LARGEST_UPSAMPLING)
    if layer.is_softmax and layer.output_shape[2] > conventions.MAXIMUM_SOFTMAX_CHANNELS:
        limit = conventions.MAXIMUM_SOFTMAX_CHANNELS
        raise UsageError(f"Layer '{layer.name}' has {layer.output_shape[2]} classes; libreds takes up to {limit}.")


def _limited(layer: CompiledLayer, values: tuple[int, ...], limit: int) -> tuple[int, ...]:
    if max(values) > limit:
        raise UsageError(f"Layer '{layer.name}' has a size of {max(values)}; the file format holds up to {limit}.")
    return values


def _kernel(layer: CompiledLayer) -> tuple[int, int]:
    """The window's size; of an operation on two maps how many positions share one of the second, of a slice the
    channels before it as the width, of a transpose the dimensions that become rows and columns, and of products of
    matrices those of both that are summed over."""
    if isinstance(layer.operation, Crop | Slice):
        return (0, layer.operation.first if isinstance(layer.operation, Slice) else 0)
    if isinstance(layer.operation, Transpose):
        return layer.operation.order[:2]
    if isinstance(layer.operation, BatchMatMul):
        return (1 if layer.operation.transpose_first else 2, 2 if layer.operation.transpose_second else 1)
    if isinstance(layer.operation, Pair) and layer.operation.spread:
        return layer.input_shape[:2]
    return geometry(layer).kernel


def _strides(layer: CompiledLayer) -> tuple[int, int]:
    """The window's; 0 where the constants say which rows and columns are taken."""
    return (0, 0) if isinstance(layer.operation, Resize) else geometry(layer).strides


def _padding(layer: CompiledLayer) -> tuple[int, int]:
    """Rows above and columns left of a map; of a difference 1 as the height where its constant is the first."""
    if isinstance(layer.operation, Subtract):
        return (int(layer.operation.exchanged), 0)
    return geometry(layer).padding


def _operation(layer: CompiledLayer) -> int:
    operation = layer.operation
    if isinstance(operation, Conv2D):
        return int(schema.Operation.Conv2D)
    if isinstance(operation, DepthwiseConv2D):
        return int(schema.Operation.DepthwiseConv2D)
    if isinstance(operation, Dense):
        return int(schema.Operation.FullyConnected)
    if isinstance(operation, Pool2D):
        average = operation.kind == "average"
        return int(schema.Operation.AveragePool2D if average else schema.Operation.MaxPool2D)
    if isinstance(operation, Add):
        return int(schema.Operation.Add)
    if isinstance(operation, Mean):
        return int(schema.Operation.Mean)
    if isinstance(operation, PRelu):
        return int(schema.Operation.PRelu)
    if isinstance(operation, Crop | Slice):
        return int(schema.Operation.StridedSlice)
    if isinstance(operation, Conv2DTranspose):
        return int(schema.Operation.TransposeConv)
    if isinstance(operation, BatchMatMul):
        return int(schema.Operation.BatchMatMul)
    if isinstance(operation, Transpose):
        return int(schema.Operation.Transpose)
    if isinstance(operation, Upsample | Resize):
        return int(schema.Operation.ResizeNearestNeighbor)
    if isinstance(operation, Requantize):
        return int(schema.Operation.Requantize)
    if isinstance(operation, Quantize):
        return int(schema.Operation.Quantize)
    if isinstance(operation, Dequantize):
        return int(schema.Operation.Dequantize)
    if isinstance(operation, Subtract):
        return int(schema.Operation.Sub)
    if isinstance(operation, Multiply):
        return int(schema.Operation.Mul)
    if isinstance(operation, Concatenate):
        return int(schema.Operation.Concatenation)
    if isinstance(operation, Pad):
        return int(schema.Operation.Pad)
    return int(FUNCTIONS[operation.function])


def _exit(network: CompiledNetwork, index: int) -> schema.ExitT:
    result = schema.ExitT()
    result.name = network.exits[index].name
    result.tap = network.exits[index].tap
    result.threshold = network.exits[index].threshold
    result.subgraph = index
    return result


def _port(
    network: CompiledNetwork, shape: tuple[int, ...], dtype: np.dtype, quantization: Quantization | None
) -> schema.PortT:
    port = schema.PortT()
    port.shape = np.array((network.batch, *shape), np.uint32)
    port.bytes = math.prod(shape) * dtype.itemsize
    if dtype != network.element_type.dtype:
        port.type = PORT_TYPES[dtype]
    if quantization is not None:
        port.scale, port.zeroPoint = float(quantization.scale), quantization.zero_point
    return port


def _tensors_to_place(network: CompiledNetwork, index: int) -> Tensors:
    element_bytes = network.element_type.dtype.itemsize
    shared = tuple(
        sharing(network.layers[step.layer], step.input_channels, step.output_channels, element_bytes)
        for step in network.subnetworks[index].steps
    )
    lives = lifetimes(network.tensors_read(index), network.tensors_kept(index))
    return Tensors(tuple(network.tensor_sizes(index)), lives, shared)


def _subnetwork(network: CompiledNetwork, index: int, pool: ConstantPool, placement: Placement) -> schema.SubnetworkT:
    subnetwork = network.subnetworks[index]
    views = _Views(network, subnetwork)
    read = [
        tuple(
            views.tensor(source, area(network.layers[step.layer].read_map(position)))
            for position, source in enumerate(sources)
        )
        for step, sources in zip(subnetwork.steps, network.tensors_read(index), strict=True)
    ]
    constants = [
        pool.add(*_constants(network, step, tensors[1:])) for step, tensors in zip(subnetwork.steps, read, strict=True)
    ]
    result = schema.SubnetworkT()
    result.name, result.exit = subnetwork.name, subnetwork.exit
    result.widths = np.array(subnetwork.widths, np.uint16)
    result.steps = [
        _step(network, step, read[position][0], position + 1, start)
        for position, (step, (start, _)) in enumerate(zip(subnetwork.steps, constants, strict=True))
    ]
    result.tensors = views.add_to(_tensors(network, subnetwork, placement.offsets))
    result.macs = network.macs(index)
    result.parameters = network.parameters(index)
    result.flashBytes = _flash_bytes(network, subnetwork, sum(count for _, count in constants))
    result.arenaBytes = placement.arena_bytes
    result.accuracy = -1.0
    result.threshold = subnetwork.threshold
    return result


def _flash_bytes(network: CompiledNetwork, subnetwork: CompiledSubnetwork, words: int) -> int:
    """Bytes of the file that an inference reads: weights, constants, steps and tensors."""
    weights = sum(
        network.layers[step.layer].sliced_weights(step.input_channels, step.output_channels).nbytes
        for step in subnetwork.steps
        if network.layers[step.layer].weights is not None
    )
    steps = len(subnetwork.steps)
    return weights + words * WORD_BYTES + steps * STEP_BYTES + (steps + 1) * TENSOR_BYTES


class _Views:
    """The tensors of a subnetwork that are another shape of one: what reads a map of another area than was written."""

    def __init__(self, network: CompiledNetwork, subnetwork: CompiledSubnetwork) -> None:
        self._areas = [area(network.layers[subnetwork.steps[0].layer].input_shape)]
        self._areas += [area(network.layers[step.layer].output_shape) for step in subnetwork.steps]
        self._known: dict[tuple[int, int], int] = {}

    def tensor(self, source: int, read: int) -> int:
        """The tensor to read for `source` where as many positions are read."""
        if read == self._areas[source]:
            return source
        return self._known.setdefault((source, read), len(self._areas) + len(self._known))

    def add_to(self, tensors: list[schema.TensorT]) -> list[schema.TensorT]:
        """The written tensors and the views of them."""
        return tensors + [self._view(tensors[source], source, read) for source, read in self._known]

    def _view(self, tensor: schema.TensorT, source: int, read: int) -> schema.TensorT:
        view = schema.TensorT()
        view.offset, view.scale, view.zeroPoint = tensor.offset, tensor.scale, tensor.zeroPoint
        view.channels = tensor.channels * self._areas[source] // read
        return view


def area(shape: tuple[int, ...]) -> int:
    """Positions of a map (height, width, ...)."""
    return shape[0] * shape[1]


def _tensors(network: CompiledNetwork, subnetwork: CompiledSubnetwork, offsets: Sequence[int]) -> list[schema.TensorT]:
    first = subnetwork.steps[0]
    pairs = [(first.input_channels, first.input_quantization)] + [
        (step.output_channels, step.output_quantization) for step in subnetwork.steps
    ]
    # What a port of another type means stands with the port alone.
    if network.input_dtype != network.element_type.dtype:
        pairs[0] = (first.input_channels, None)
    if network.output_dtype != network.element_type.dtype:
        pairs[-1] = (subnetwork.steps[-1].output_channels, None)
    return [
        _tensor(offset, channels, quantization) for offset, (channels, quantization) in zip(offsets, pairs, strict=True)
    ]


def _tensor(offset: int, channels: int, quantization: Quantization | None) -> schema.TensorT:
    tensor = schema.TensorT()
    tensor.offset, tensor.channels = offset, channels
    if quantization is not None:
        tensor.scale, tensor.zeroPoint = float(quantization.scale), quantization.zero_point
    return tensor


def _step(network: CompiledNetwork, step: CompiledStep, source: int, target: int, constants: int) -> schema.StepT:
    result = schema.StepT()
    result.constants, result.layer = constants, step.layer
    result.input, result.output = source, target
    result.activationMinimum, result.activationMaximum = INT8_MINIMUM, INT8_MAXIMUM
    if network.element_type is not ElementType.INT16:
        minimum, maximum = activation_range(network.layers[step.layer], step.output_quantization)
        result.activationMinimum, result.activationMaximum = minimum, maximum
    return result


def activation_range(
    layer: CompiledLayer, quantization: Quantization | None, limits: tuple[int, int] = (INT8_MINIMUM, INT8_MAXIMUM)
) -> tuple[int, int]:
    """Smallest and largest output of an operation with its activation (as TFLite Micro derives them)."""
    minimum, maximum = limits
    if quantization is None:
        return limits
    function = layer.activation
    if isinstance(layer.operation, Activation):
        function = layer.operation.function
    if function in ("relu", "relu6"):
        minimum = max(minimum, quantization.zero_point)
    if function == "relu6":
        six = math.floor(float(np.float32(6.0) / quantization.scale) + 0.5)
        maximum = min(maximum, quantization.zero_point + six)
    return minimum, maximum


def _constants(network: CompiledNetwork, step: CompiledStep, further: Sequence[int]) -> list[NDArray]:
    """A step's constants; `further` are the tensors that it reads beside the first."""
    layer = network.layers[step.layer]
    if network.element_type is ElementType.INT16:
        return _int16_constants(layer, step, further)
    if isinstance(layer.operation, Activation):
        return _activation_constants(layer.operation, step)
    if isinstance(layer.operation, Concatenate):
        return [np.array([len(further), *further], np.uint32)]
    if isinstance(layer.operation, Resize):
        return _nearest_constants(layer, layer.operation)
    if network.element_type is ElementType.FLOAT32:
        return _float_constants(step, further)
    if isinstance(layer.operation, Pair):
        second = further if layer.operand is None else [layer.operand.zero_point]
        return [np.array(second, np.int32), _pair_constants(layer, step)]
    if isinstance(layer.operation, BatchMatMul):
        return [np.array(further, np.uint32), _matrix_constants(layer, step)]
    if isinstance(layer.operation, Mean):
        return [_mean_constants(layer, step)]
    if isinstance(layer.operation, PRelu):
        return [_slope_constants(layer, step)]
    if isinstance(layer.operation, Requantize | Quantize | Dequantize):
        return _conversion_constants(layer.operation, step)
    return [] if step.bias is None else _channel_constants(layer, step)


def _nearest_constants(layer: CompiledLayer, resize: Resize) -> list[NDArray]:
    return [
        nearest(source, target, resize.align_corners, resize.half_pixel_centers)
        for source, target in zip(layer.input_shape[:2], layer.output_shape[:2], strict=True)
    ]


def _int16_constants(layer: CompiledLayer, step: CompiledStep, further: Sequence[int]) -> list[NDArray]:
    source, target = step.input_quantization, step.output_quantization
    limits = range_word(*activation_range(layer, target, (INT16_MINIMUM, INT16_MAXIMUM)))
    match layer.operation:
        case Conv2D() | DepthwiseConv2D() | Dense():
            return _int16_channel_constants(layer, step, limits)
        case Pool2D():
            return [limits]
        case Add():
            assert target is not None
            scales = (*(quantization.scale for quantization in step.input_quantizations), target.scale)
            scaling = sum_scaling(*scales, left_shift=conventions.SUM_LEFT_SHIFT_INT16)
            _check_shift(layer, scaling.factors[-1][1], 0, conventions.SUM_LEFT_SHIFT_INT16 - 1)
            words = [*further, scaling.left_shift, *chain.from_iterable(scaling.factors)]
            return [np.array(words, np.int32), limits]
        case Concatenate():
            return [np.array([len(further), *further], np.uint32)]
        case Resize():
            return _nearest_constants(layer, layer.operation)
        case Activation(function="softmax"):
            assert source is not None
            multiplier, shift = softmax_factor(source.scale)
            _check_shift(layer, shift, LARGEST_RESCALING_SHIFT, LARGEST_RESCALING_SHIFT)
            return [np.array([multiplier, shift], np.int32), *softmax_tables()]
        case Requantize() | Activation(function="relu"):
            assert source is not None and target is not None
            factor = quantize_multiplier(float(source.scale) / float(target.scale))
            _check_shift(layer, factor[1], LARGEST_RESCALING_SHIFT, LARGEST_RESCALING_SHIFT)
            return [limits, np.array(factor, np.int32)]
        case Mean():
            assert source is not None and target is not None
            count = math.prod(layer.input_shape[:2])
            factor = mean_factor(source.scale, target.scale, count)
            _check_shift(layer, factor[1], LARGEST_RESCALING_SHIFT - count.bit_length(), LARGEST_RESCALING_SHIFT)
            return [limits, np.array(factor, np.int32)]
        case _:
            return []


def _int16_channel_constants(layer: CompiledLayer, step: CompiledStep, limits: NDArray[np.int16]) -> list[NDArray]:
    assert step.bias is not None
    bias: NDArray = step.bias
    is_wide = bias.dtype == np.int64
    if is_wide and int(np.abs(bias >> 32).max()) > LARGEST_HIGH_BIAS:
        raise UsageError(f"Layer '{layer.name}' has a bias of more than 46 bits, which libreds does not take.")
    numbers = _requantization(layer, step, LARGEST_WIDE_SHIFT if is_wide else LARGEST_SHIFT)
    return channel_constants(limits, bias, numbers)


def _conversion_constants(operation: Requantize | Quantize | Dequantize, step: CompiledStep) -> list[NDArray]:
    """A table, but for what is real on one side."""
    source, target = step.input_quantization, step.output_quantization
    if source is None or target is None:
        return []
    if isinstance(operation, Quantize):
        return [np.roll(requantization_table(as_int8(source), target), UINT8_BIAS)]
    if isinstance(operation, Dequantize):
        return [requantization_table(source, as_int8(target)) ^ np.int8(INT8_MINIMUM)]
    return [requantization_table(source, target)]


def _float_constants(step: CompiledStep, further: Sequence[int]) -> list[NDArray]:
    if step.bias is None:
        return [np.array(further, np.uint32)]
    assert step.weight_scales is not None
    return [step.bias, step.weight_scales]


def _pair_constants(layer: CompiledLayer, step: CompiledStep) -> NDArray[np.int32]:
    assert step.output_quantization is not None
    first, second = (source.scale for source in layer.operand_quantizations(step.input_quantizations))
    output = step.output_quantization.scale
    if isinstance(layer.operation, Multiply):
        multiplier, shift = product_factor(first, second, output)
        _check_shift(layer, shift, LARGEST_PRODUCT_SHIFT, LARGEST_PRODUCT_SHIFT)
        return np.array([multiplier, shift], np.int32)
    scaling = sum_scaling(first, second, output)
    _check_shift(layer, scaling.factors[-1][1], 0, conventions.SUM_LEFT_SHIFT - 1)
    return np.array([scaling.left_shift, *chain.from_iterable(scaling.factors)], np.int32)


def _matrix_constants(layer: CompiledLayer, step: CompiledStep) -> NDArray[np.int32]:
    assert step.output_quantization is not None
    first, second = (source.scale for source in step.input_quantizations)
    numbers = requantization(first, np.array([second]), step.output_quantization.scale, fully_connected=True)
    _check_shift(layer, int(numbers.shifts[0]), LARGEST_SHIFT, LARGEST_SHIFT)
    return np.array([numbers.multipliers[0], numbers.shifts[0]], np.int32)


def _mean_constants(layer: CompiledLayer, step: CompiledStep) -> NDArray[np.int32]:
    assert step.input_quantization is not None and step.output_quantization is not None
    count = math.prod(layer.input_shape[:2])
    multiplier, shift = mean_factor(step.input_quantization.scale, step.output_quantization.scale, count)
    _check_shift(layer, shift, LARGEST_MEAN_SHIFT - count.bit_length(), LARGEST_MEAN_SHIFT)
    return np.array([multiplier, shift], np.int32)


def _slope_constants(layer: CompiledLayer, step: CompiledStep) -> NDArray[np.int32]:
    assert step.input_quantization is not None and step.output_quantization is not None
    assert step.weight_scales is not None
    positive, negative = slope_factors(
        step.input_quantization.scale, step.weight_scales[0], step.output_quantization.scale
    )
    _check_shift(layer, positive[1], LARGEST_MEAN_SHIFT, LARGEST_MEAN_SHIFT)
    _check_shift(layer, negative[1], LARGEST_PRODUCT_SHIFT, LARGEST_PRODUCT_SHIFT)
    return np.array([*positive, *negative], np.int32)


def _channel_constants(layer: CompiledLayer, step: CompiledStep) -> list[NDArray]:
    assert step.bias is not None
    numbers = _requantization(layer, step, LARGEST_SHIFT)
    bias = step.bias - zero_point_term(layer, step).astype(np.int32)
    shifts = numbers.shifts.astype(np.int8)
    return [bias, np.broadcast_to(numbers.multipliers, bias.shape), np.broadcast_to(shifts, bias.shape)]


def _requantization(layer: CompiledLayer, step: CompiledStep, largest_shift: int) -> Requantization:
    assert step.input_quantization is not None and step.output_quantization is not None
    assert step.weight_scales is not None
    numbers = requantization(
        step.input_quantization.scale,
        step.weight_scales,
        step.output_quantization.scale,
        isinstance(layer.operation, Dense | MapDense),
    )
    _check_shift(layer, max(numbers.shifts, default=0), largest_shift, largest_shift)
    return numbers


def _check_shift(layer: CompiledLayer, shift: int, largest: int, exponent: int) -> None:
    if shift > largest:
        raise UsageError(
            f"Layer '{layer.name}' shrinks its values by more than its arithmetic can: its inputs are up to "
            f"2**{exponent} times larger than its outputs. Scale the network's inputs to a magnitude near one."
        )


def _activation_constants(activation: Activation, step: CompiledStep) -> list[NDArray]:
    source, target = step.input_quantization, step.output_quantization
    if source is None or target is None:
        return [np.array([activation.slope], np.float32)] if activation.function == "leaky_relu" else []
    if activation.function in TABLED or (activation.function == "relu" and source != target):
        return [lookup_table(activation, source, target)]
    if activation.function == "softmax":
        scaling = softmax_scaling(source.scale)
        return [np.array([scaling.multiplier, scaling.left_shift, scaling.minimum_difference], np.int32)]
    return []


def zero_point_term(layer: CompiledLayer, step: CompiledStep) -> NDArray[np.int64]:
    """Per output channel the input zero point times the sum of the active weights, folded into the device's bias.

    Nothing is folded into that of a transposed convolution, whose outputs sum different numbers of taps.
    """
    assert step.input_quantization is not None
    if isinstance(layer.operation, Conv2DTranspose):
        return np.zeros(step.output_channels, np.int64)
    weights = layer.sliced_weights(step.input_channels, step.output_channels).astype(np.int64)
    axes = (0, 1, 2) if isinstance(layer.operation, DepthwiseConv2D) else tuple(range(1, weights.ndim))
    return np.asarray(weights.sum(axis=axes) * step.input_quantization.zero_point)
