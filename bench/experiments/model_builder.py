"""Small networks with random weights, biases and quantisation, to compare libreds with TFLite Micro."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from reds import int16
from reds.compiled import (
    CompiledExit,
    CompiledLayer,
    CompiledNetwork,
    CompiledStep,
    CompiledSubnetwork,
    ElementType,
)
from reds.disjoint_sets import DisjointSets
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
    Mean,
    Multiply,
    Pad,
    Pair,
    Pool2D,
    PRelu,
    Quantize,
    Requantize,
    Resize,
    Shape,
    Slice,
    Transpose,
    Upsample,
)
from reds.lookup import SIGMOID_OUTPUT, TANH_OUTPUT
from reds.requantize import UINT8_BIAS, Quantization

TYPICAL_WEIGHT_SCALE = 0.01
INT8_DEVIATION = 256 / math.sqrt(12)
"""Standard deviation of a uniformly distributed int8."""

INT16_BY_INT8 = 256
"""By what factor int16 activations spread farther, and their scales are smaller."""

FIXED_OUTPUTS = {"softmax": Quantization(np.float32(1 / 256), -128), "sigmoid": SIGMOID_OUTPUT, "tanh": TANH_OUTPUT}

ACTIVATED = (Conv2D, DepthwiseConv2D, Dense, Pool2D, Pair)
"""Operations that take in an activation."""


@dataclass(frozen=True)
class LayerSpec:
    """A layer to build."""

    operation: DeviceOperation
    channels: int = 0
    """Output channels of a convolution, fully connected layer or slice."""
    activation: str = "none"
    depth_multiplier: int = 1
    inputs: tuple[int, ...] = ()
    """Layers that it reads, INPUT for the network's input; the layer before it if not given."""
    scalar: bool = False
    """Whether the constant operand of a pair with one input is one value, and not one for each channel or element."""
    reads: Shape | None = None
    """The shape in which it reads its first input, where that is not the one in which it was written."""


class NetworkBuilder:
    """Builds layers and subnetworks of them that all have the input's and the output's full channels."""

    def __init__(
        self, element_type: ElementType, input_shape: Shape, seed: int, loudness: float = 1.0, batch: int = 1
    ) -> None:
        """Starts a network.

        Args:
            element_type: of all tensors.
            input_shape: of one sample.
            seed: decides every number.
            loudness: how far outputs spread; with a large value most of them are clipped and requantisation
                multiplies by more than 1.
            batch: samples of one inference.
        """
        self._type = element_type
        self._batch = batch
        self._loudness = loudness
        self._input_shape = input_shape
        self._random = np.random.default_rng(seed)
        self._input_type = element_type.dtype

    def build(self, specs: Sequence[LayerSpec], widths: Sequence[Sequence[int]] = ()) -> CompiledNetwork:
        """The network.

        Args:
            specs: layers from input to output.
            widths: per subnetwork but the full one the output channels of each layer with free channels; the values
                of other layers follow. What a grouped convolution reads and makes must have all its channels.
        """
        if isinstance(specs[0].operation, Quantize):
            self._input_type = np.dtype(specs[0].operation.source)
        layers = self._layers(specs)
        full = tuple(layer.output_shape[2] for layer in layers)
        chains = [self._widths(layers, wanted) for wanted in (full, *widths)]
        shared = self._shared_quantizations(layers)
        subnetworks = tuple(
            CompiledSubnetwork(f"s{index}", 0, tuple(chain), self._steps(layers, chain, shared))
            for index, chain in enumerate(chains)
        )
        return CompiledNetwork(
            "test",
            self._type,
            self._input_shape,
            layers[-1].output_shape,
            layers,
            (CompiledExit("output", len(layers) - 1),),
            subnetworks,
            self._batch,
        )

    def input(self, samples: int) -> NDArray:
        """Random inputs, (samples, *input shape), or with a batch above 1 (samples, batch, *input shape)."""
        shape = (samples, *self._input_shape) if self._batch == 1 else (samples, self._batch, *self._input_shape)
        if self._input_type != np.float32:
            limits = np.iinfo(self._input_type)
            return self._random.integers(limits.min, limits.max + 1, shape, self._input_type)
        return self._random.normal(size=shape).astype(np.float32)

    def _layers(self, specs: Sequence[LayerSpec]) -> tuple[CompiledLayer, ...]:
        layers: list[CompiledLayer] = []
        shapes = {INPUT: self._input_shape}
        for index, spec in enumerate(specs):
            inputs = spec.inputs or (index - 1 if index else INPUT,)
            shape = spec.reads or shapes[inputs[0]]
            output = shapes[index] = output_shape(spec, shape, *(shapes[source] for source in inputs[1:]))
            layers.append(
                CompiledLayer(
                    name=f"layer{index}",
                    operation=spec.operation,
                    activation=_activation(spec),
                    inputs=inputs,
                    input_shape=shape,
                    output_shape=output,
                    subgraph=0,
                    weights=self._weights(spec, shape, output),
                    operand=self._operand(spec, inputs),
                )
            )
        return tuple(layers)

    def _weights(self, spec: LayerSpec, source: Shape, target: Shape) -> NDArray | None:
        operation = spec.operation
        if isinstance(operation, Dense):
            shape: tuple[int, ...] = (target[2], source[2])
        elif isinstance(operation, DepthwiseConv2D):
            shape = (1, *operation.kernel_size, target[2])
        elif isinstance(operation, PRelu):
            shape = (target[2],)
        elif isinstance(operation, Pair) and len(spec.inputs) == 1:
            shape = (1,) if spec.scalar else (target[2],) if operation.spread else target
        elif isinstance(operation, Conv2D | Conv2DTranspose):
            groups = operation.groups if isinstance(operation, Conv2D) else 1
            shape = (target[2], *operation.kernel_size, source[2] // groups)
        else:
            return None
        if self._type is not ElementType.FLOAT32:
            return self._random.integers(-127, 128, shape, np.int8)
        return self._random.normal(size=shape).astype(np.float32)

    def _operand(self, spec: LayerSpec, inputs: Sequence[int]) -> Quantization | None:
        """Quantisation of a constant operand."""
        is_constant = isinstance(spec.operation, Pair) and len(inputs) == 1
        return self._input_quantization() if is_constant and self._type is ElementType.INT8 else None

    def _widths(self, layers: Sequence[CompiledLayer], wanted: Sequence[int]) -> list[int]:
        widths: list[int] = []
        for layer, width in zip(layers, wanted, strict=True):
            sources = [self._input_shape[2] if source == INPUT else widths[source] for source in layer.inputs]
            channels = sum(sources) if isinstance(layer.operation, Concatenate) else sources[0]
            if isinstance(layer.operation, Conv2D | Dense | Conv2DTranspose):
                channels = layer.output_shape[2] if layer is layers[-1] else width
            elif isinstance(layer.operation, Slice | Transpose | BatchMatMul):
                channels = layer.output_shape[2]
            elif isinstance(layer.operation, DepthwiseConv2D):
                channels *= layer.output_shape[2] // layer.input_shape[2]
            widths.append(channels)
        return widths

    def _shared_quantizations(self, layers: Sequence[CompiledLayer]) -> dict[int, Quantization]:
        """Quantisation of the network's input and output, by the set of tensors that have it; none for float32."""
        if self._type is ElementType.FLOAT32:
            return {}
        sets = tensors_that_share(layers)
        shared = {sets[INPUT]: self._input_quantization()}
        output = sets[len(layers) - 1]
        if output not in shared:
            shared[output] = self._output_quantization(layers[output + INPUT], [shared[sets[INPUT]]])
        return shared

    def _input_quantization(self) -> Quantization:
        scale = np.float32(math.exp(self._random.uniform(math.log(0.002), math.log(0.5))))
        if self._type is ElementType.INT16:
            scale /= np.float32(INT16_BY_INT8)
        return Quantization(scale, self._zero_point(-128, 128))

    def _zero_point(self, low: int, end: int) -> int:
        drawn = int(self._random.integers(low, end))
        return 0 if self._type is ElementType.INT16 else drawn

    def _output_quantization(self, layer: CompiledLayer, sources: Sequence[Quantization]) -> Quantization:
        """A scale that spreads the sums over the range of the elements with few of them clipped."""
        if isinstance(layer.operation, Multiply | BatchMatMul):
            first, second = (math.hypot(INT8_DEVIATION, source.zero_point) * source.scale for source in sources)
            if isinstance(layer.operation, BatchMatMul):
                first *= math.sqrt(layer.operation.depth(layer.input_shape))
            scale = np.float32(first * second / (self._loudness * self._random.uniform(30, 60)))
            return Quantization(scale, self._zero_point(-128, 128))
        if isinstance(layer.operation, Pair):
            factor = np.exp2(self._random.uniform(-3, 3)) / self._loudness
            scale = np.float32(max(source.scale for source in sources) * factor)
            return Quantization(scale, self._zero_point(-128, 128))
        source = sources[0]
        if isinstance(layer.operation, Activation | Mean | PRelu | Requantize | Quantize | Dequantize):
            scale = np.float32(source.scale * self._random.uniform(0.1, 2))
            own = Quantization(scale, self._zero_point(-128, 128))
            function = layer.operation.function if isinstance(layer.operation, Activation) else "none"
            fixed = {"softmax": int16.SOFTMAX_OUTPUT} if self._type is ElementType.INT16 else FIXED_OUTPUTS
            return fixed.get(function, own)
        spread = typical_sum(layer, source) * float(source.scale) * TYPICAL_WEIGHT_SCALE
        scale = np.float32(spread / (self._loudness * self._random.uniform(30, 60)))
        return Quantization(scale, self._zero_point(-60, 60))

    def _steps(
        self, layers: Sequence[CompiledLayer], widths: Sequence[int], shared: dict[int, Quantization]
    ) -> tuple[CompiledStep, ...]:
        steps: list[CompiledStep] = []
        channels = {INPUT: self._input_shape[2]} | dict(enumerate(widths))
        sets = tensors_that_share(layers)
        known = dict(shared)
        for index, (layer, width) in enumerate(zip(layers, widths, strict=True)):
            sources = tuple(known[sets[source]] for source in layer.inputs) if known else ()
            if sources and sets[index] not in known:
                known[sets[index]] = self._output_quantization(layer, layer.operand_quantizations(sources))
            scales, bias = self._scales_and_bias(layer, width, sources[0] if sources else None)
            written = self._input_shape if layer.inputs[0] == INPUT else layers[layer.inputs[0]].output_shape
            is_view = layer.input_shape != written
            inputs = layer.input_shape[2] if is_view else channels[layer.inputs[0]]
            target = known.get(sets[index])
            if isinstance(layer.operation, Quantize):
                sources = _at_port(layer.operation.source, sources)
            if isinstance(layer.operation, Dequantize) and target is not None:
                target = next(iter(_at_port(layer.operation.target, [target])), None)
            steps.append(CompiledStep(index, inputs, width, sources, target, scales, bias))
        return tuple(steps)

    def _scales_and_bias(
        self, layer: CompiledLayer, channels: int, source: Quantization | None
    ) -> tuple[NDArray | None, NDArray | None]:
        if layer.weights is None or isinstance(layer.operation, Pair):
            return None, None
        if isinstance(layer.operation, PRelu):
            scale = self._random.uniform(0.001, 0.02, 1).astype(np.float32)
            return (None if source is None else scale), None
        spread = self._random.uniform(0.5, 1.5, channels)
        bias = self._random.normal(size=channels)
        if source is None:
            return (spread / math.sqrt(taps(layer))).astype(np.float32), bias.astype(np.float32)
        bias *= typical_sum(layer, source)
        scales = (TYPICAL_WEIGHT_SCALE * spread).astype(np.float32)
        if self._type is ElementType.INT8:
            return scales, bias.astype(np.int32)
        # Convolutions may sum in 32 bits.
        is_wide = not isinstance(layer.operation, Conv2D) or self._random.random() < 0.5
        return scales, (bias * INT16_BY_INT8).astype(np.int64 if is_wide else np.int32)


def _at_port(type: str, quantizations: Sequence[Quantization]) -> tuple[Quantization, ...]:
    """Those of the network's input or output in another type than int8; none for float32."""
    if type == "float32":
        return ()
    return tuple(replace(known, zero_point=known.zero_point + UINT8_BIAS) for known in quantizations)


def network_with_views(element_type: ElementType) -> tuple[CompiledNetwork, NDArray]:
    """A network that reads its input, a second summand and a sum in other shapes than they were written.

    In int8 and int16 its ReLU, the last operation, changes the quantisation.

    Returns:
        The network, and inputs to it.
    """
    builder = NetworkBuilder(element_type, (4, 3, 2), seed=5)
    specs = [
        LayerSpec(Conv2D((1, 1)), 4),
        LayerSpec(Conv2D((1, 1)), 2, inputs=(INPUT,), reads=(8, 3, 1)),
        LayerSpec(Add(), inputs=(1, 0)),
        LayerSpec(Dense(), 3, reads=(1, 1, 48)),
        LayerSpec(Activation("relu")),
    ]
    network = builder.build(specs)
    if element_type is not ElementType.FLOAT32:
        zero_point = -100 if element_type is ElementType.INT8 else 0
        network = _with_another_output(network, Quantization(np.float32(0.3), zero_point))
    return network, builder.input(4)


def _with_another_output(network: CompiledNetwork, output: Quantization) -> CompiledNetwork:
    (subnetwork,) = network.subnetworks
    steps = (*subnetwork.steps[:-1], replace(subnetwork.steps[-1], output_quantization=output))
    return replace(network, subnetworks=(replace(subnetwork, steps=steps),))


def taps(layer: CompiledLayer) -> int:
    """Products that one output sums."""
    assert layer.weights is not None
    is_depthwise = isinstance(layer.operation, DepthwiseConv2D)
    return int(layer.weights[..., 0].size if is_depthwise else layer.weights[0].size)


def typical_sum(layer: CompiledLayer, source: Quantization) -> float:
    """Standard deviation of an accumulator for uniform inputs and weights."""
    return math.sqrt(taps(layer)) * INT8_DEVIATION * math.hypot(INT8_DEVIATION, source.zero_point)


def _activation(spec: LayerSpec) -> str:
    """What is fused into the operation; the file also marks a standalone ReLU so."""
    if isinstance(spec.operation, Activation):
        return spec.operation.function if spec.operation.clamps else "none"
    return spec.activation if isinstance(spec.operation, ACTIVATED) else "none"


def tensors_that_share(layers: Sequence[CompiledLayer]) -> dict[int, int]:
    """Per layer, and for INPUT, the set of outputs that must have the same quantisation: its first one's number."""
    sets = DisjointSets(len(layers) + 1)
    for index, layer in enumerate(layers):
        if _keeps_quantization(layer):
            for source in layer.inputs:
                sets.unite(index - INPUT, source - INPUT)
    return {tensor: sets.find(tensor - INPUT) for tensor in range(INPUT, len(layers))}


def _keeps_quantization(layer: CompiledLayer) -> bool:
    if isinstance(layer.operation, Activation):
        return layer.operation.clamps
    return isinstance(layer.operation, Pool2D | Pad | Concatenate | Upsample | Resize | Crop | Slice | Transpose)


def output_shape(spec: LayerSpec, source: Shape, *others: Shape) -> Shape:
    """Shape of a layer's output map."""
    operation = spec.operation
    if isinstance(operation, Concatenate):
        return (*source[:2], source[2] + sum(shape[2] for shape in others))
    if isinstance(operation, Dense):
        return (1, 1, spec.channels)
    if isinstance(operation, Activation | Pair | PRelu | Requantize | Quantize | Dequantize):
        return source
    if isinstance(operation, Mean):
        return (1, 1, source[2])
    if isinstance(operation, Conv2DTranspose):
        strides, kernel = operation.strides, operation.kernel_size
        same = operation.padding == "same"
        height, width = (
            source[i] * strides[i] if same else (source[i] - 1) * strides[i] + max(kernel[i], strides[i])
            for i in (0, 1)
        )
        return (height, width, spec.channels)
    if isinstance(operation, Crop):
        return (source[0] - sum(operation.rows), source[1] - sum(operation.columns), source[2])
    if isinstance(operation, Slice):
        return (*source[:2], spec.channels)
    if isinstance(operation, BatchMatMul):
        columns = math.prod(others[0]) // (source[0] * operation.depth(source))
        return (source[0], source[2 if operation.transpose_first else 1], columns)
    if isinstance(operation, Transpose):
        rows, columns, channels = operation.order
        return (source[rows], source[columns], source[channels])
    if isinstance(operation, Resize):
        return (*operation.size, source[2])
    if isinstance(operation, Upsample):
        return (source[0] * operation.size[0], source[1] * operation.size[1], source[2])
    if isinstance(operation, Pad):
        return (source[0] + sum(operation.rows), source[1] + sum(operation.columns), source[2])
    kernel = operation.pool_size if isinstance(operation, Pool2D) else operation.kernel_size
    dilation = (1, 1) if isinstance(operation, Pool2D) else operation.dilation
    if operation.padding == "same":
        height, width = (math.ceil(source[i] / operation.strides[i]) for i in (0, 1))
    else:
        height, width = ((source[i] - (kernel[i] - 1) * dilation[i] - 1) // operation.strides[i] + 1 for i in (0, 1))
    channels = {Conv2D: spec.channels, DepthwiseConv2D: source[2] * spec.depth_multiplier, Pool2D: source[2]}
    return (height, width, channels[type(operation)])
