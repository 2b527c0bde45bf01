"""The TFLite operators that libreds runs, and how each is read: the one table of `reds adopt`."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import dropwhile, pairwise
from typing import Literal, TypeAlias

import numpy as np
from ai_edge_litert import schema_py_generated as tflite
from numpy.typing import NDArray

from reds import int16
from reds.adopting.tflite_graph import OperatorSite, TfliteTensor
from reds.compiled import ElementType
from reds.graph import (
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
    Mean,
    Multiply,
    Pad,
    Padding,
    Pool2D,
    PRelu,
    Quantize,
    Requantize,
    Resize,
    Shape,
    Slice,
    Subtract,
    Transpose,
    Upsample,
)
from reds.lookup import LARGEST_GAINS, SIGMOID_OUTPUT, TANH_OUTPUT
from reds.plan import LARGEST_UPSAMPLING
from reds.requantize import Quantization
from reds.schema import conventions

SOFTMAX_OUTPUT = Quantization(np.float32(conventions.SOFTMAX_OUTPUT_SCALE), conventions.SOFTMAX_OUTPUT_ZERO_POINT)

SMALLEST_EXPONENTIAL_SCALE = 2.0**-26
"""TFLite Micro's fixed-point exponentials need an int8 input of a larger scale."""

_LARGEST_REQUANTIZATION = LARGEST_GAINS["leaky_relu"]
_LARGEST_GAINS = {**LARGEST_GAINS, "relu": _LARGEST_REQUANTIZATION}


@dataclass(frozen=True)
class Weights:
    """What a weighted operator multiplies with and adds."""

    values: NDArray
    """In TFLite's layout: OHWI, depthwise 1HWC, fully connected OI, slopes C, a constant operand 1, C or HWC."""
    buffer: int
    """Index of the TFLite buffer that holds them."""
    scales: NDArray[np.float32] | None
    """None for slopes in float32, and for a constant operand."""
    bias: NDArray | None
    """None for slopes and a constant operand."""
    operand: Quantization | None = None
    """Of a constant operand in int8."""


@dataclass(frozen=True)
class ReadOperator:
    """An operator in the words of a compiled network."""

    operation: DeviceOperation
    inputs: tuple[int, ...]
    """The tensors that it reads, in order."""
    input_shape: Shape
    """Of its first input, as it reads it."""
    output_shape: Shape
    activation: str = "none"
    weights: Weights | None = None


@dataclass(frozen=True)
class SupportedOperator:
    """One line of the table."""

    read: Callable[[OperatorSite], ReadOperator]
    needs: str = ""
    """What must hold for it, beside constant weights and known shapes."""
    in_int16: bool = False
    """Whether libreds also runs it on int16 activations."""


FUSED_ACTIVATIONS = {
    tflite.ActivationFunctionType.NONE: "none",
    tflite.ActivationFunctionType.RELU: "relu",
    tflite.ActivationFunctionType.RELU6: "relu6",
}

FUSED_NEEDS = "a fused activation of none, relu, relu6"


def _fused_activation(site: OperatorSite, code: int) -> str:
    if code not in FUSED_ACTIVATIONS:
        names = {value: name for name, value in vars(tflite.ActivationFunctionType).items()}
        site.refuse(f"it needs {FUSED_NEEDS}, not {names.get(code, code)}")
    return FUSED_ACTIVATIONS[code]


# Weights


def _weights(site: OperatorSite, shape: tuple[int, ...], axis: int, bias: int = 2) -> Weights:
    """Its weights of a known shape with the output channels at `axis`, and the bias that is its input `bias`."""
    weights = site.input(1)
    values = _constant(site, weights, "weights")
    site.require(weights.shape == shape, f"its weights have the shape {weights.shape}, where {shape} was expected")
    channels = shape[axis]
    if site.element_type is ElementType.FLOAT32:
        scales = np.ones(channels, np.float32)
    else:
        scales = _weight_scales(site, weights, axis)
    return Weights(values, weights.buffer, scales, _bias(site, site.optional_input(bias), channels))


def _weight_scales(site: OperatorSite, weights: TfliteTensor, axis: int) -> NDArray[np.float32]:
    """One per channel or one for all."""
    scales = weights.scales
    _require_symmetric(site, weights, "weights")
    per_channel = len(scales) == weights.shape[axis] and (len(scales) == 1 or weights.quantized_dimension == axis)
    site.require(per_channel or len(scales) == 1, "its weights have neither one scale nor one for each output channel")
    return scales


def _require_symmetric(site: OperatorSite, tensor: TfliteTensor, what: str) -> None:
    site.require(not np.any(tensor.zero_points), f"its {what} are asymmetric; quantise them with zero points of 0")


def _constant(site: OperatorSite, tensor: TfliteTensor, what: str) -> NDArray:
    """The values of weights, which must have the type of the activations."""
    expected = site.element_type.weights_dtype.name.upper()
    if tensor.type_name != expected:
        site.refuse(f"its {what} are {tensor.type_name}, not {expected}; hybrid models are not supported")
    values = tensor.constant
    if values is None:
        site.refuse(f"its {what} are not constant")
    site.require(tensor.buffer != 0, f"its {what} are in buffer 0, which stands for none")
    return values


def _bias(site: OperatorSite, tensor: TfliteTensor | None, channels: int) -> NDArray:
    """Its bias; zeros where it has none."""
    dtypes = _bias_types(site)
    if tensor is None:
        return np.zeros(channels, dtypes[0])
    values = tensor.constant
    if values is None or values.dtype not in dtypes or values.size != channels:
        types = " or ".join(dtype.name for dtype in dtypes)
        site.refuse(f"its bias must be {channels} constant values of type {types}")
    return values.reshape(channels)


def _bias_types(site: OperatorSite) -> list[np.dtype]:
    """The types that TFLite Micro takes, first the one in which it sums where there is no bias."""
    if site.element_type is ElementType.FLOAT32:
        return [np.dtype(np.float32)]
    if site.element_type is ElementType.INT8:
        return [np.dtype(np.int32)]
    if site.code == tflite.BuiltinOperator.CONV_2D:
        return [np.dtype(np.int32), np.dtype(np.int64)]
    return [np.dtype(np.int64)]


# Windows


@dataclass(frozen=True)
class _Window:
    kernel: tuple[int, int]
    strides: tuple[int, int]
    dilation: tuple[int, int]
    padding: Padding


WindowOptions: TypeAlias = tflite.Conv2DOptionsT | tflite.DepthwiseConv2DOptionsT | tflite.Pool2DOptionsT

PADDINGS: Mapping[int, Padding] = {tflite.Padding.SAME: "same", tflite.Padding.VALID: "valid"}


def _window(
    site: OperatorSite, options: WindowOptions, kernel: tuple[int, int], dilation: tuple[int, int] = (1, 1)
) -> _Window:
    """The operator's window, which must lead to the shape of its output."""
    site.require(options.padding in PADDINGS, "its padding is neither SAME nor VALID")
    window = _Window(kernel, (options.strideH, options.strideW), dilation, PADDINGS[options.padding])
    site.require(min(*window.kernel, *window.strides, *dilation) > 0, "its window has a size, stride or dilation of 0")
    source, target = _map(site, site.input(0)), _map(site, site.output)
    sizes = tuple(_output_size(window, source[axis], axis) for axis in (0, 1))
    site.require(target[:2] == sizes, f"its output has the shape {site.output.shape}, which its window does not give")
    return window


def _output_size(window: _Window, size: int, axis: int) -> int:
    stride = window.strides[axis]
    if window.padding == "same":
        return -(-size // stride)
    return (size - (window.kernel[axis] - 1) * window.dilation[axis] - 1) // stride + 1


def _map(site: OperatorSite, tensor: TfliteTensor) -> Shape:
    """A tensor that is a map with its batch."""
    site.require(
        len(tensor.shape) == 4 and tensor.shape[0] == 1,
        f"'{tensor.name}' has the shape {tensor.shape}, not (1, height, width, channels)",
    )
    return tensor.map


def _conv_2d(site: OperatorSite) -> ReadOperator:
    source, target = _map(site, site.input(0)), _map(site, site.output)
    kernel = _kernel(site)
    options = site.options(tflite.Conv2DOptionsT)
    window = _window(site, options, kernel[1:3], (options.dilationHFactor, options.dilationWFactor))
    groups = source[2] // kernel[3] if kernel[3] > 0 else 0
    site.require(
        groups > 0 and groups * kernel[3] == source[2] and target[2] % groups == 0,
        f"its weights for {kernel[3]} input channels do not make groups of {source[2]} and of {target[2]} channels",
    )
    return ReadOperator(
        Conv2D(window.kernel, window.strides, window.padding, window.dilation, groups),
        site.inputs[:1],
        source,
        target,
        _fused_activation(site, options.fusedActivationFunction),
        _weights(site, (target[2], *window.kernel, kernel[3]), axis=0),
    )


def _depthwise_conv_2d(site: OperatorSite) -> ReadOperator:
    source, target = _map(site, site.input(0)), _map(site, site.output)
    options = site.options(tflite.DepthwiseConv2DOptionsT)
    window = _window(site, options, _kernel(site)[1:3], (options.dilationHFactor, options.dilationWFactor))
    site.require(
        options.depthMultiplier > 0 and target[2] == source[2] * options.depthMultiplier,
        f"it makes {target[2]} channels of {source[2]}, which its multiplier {options.depthMultiplier} does not",
    )
    return ReadOperator(
        DepthwiseConv2D(window.kernel, window.strides, window.padding, window.dilation),
        site.inputs[:1],
        source,
        target,
        _fused_activation(site, options.fusedActivationFunction),
        _weights(site, (1, *window.kernel, target[2]), axis=3),
    )


def _transpose_conv(site: OperatorSite) -> ReadOperator:
    """Its first input is the shape of its output, which is known."""
    source, target = _map(site, site.input(2)), _map(site, site.output)
    kernel = _kernel(site)[1:3]
    options = site.options(tflite.TransposeConvOptionsT)
    site.require(options.padding in PADDINGS, "its padding is neither SAME nor VALID")
    strides, padding = (options.strideH, options.strideW), PADDINGS[options.padding]
    site.require(min(strides) > 0, "its window has a stride of 0")
    site.require(
        all(
            _is_transposed_size(padding, *sizes) for sizes in zip(source[:2], target[:2], kernel, strides, strict=True)
        ),
        f"its output has the shape {site.output.shape}, which its window does not give",
    )
    return ReadOperator(
        Conv2DTranspose(kernel, strides, padding),
        site.inputs[2:3],
        source,
        target,
        _fused_activation(site, options.fusedActivationFunction),
        _weights(site, (target[2], *kernel, source[2]), axis=0, bias=3),
    )


def _is_transposed_size(padding: Padding, source: int, target: int, taps: int, stride: int) -> bool:
    if padding == "same":
        return source == -(-target // stride)
    return target == (source - 1) * stride + max(taps, stride)


def _kernel(site: OperatorSite) -> tuple[int, int, int, int]:
    shape = site.input(1).shape
    if len(shape) != 4:
        site.refuse(f"its weights have the shape {shape}, not four dimensions")
    return shape[0], shape[1], shape[2], shape[3]


def _fully_connected(site: OperatorSite) -> ReadOperator:
    """A vector times a matrix, at each of the positions that its input's elements make."""
    options = site.options(tflite.FullyConnectedOptionsT)
    site.require(options.weightsFormat == tflite.FullyConnectedOptionsWeightsFormat.DEFAULT, "its weights are shuffled")
    shape = site.input(1).shape
    if len(shape) != 2:
        site.refuse(f"its weights have the shape {shape}, not (outputs, inputs)")
    outputs, inputs = shape
    positions = site.input(0).size // inputs
    site.require(
        site.input(0).size == positions * inputs and site.output.size == positions * outputs,
        f"it makes {site.output.size} values of {site.input(0).size}, which {outputs} times {inputs} weights do not",
    )
    source = (1, positions, inputs)
    if site.input(0).shape[-1:] == (inputs,):
        source = site.input(0).map
    return ReadOperator(
        Dense(),
        site.inputs[:1],
        source,
        (*source[:2], outputs),
        _fused_activation(site, options.fusedActivationFunction),
        _weights(site, (outputs, inputs), axis=0),
    )


# Operations without weights


def _pool(kind: Literal["average", "max"]) -> Callable[[OperatorSite], ReadOperator]:
    def read(site: OperatorSite) -> ReadOperator:
        source, target = _map(site, site.input(0)), _map(site, site.output)
        _keep_quantization(site, site.input(0))
        options = site.options(tflite.Pool2DOptionsT)
        window = _window(site, options, (options.filterHeight, options.filterWidth))
        site.require(source[2] == target[2], "it changes the number of channels")
        operation = Pool2D(kind, window.kernel, window.strides, window.padding)
        activation = _fused_activation(site, options.fusedActivationFunction)
        return ReadOperator(operation, site.inputs[:1], source, target, activation)

    return read


def _pair(kind: type[Add] | type[Subtract] | type[Multiply], options: type) -> Callable[[OperatorSite], ReadOperator]:
    """An operation on the elements of two maps, one of which may have one position for all, or be constant."""

    def read(site: OperatorSite) -> ReadOperator:
        inputs = site.inputs[:2]
        first, second = site.input(0), site.input(1)
        activation = _fused_activation(site, site.options(options).fusedActivationFunction)
        for position, tensor in enumerate((first, second)):
            if tensor.constant is not None:
                return _with_constant(site, kind, position, activation)
        if _is_spread(first, second) and kind is not Subtract:
            inputs, first, second = inputs[::-1], second, first
        spread = _is_spread(second, first)
        site.require(
            first.map == site.output.map and (spread or second.map == first.map),
            f"it takes the shapes {site.input(0).shape} and {site.input(1).shape}; libreds takes two of one shape, or "
            "one position for all of the other's" + (", as the second" if kind is Subtract else ""),
        )
        return ReadOperator(kind(spread), inputs, first.map, first.map, activation)

    return read


def _is_spread(position: TfliteTensor, whole: TfliteTensor) -> bool:
    """Whether the first is one position that meets every position of the second."""
    return position.map == (1, 1, whole.map[2]) != whole.map


def _with_constant(
    site: OperatorSite, kind: type[Add] | type[Subtract] | type[Multiply], position: int, activation: str
) -> ReadOperator:
    """On a map and its constant input `position`, of one value, one for each channel, or one for each element."""
    operand, source = site.input(position), site.input(1 - position)
    site.require(
        site.element_type is not ElementType.INT16,
        f"its input '{operand.name}' is constant; in int16 libreds takes two computed ones",
    )
    site.require(
        source.map == site.output.map,
        f"its output has the shape {site.output.shape}; libreds spreads constants over a computed input, not the "
        "reverse",
    )
    values = _constant(site, operand, "constants")
    channels = source.map[2]
    spread = operand.size == 1 or (operand.size == channels and operand.shape[-1] == channels)
    is_whole = _without_leading_ones(operand.shape) == _without_leading_ones(source.shape)
    site.require(
        spread or is_whole,
        f"its constant '{operand.name}' has the shape {operand.shape} for {source.shape}; libreds takes one value, one "
        "for each channel, or one for each element",
    )
    operation = kind(spread) if position == 1 or kind is not Subtract else Subtract(spread, exchanged=True)
    weights = Weights(
        values.reshape(operand.size if spread else source.map), operand.buffer, None, None, operand.quantization
    )
    return ReadOperator(operation, (site.inputs[1 - position],), source.map, source.map, activation, weights)


def _integers(tensor: TfliteTensor) -> NDArray | None:
    """Its values; None where they are not in the file, or are no integers."""
    values = tensor.constant
    return values if values is not None and np.issubdtype(values.dtype, np.integer) else None


def _mean(site: OperatorSite) -> ReadOperator:
    source = _reduced_map(site)
    return ReadOperator(Mean(), site.inputs[:1], source, (1, 1, source[2]))


def _reduce_max(site: OperatorSite) -> ReadOperator:
    """A pooling whose window is the map."""
    _keep_quantization(site, site.input(0))
    source = _reduced_map(site)
    return ReadOperator(Pool2D("max", source[:2], (1, 1)), site.inputs[:1], source, (1, 1, source[2]))


def _reduced_map(site: OperatorSite) -> Shape:
    """What it reduces over all positions, which are those of a map, or of a series."""
    source = site.input(0)
    axes = _integers(site.input(1))
    if axes is None:
        site.refuse("its axes are not constant integers")
    rank = len(source.shape)
    reduced = {int(axis) % rank for axis in axes.reshape(-1)} if rank else set()
    positions = {axis for axis, size in enumerate(source.shape[:-1]) if size > 1}
    site.require(
        3 <= rank <= 4 and source.shape[0] == 1 and positions <= reduced <= set(range(rank - 1)),
        f"it reduces a tensor of shape {source.shape} over other axes than all of its rows and columns",
    )
    site.require(site.output.size == source.map[2], f"its output has the shape {site.output.shape}")
    return source.map


def _prelu(site: OperatorSite) -> ReadOperator:
    source, slopes = site.input(0), site.input(1)
    site.require(source.shape == site.output.shape, "it changes the shape")
    channels = source.map[2]
    site.require(
        slopes.size == channels and slopes.shape[-1:] == (channels,),
        f"its slopes have the shape {slopes.shape}; libreds takes one for each channel, as PReLU(shared_axes=[1, 2]) "
        "has them",
    )
    values = _constant(site, slopes, "slopes").reshape(channels)
    weights = Weights(values, slopes.buffer, _slope_scales(site, slopes), None)
    return ReadOperator(PRelu(), site.inputs[:1], source.map, source.map, weights=weights)


def _slope_scales(site: OperatorSite, slopes: TfliteTensor) -> NDArray[np.float32] | None:
    if site.element_type is ElementType.FLOAT32:
        return None
    site.require(len(slopes.scales) == 1, "its slopes have not one scale")
    _require_symmetric(site, slopes, "slopes")
    return slopes.scales


def _quantize(site: OperatorSite) -> ReadOperator:
    source, target = site.input(0), site.output
    operation = _CONVERSIONS.get((source.type, target.type))
    if operation is None:
        site.refuse(f"it makes {target.type_name} of {source.type_name}; libreds takes {CONVERSIONS}")
    site.require(source.shape == target.shape, "it changes the shape")
    before, after = source.quantization, target.quantization
    if before is not None and after is not None and target.type != _INT16:
        gain = float(before.scale) / float(after.scale)
        site.require(bool(gain <= _LARGEST_REQUANTIZATION), "its output's scale is too small")
    return ReadOperator(operation, site.inputs[:1], source.map, source.map)


_FLOAT32, _INT8, _UINT8 = tflite.TensorType.FLOAT32, tflite.TensorType.INT8, tflite.TensorType.UINT8
_INT16 = tflite.TensorType.INT16
_CONVERSIONS: Mapping[tuple[int, int], Requantize | Quantize | Dequantize] = {
    (_INT8, _INT8): Requantize(),
    (_FLOAT32, _INT8): Quantize("float32"),
    (_UINT8, _INT8): Quantize("uint8"),
    (_INT8, _UINT8): Dequantize("uint8"),
    (_INT16, _INT16): Requantize(),
    (_FLOAT32, _INT16): Quantize("float32"),
}
"""By the types of input and output. Only the model's input and output may be FLOAT32 or UINT8."""

CONVERSIONS = (
    "int8 to int8 and int16 to int16, at the input float32 to either and uint8 to int8, at the output int8 to uint8"
)


def _dequantize(site: OperatorSite) -> ReadOperator:
    source, target = site.input(0), site.output
    if source.type not in (_INT8, _INT16) or target.type != _FLOAT32:
        site.refuse(
            f"it makes {target.type_name} of {source.type_name}; libreds takes INT8 or INT16 to FLOAT32 at the output, "
            "and no weights of another type than FLOAT32 or INT8"
        )
    site.require(source.shape == target.shape, "it changes the shape")
    return ReadOperator(Dequantize("float32"), site.inputs[:1], source.map, source.map)


def _resize_nearest_neighbor(site: OperatorSite) -> ReadOperator:
    """With a whole factor, the middle of a position lies in the one that its first corner lies in."""
    source, target = _map(site, site.input(0)), _map(site, site.output)
    _keep_quantization(site, site.input(0))
    options = site.options(tflite.ResizeNearestNeighborOptionsT)
    site.require(source[2] == target[2], f"it makes the shape {target} of {source}, with other channels")
    operation: Upsample | Resize = Resize(target[:2], bool(options.alignCorners), bool(options.halfPixelCenters))
    factors = (target[0] // source[0], target[1] // source[1])
    is_whole = target[:2] == (source[0] * factors[0], source[1] * factors[1]) and min(factors) > 0
    if is_whole and max(factors) <= LARGEST_UPSAMPLING and not options.alignCorners:
        operation = Upsample(factors)
    return ReadOperator(operation, site.inputs[:1], source, target)


def _concatenation(site: OperatorSite) -> ReadOperator:
    """Along any axis: with all before it as positions and all from it on as channels, elements stay in their order."""
    count = len(site.inputs)
    limit = conventions.MAXIMUM_CONCATENATION_INPUTS
    site.require(2 <= count <= limit, f"it joins {count} tensors; libreds takes from 2 to {limit}")
    options = site.options(tflite.ConcatenationOptionsT)
    site.require(_fused_activation(site, options.fusedActivationFunction) == "none", "it has a fused activation")
    shape = site.output.shape
    axis = options.axis % max(len(shape), 1)
    sources = [site.input(position) for position in range(count)]
    for source in sources:
        _keep_quantization(site, source)
        others = source.shape[:axis] + source.shape[axis + 1 :]
        site.require(
            len(source.shape) == len(shape) and others == shape[:axis] + shape[axis + 1 :],
            f"it joins the shape {source.shape} to {shape} at axis {axis}",
        )
    site.require(sum(source.shape[axis] for source in sources) == shape[axis], "its output is not what it joins")
    target = _from_axis(site.output, axis)
    return ReadOperator(Concatenate(), site.inputs, _from_axis(sources[0], axis), target)


def _pack(site: OperatorSite) -> ReadOperator:
    """A concatenation of what has a further dimension of one."""
    count = len(site.inputs)
    limit = conventions.MAXIMUM_CONCATENATION_INPUTS
    site.require(2 <= count <= limit, f"it joins {count} tensors; libreds takes up to {limit}")
    shape = site.output.shape
    axis = site.options(tflite.PackOptionsT).axis % max(len(shape), 1)
    for position in range(count):
        source = site.input(position)
        _keep_quantization(site, source)
        site.require(
            (*source.shape[:axis], count, *source.shape[axis:]) == shape,
            f"its output has the shape {shape}, which {count} of {source.shape} at axis {axis} do not give",
        )
    height, width, channels = _from_axis(site.input(0), axis)
    return ReadOperator(Concatenate(), site.inputs, (height, width, channels), (height, width, count * channels))


def _from_axis(tensor: TfliteTensor, axis: int) -> Shape:
    """A tensor with all dimensions from an axis on as channels."""
    if axis == len(tensor.shape) - 1:
        return tensor.map
    return 1, math.prod(tensor.shape[:axis]), math.prod(tensor.shape[axis:])


def _pad(site: OperatorSite) -> ReadOperator:
    source, target = site.input(0), site.output
    _keep_quantization(site, source)
    values = _integers(site.input(1))
    if values is None or values.shape != (len(source.shape), 2) or not 3 <= len(source.shape) <= 4:
        site.refuse("its paddings must be constant, two for each dimension of a map")
    amounts = [(int(before), int(after)) for before, after in values]
    site.require(min(map(min, amounts)) >= 0, "it cuts values off")
    padded = tuple(size + sum(pair) for size, pair in zip(source.shape, amounts, strict=True))
    site.require(padded == target.shape, f"its output has the shape {target.shape}, which its paddings do not give")
    rows, columns = [(0, 0), *amounts[1:-1]][-2:]
    only_in_the_plane = amounts[0] == amounts[-1] == (0, 0) and source.shape[0] == 1
    site.require(only_in_the_plane, "it pads the batch or the channels; only rows and columns are supported")
    border = site.optional_input(2)
    if border is not None:
        _require_zero(site, border)
    return ReadOperator(Pad(rows, columns), site.inputs[:1], source.map, target.map)


def _strided_slice(site: OperatorSite) -> ReadOperator:
    """Without strides: either rows and columns are cut off, or channels."""
    source, target = site.input(0), site.output
    _keep_quantization(site, source)
    options = site.options(tflite.StridedSliceOptionsT)
    is_plain = not (options.ellipsisMask or options.newAxisMask or options.shrinkAxisMask or options.offset)
    site.require(is_plain, "it adds or removes dimensions, or gives its ends as offsets")
    begins, ends, strides = (_per_dimension(site, position) for position in (1, 2, 3))
    site.require(set(strides) == {1}, f"it has the strides {tuple(strides)}; libreds takes 1")
    kept = [
        range(size)[None if options.beginMask >> axis & 1 else begin : None if options.endMask >> axis & 1 else end]
        for axis, (size, begin, end) in enumerate(zip(source.shape, begins, ends, strict=True))
    ]
    site.require(
        tuple(map(len, kept)) == target.shape, f"its output has the shape {target.shape}, which its ends do not give"
    )
    site.require(len(kept) <= 4 and (len(kept) < 4 or source.shape[0] == 1), f"it reads the shape {source.shape}")
    return ReadOperator(_cut(site, kept), site.inputs[:1], source.map, target.map)


def _per_dimension(site: OperatorSite, position: int) -> list[int]:
    """Numbers for each dimension of its first input."""
    values = _integers(site.input(position))
    if values is None or values.shape != (len(site.input(0).shape),) or not values.size:
        site.refuse("its begins, ends and strides must be constant, one for each dimension")
    return [int(value) for value in values]


def _cut(site: OperatorSite, kept: Sequence[range]) -> Crop | Slice:
    """What leaves these elements of each dimension, none of them empty, the last one the channels."""
    sizes = site.input(0).shape
    if all(len(elements) == size for elements, size in zip(kept[:-1], sizes, strict=False)):
        return Slice(kept[-1].start)
    site.require(len(kept[-1]) == sizes[-1], "it cuts off channels and positions at once")
    rows, columns = [(0, 0), *((part.start, size - part.stop) for part, size in zip(kept, sizes, strict=True))][-3:-1]
    return Crop(rows, columns)


def _batch_matmul(site: OperatorSite) -> ReadOperator:
    """As many matrices of both, or one second matrix for all."""
    options = site.options(tflite.BatchMatMulOptionsT)
    for position in (0, 1):
        _require_matrices(site, site.input(position))
    operation = BatchMatMul(bool(options.adjX), bool(options.adjY))
    first, second = site.input(0).shape, site.input(1).shape
    pairs, lines, elements = math.prod(first[:-2]), first[-2], first[-1]
    if math.prod(second[:-2]) == 1 and not operation.transpose_first:
        pairs, lines = 1, pairs * lines
    else:
        site.require(
            _without_leading_ones(first[:-2]) == _without_leading_ones(second[:-2]),
            f"it takes the shapes {first} and {second}; libreds takes as many matrices of both, or one second matrix "
            "for all that are not transposed",
        )
    source = (pairs, lines, elements)
    depth = operation.depth(source)
    columns = second[-2] if operation.transpose_second else second[-1]
    target = (pairs, elements if operation.transpose_first else lines, columns)
    fits = second[-2:] == ((columns, depth) if operation.transpose_second else (depth, columns))
    site.require(
        fits and site.output.size == math.prod(target) and site.output.shape[-1] == columns,
        f"its output has the shape {site.output.shape}, which {first} times {second} does not",
    )
    return ReadOperator(operation, site.inputs[:2], source, target)


def _require_matrices(site: OperatorSite, tensor: TfliteTensor) -> None:
    site.require(
        2 <= len(tensor.shape) <= 5,
        f"'{tensor.name}' has the shape {tensor.shape}; TFLite Micro takes 2 to 5 dimensions",
    )
    site.require(
        tensor.constant is None,
        f"its input '{tensor.name}' is constant, where libreds takes what the network computes; multiply with "
        "constants in a fully connected layer",
    )


def _without_leading_ones(sizes: Sequence[int]) -> tuple[int, ...]:
    return tuple(dropwhile(lambda size: size == 1, sizes))


def _transpose(site: OperatorSite) -> ReadOperator:
    """Any number of dimensions, as far as what stays together makes three of them."""
    source, target = site.input(0), site.output
    _keep_quantization(site, source)
    order = site.permutation
    site.require(
        target.shape == tuple(source.shape[axis] for axis in order),
        f"its output has the shape {target.shape}, which its permutation {order} of {source.shape} does not give",
    )
    sizes, moved = _joined_dimensions(source.shape, order)
    site.require(
        len(sizes) <= 3, f"it exchanges {len(sizes)} dimensions of the shape {source.shape}; libreds takes up to three"
    )
    idle = 3 - len(sizes)
    rows, columns, channels = (*range(idle), *(idle + dimension for dimension in moved))
    shape = (*(1,) * idle, *sizes)
    operation = Transpose((rows, columns, channels))
    return ReadOperator(operation, site.inputs[:1], _triple(shape), _triple([shape[axis] for axis in operation.order]))


def _joined_dimensions(shape: Sequence[int], permutation: Sequence[int]) -> tuple[list[int], list[int]]:
    """A permutation without dimensions of one; of more than three, neighbours that stay neighbours are joined.

    Returns:
        The sizes, and per dimension of the output the one of the input.
    """
    kept = [axis for axis, size in enumerate(shape) if size > 1]
    sizes, order = [shape[axis] for axis in kept], [kept.index(axis) for axis in permutation if axis in kept]
    while len(sizes) > 3:
        joined = next((first for first, second in pairwise(order) if second == first + 1), None)
        if joined is None:
            break
        sizes[joined : joined + 2] = [sizes[joined] * sizes[joined + 1]]
        order = [axis - (axis > joined) for axis in order if axis != joined + 1]
    return sizes, order


def _triple(sizes: Sequence[int]) -> Shape:
    height, width, channels = sizes
    return height, width, channels


def _unpack(site: OperatorSite) -> ReadOperator:
    source = site.input(0)
    axis = site.options(tflite.UnpackOptionsT).axis % max(len(source.shape), 1)
    expected = source.shape[:axis] + source.shape[axis + 1 :]
    site.require(
        site.output.shape == expected and (len(site.outputs),) == source.shape[axis : axis + 1],
        f"its outputs are not those of {source.shape} along axis {axis}",
    )
    return _part(site, source, axis, site.part, 1)


def _split(value: int, axis: int) -> Callable[[OperatorSite], ReadOperator]:
    """Parts of one tensor, one behind the other along an axis.

    Args:
        value: which of its inputs is taken apart.
        axis: which of its inputs is the axis.
    """

    def read(site: OperatorSite) -> ReadOperator:
        source, along = site.input(value), _integers(site.input(axis))
        if along is None or along.size != 1 or not source.shape:
            site.refuse("its axis is no constant integer")
        place = int(along.reshape(-1)[0]) % len(source.shape)
        parts = [site.graph.tensor(output).shape for output in site.outputs]
        others = source.shape[:place] + source.shape[place + 1 :]
        site.require(
            all(len(part) > place and part[:place] + part[place + 1 :] == others for part in parts)
            and sum(part[place] for part in parts) == source.shape[place],
            f"its outputs are not parts of {source.shape} along axis {place}",
        )
        return _part(site, source, place, sum(part[place] for part in parts[: site.part]), parts[site.part][place])

    return read


def _part(site: OperatorSite, source: TfliteTensor, axis: int, first: int, count: int) -> ReadOperator:
    """So many of a tensor's slices along an axis. With all from it on as channels, they are some of the channels."""
    _keep_quantization(site, source)
    height, width, channels = _from_axis(source, axis)
    inner = math.prod(source.shape[axis + 1 :])
    return ReadOperator(
        Slice(first * inner), (source.index,), (height, width, channels), (height, width, count * inner)
    )


def _require_zero(site: OperatorSite, border: TfliteTensor) -> None:
    quantization = site.output.quantization
    zero = 0 if quantization is None else quantization.zero_point
    values = border.constant
    site.require(values is not None and bool(np.all(values == zero)), "it pads with another value than zero")


def _activation(operation: Activation, output: Quantization | None = None) -> Callable[[OperatorSite], ReadOperator]:
    """A function of each element.

    Args:
        operation: the function.
        output: quantisation that TFLite fixes for its int8 output; None where it is free.
    """

    def read(site: OperatorSite) -> ReadOperator:
        return _function(site, operation, output)

    return read


def _leaky_relu(site: OperatorSite) -> ReadOperator:
    slope = float(site.options(tflite.LeakyReluOptionsT).alpha)
    site.require(math.isfinite(slope), "its slope is not finite")
    return _function(site, Activation("leaky_relu", slope), None)


def _relu6(site: OperatorSite) -> ReadOperator:
    """TFLite Micro only limits int8 values, so another quantisation of the output would change what they mean."""
    _keep_quantization(site, site.input(0))
    return _function(site, Activation("relu6"), None)


def _softmax(site: OperatorSite) -> ReadOperator:
    beta = site.options(tflite.SoftmaxOptionsT).beta
    site.require(beta == 1.0, f"its beta is {beta}, not 1")
    output = int16.SOFTMAX_OUTPUT if site.element_type is ElementType.INT16 else SOFTMAX_OUTPUT
    return _function(site, Activation("softmax"), output)


def _function(site: OperatorSite, operation: Activation, output: Quantization | None) -> ReadOperator:
    source, target = site.input(0), site.output
    site.require(source.shape == target.shape, "it changes the shape")
    if target.quantization is not None:
        fixed = output is None or target.quantization == output
        site.require(
            fixed, f"its output's quantisation is {_words(target.quantization)}, not the one that TFLite fixes"
        )
        _limit_scales(site, operation)
    fused = operation.function if operation.clamps else "none"
    return ReadOperator(operation, site.inputs[:1], source.map, target.map, fused)


def _limit_scales(site: OperatorSite, operation: Activation) -> None:
    """Refuses int8 scales with which TFLite Micro's fixed point would overflow; `encode_plan` does so in int16."""
    source, target = site.input(0).quantization, site.output.quantization
    if source is None or target is None or site.element_type is ElementType.INT16:
        return
    if operation.function in ("softmax", "sigmoid", "tanh"):
        site.require(float(source.scale) > SMALLEST_EXPONENTIAL_SCALE, "its input's scale is too small")
    gain = float(source.scale) / float(target.scale) * max(1.0, abs(operation.slope))
    site.require(bool(gain <= _LARGEST_GAINS.get(operation.function, math.inf)), "its output's scale is too small")


def _keep_quantization(site: OperatorSite, source: TfliteTensor) -> None:
    """TFLite Micro copies or compares the bytes of these operators, so both sides must mean the same."""
    before, after = source.quantization, site.output.quantization
    if before is not None and after is not None and before != after:
        site.refuse(
            f"'{source.name}' has {_words(before)} and its output {_words(after)}; TFLite Micro needs the same for both"
        )


def _words(quantization: Quantization) -> str:
    return f"scale {quantization.scale} and zero point {quantization.zero_point}"


_WINDOW_NEEDS = f"padding SAME or VALID, {FUSED_NEEDS}"
_ONE_QUANTIZATION = "in int8 and int16, one quantisation of input and output"
_FIXED_QUANTIZATION = "in int8 and int16, the quantisation that TFLite fixes for the output"
_CONSTANT_NEEDS = "or, but in int16, a constant one with one value, one for each channel or one for each element"
_PAIR_NEEDS = f"two computed inputs of one shape, or one of them one position for all, {_CONSTANT_NEEDS}; {FUSED_NEEDS}"

OPERATORS: Mapping[int, SupportedOperator] = {
    tflite.BuiltinOperator.ADD: SupportedOperator(_pair(Add, tflite.AddOptionsT), _PAIR_NEEDS, True),
    tflite.BuiltinOperator.AVERAGE_POOL_2D: SupportedOperator(
        _pool("average"), f"{_WINDOW_NEEDS}; {_ONE_QUANTIZATION}", True
    ),
    tflite.BuiltinOperator.BATCH_MATMUL: SupportedOperator(
        _batch_matmul, "two computed inputs with as many matrices, or one second matrix for all that are not transposed"
    ),
    tflite.BuiltinOperator.CONCATENATION: SupportedOperator(
        _concatenation,
        f"up to {conventions.MAXIMUM_CONCATENATION_INPUTS} inputs, no fused activation; {_ONE_QUANTIZATION}",
        True,
    ),
    tflite.BuiltinOperator.CONV_2D: SupportedOperator(_conv_2d, _WINDOW_NEEDS, True),
    tflite.BuiltinOperator.DEQUANTIZE: SupportedOperator(_dequantize, "int8 or int16 to float32 at the output", True),
    tflite.BuiltinOperator.DEPTHWISE_CONV_2D: SupportedOperator(_depthwise_conv_2d, _WINDOW_NEEDS, True),
    tflite.BuiltinOperator.FULLY_CONNECTED: SupportedOperator(
        _fully_connected, f"weights in rows, {FUSED_NEEDS}", True
    ),
    tflite.BuiltinOperator.HARD_SWISH: SupportedOperator(_activation(Activation("hard_swish"))),
    tflite.BuiltinOperator.LEAKY_RELU: SupportedOperator(_leaky_relu),
    tflite.BuiltinOperator.LOGISTIC: SupportedOperator(
        _activation(Activation("sigmoid"), SIGMOID_OUTPUT), _FIXED_QUANTIZATION
    ),
    tflite.BuiltinOperator.MAX_POOL_2D: SupportedOperator(_pool("max"), f"{_WINDOW_NEEDS}; {_ONE_QUANTIZATION}", True),
    tflite.BuiltinOperator.MEAN: SupportedOperator(_mean, "all rows and columns", True),
    tflite.BuiltinOperator.MUL: SupportedOperator(_pair(Multiply, tflite.MulOptionsT), _PAIR_NEEDS),
    tflite.BuiltinOperator.PACK: SupportedOperator(
        _pack, f"up to {conventions.MAXIMUM_CONCATENATION_INPUTS} inputs; {_ONE_QUANTIZATION}"
    ),
    tflite.BuiltinOperator.PAD: SupportedOperator(_pad, f"constant rows and columns; {_ONE_QUANTIZATION}", True),
    tflite.BuiltinOperator.PADV2: SupportedOperator(
        _pad, f"constant rows and columns, zero as the border; {_ONE_QUANTIZATION}", True
    ),
    tflite.BuiltinOperator.PRELU: SupportedOperator(_prelu, "a slope for each channel, in int8 one scale for all"),
    tflite.BuiltinOperator.QUANTIZE: SupportedOperator(_quantize, CONVERSIONS, True),
    tflite.BuiltinOperator.REDUCE_MAX: SupportedOperator(_reduce_max, f"all rows and columns; {_ONE_QUANTIZATION}"),
    tflite.BuiltinOperator.RELU: SupportedOperator(_activation(Activation("relu")), in_int16=True),
    tflite.BuiltinOperator.RELU6: SupportedOperator(_relu6, _ONE_QUANTIZATION),
    tflite.BuiltinOperator.RESIZE_NEAREST_NEIGHBOR: SupportedOperator(
        _resize_nearest_neighbor, _ONE_QUANTIZATION, True
    ),
    tflite.BuiltinOperator.SOFTMAX: SupportedOperator(
        _softmax, f"a beta of 1, up to {conventions.MAXIMUM_SOFTMAX_CHANNELS} classes; {_FIXED_QUANTIZATION}", True
    ),
    tflite.BuiltinOperator.SPLIT: SupportedOperator(_split(1, 0), f"a constant axis; {_ONE_QUANTIZATION}"),
    tflite.BuiltinOperator.SPLIT_V: SupportedOperator(_split(0, 2), f"a constant axis; {_ONE_QUANTIZATION}"),
    tflite.BuiltinOperator.STRIDED_SLICE: SupportedOperator(
        _strided_slice,
        f"strides of 1, constant rows and columns or channels, all dimensions kept; {_ONE_QUANTIZATION}",
        True,
    ),
    tflite.BuiltinOperator.SUB: SupportedOperator(
        _pair(Subtract, tflite.SubOptionsT),
        f"two computed inputs of one shape, or the second one position for all, {_CONSTANT_NEEDS}; {FUSED_NEEDS}",
    ),
    tflite.BuiltinOperator.TANH: SupportedOperator(_activation(Activation("tanh"), TANH_OUTPUT), _FIXED_QUANTIZATION),
    tflite.BuiltinOperator.TRANSPOSE: SupportedOperator(
        _transpose, f"a constant permutation that moves up to three dimensions; {_ONE_QUANTIZATION}"
    ),
    tflite.BuiltinOperator.TRANSPOSE_CONV: SupportedOperator(_transpose_conv, _WINDOW_NEEDS),
    tflite.BuiltinOperator.UNPACK: SupportedOperator(_unpack, _ONE_QUANTIZATION),
}
"""By builtin operator how it is read. What only gives a tensor another shape, or computes a shape, is left out."""
