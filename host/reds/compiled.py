"""The network as it is written to a file: shared weights, and per subnetwork what its operations need beside them.

`quantize` makes it from a trained family, `emit` writes it, and reading a file gives it back, so that a subnetwork can
be extracted from the file alone.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import takewhile

import numpy as np
from numpy.typing import NDArray

from reds.errors import UsageError
from reds.graph import (
    INPUT,
    Activation,
    BatchMatMul,
    Conv2D,
    Conv2DTranspose,
    Dense,
    DepthwiseConv2D,
    Dequantize,
    DeviceOperation,
    Pair,
    PRelu,
    Quantize,
    Shape,
)
from reds.requantize import Quantization


class ElementType(StrEnum):
    """Type of activations, and of weights but for INT16."""

    FLOAT32 = "float32"
    INT8 = "int8"
    INT16 = "int16"
    """With int8 weights; `adopt` reads such networks, `quantize` makes none."""

    @property
    def dtype(self) -> np.dtype:
        """NumPy type of one element."""
        return np.dtype(self.value)

    @property
    def weights_dtype(self) -> np.dtype:
        """NumPy type of one weight."""
        return np.dtype(np.float32 if self is ElementType.FLOAT32 else np.int8)


EMITTED_TYPES = (ElementType.FLOAT32, ElementType.INT8)
"""The types that `quantize` makes networks of."""


def emitted_type(type: str) -> ElementType:
    """The type of a network that `quantize` makes.

    Raises:
        UsageError: if it makes none of this type.
    """
    if type not in EMITTED_TYPES:
        raise UsageError(f"`type` must be 'int8' or 'float32'. Received: type={type!r}")
    return ElementType(type)


@dataclass(frozen=True)
class CompiledLayer:
    """An operation with its activation, at full width, with weights in TFLite's layout."""

    name: str
    operation: DeviceOperation
    activation: str
    """none, relu or relu6: fused into the operation, or the operation itself."""
    inputs: tuple[int, ...]
    """Layers whose outputs it takes, in order; INPUT stands for the network's input."""
    input_shape: Shape
    """Of its first input, as the operation reads it: a map may be written in one shape and read in another."""
    output_shape: Shape
    subgraph: int
    """0: the network; i: the head of exit i."""
    weights: NDArray[np.int8] | NDArray[np.float32] | None
    """OHWI with the input channels of one group, depthwise 1HWC, fully connected OI, slopes C, a constant operand of a
    pair 1, C or HWC; None for an operation without weights."""
    operand: Quantization | None = None
    """Of a constant operand in int8."""

    @property
    def is_softmax(self) -> bool:
        """Whether the operation is a softmax."""
        return isinstance(self.operation, Activation) and self.operation.function == "softmax"

    def operand_quantizations(self, inputs: tuple[Quantization, ...]) -> tuple[Quantization, ...]:
        """The quantisations of its inputs, and of its constant operand where it has one."""
        return inputs if self.operand is None else (*inputs, self.operand)

    def read_map(self, position: int) -> tuple[int, int]:
        """Height and width in which it reads an input; the second map of a pair may be spread from one position."""
        if isinstance(self.operation, BatchMatMul) and position == 1:
            depth = self.operation.depth(self.input_shape)
            return self.input_shape[0], self.output_shape[2] if self.operation.transpose_second else depth
        spread = isinstance(self.operation, Pair) and self.operation.spread and position == 1
        return (1, 1) if spread else self.input_shape[:2]

    def sliced_weights(self, input_channels: int, output_channels: int) -> NDArray:
        """The weights of a prefix of the channels, contiguous."""
        assert self.weights is not None
        if isinstance(self.operation, Dense):
            return np.ascontiguousarray(self.weights[:output_channels, :input_channels])
        if isinstance(self.operation, DepthwiseConv2D | Pair):
            return np.ascontiguousarray(self.weights[..., :output_channels])
        if isinstance(self.operation, PRelu):
            return np.ascontiguousarray(self.weights[:output_channels])
        groups = self.operation.groups if isinstance(self.operation, Conv2D) else 1
        return np.ascontiguousarray(self.weights[:output_channels, :, :, : input_channels // groups])

    def scaled_weights(self, factors: NDArray[np.float32]) -> NDArray[np.float32]:
        """The float32 weights times a factor per output channel."""
        assert self.weights is not None
        last = isinstance(self.operation, DepthwiseConv2D)
        shape = (-1,) if last else (-1,) + (1,) * (self.weights.ndim - 1)
        return np.asarray(self.weights * factors.reshape(shape), np.float32)

    def macs(self, input_channels: int, output_channels: int) -> int:
        """Multiply-accumulates of one inference at a width; padded taps count like any other."""
        height, width, _ = self.output_shape
        if isinstance(self.operation, Dense):
            return height * width * input_channels * output_channels
        if isinstance(self.operation, DepthwiseConv2D):
            return height * width * int(np.prod(self.operation.kernel_size)) * output_channels
        if isinstance(self.operation, Conv2D):
            taps = int(np.prod(self.operation.kernel_size))
            return height * width * taps * (input_channels // self.operation.groups) * output_channels
        if isinstance(self.operation, Conv2DTranspose):
            taps = int(np.prod(self.operation.kernel_size))
            return self.input_shape[0] * self.input_shape[1] * taps * input_channels * output_channels
        if isinstance(self.operation, BatchMatMul):
            return height * width * self.operation.depth(self.input_shape) * output_channels
        return 0


@dataclass(frozen=True)
class CompiledStep:
    """One operation of one subnetwork."""

    layer: int
    input_channels: int
    """Of its first input."""
    output_channels: int
    input_quantizations: tuple[Quantization, ...]
    """One per input; none for float32. Zero points of a uint8 input of the network are from 0 to 255."""
    output_quantization: Quantization | None
    """None for float32. That of a uint8 output of the network has a zero point from 0 to 255."""
    weight_scales: NDArray[np.float32] | None
    """Per active output channel; in int8 one where a fully connected layer has one for all of them, which TFLite Micro
    rounds differently. int8: real weight = scale * stored weight. float32: factor on the stored weights. Of slopes one
    for all in int8, and none in float32. None for an operation without weights."""
    bias: NDArray[np.int32] | NDArray[np.int64] | NDArray[np.float32] | None
    """Per active output channel. int8 and int16: in units of input scale * weight scale, input zero point not folded
    in; in int16 with 64 bits where the sums have 64. None for an operation without weights, and of slopes."""

    @property
    def input_quantization(self) -> Quantization | None:
        """Of its first input; None for float32."""
        return self.input_quantizations[0] if self.input_quantizations else None


@dataclass(frozen=True)
class CompiledSubnetwork:
    """The run list of one subnetwork."""

    name: str
    exit: int
    widths: tuple[int, ...]
    steps: tuple[CompiledStep, ...]
    stand_ins: Mapping[int, int] = field(default_factory=dict)
    """Per layer that it skips although others read it, the layer whose output they read instead."""
    threshold: float = 0.0
    """Confidence from which on its answer is the last one, so that otherwise another subnetwork answers; 0: that of its
    exit."""

    def sources(self, layer: CompiledLayer) -> tuple[int, ...]:
        """The layers, or INPUT, whose outputs a layer takes in this subnetwork."""
        return tuple(self.stand_ins.get(source, source) for source in layer.inputs)


Sources = Mapping[int, tuple[int, ...]]
"""Per layer those that it takes the outputs of, or INPUT."""


def common_sources(of_subnetworks: Iterable[Sources]) -> dict[int, tuple[int, ...]]:
    """What each layer takes where nothing is skipped, as far as some subnetwork has it.

    Where one skips a block, a layer behind the block takes what is before it. So the last of different sources is that
    of a subnetwork that skips the fewest.
    """
    common: dict[int, tuple[int, ...]] = {}
    for sources in of_subnetworks:
        for layer, own in sources.items():
            common[layer] = tuple(max(pair) for pair in zip(common.get(layer, own), own, strict=True))
    return common


def stand_ins_of(own: Sources, common: Sources) -> dict[int, int]:
    """Per source that a subnetwork's layers do not take, the one that they take instead."""
    pairs = (pair for layer, sources in own.items() for pair in zip(common[layer], sources, strict=True))
    return {usual: taken for usual, taken in pairs if usual != taken}


@dataclass(frozen=True)
class CompiledExit:
    """A place to leave the network. Exit 0 is its own output."""

    name: str
    tap: int
    """Layer whose output feeds the head; for exit 0 the last layer of the network."""
    threshold: float = 0.0
    """Confidence at which an answer may be taken early. What the head reads then stays in the arena, so that an
    inference can go on behind it. 0 where it is not calibrated."""


@dataclass(frozen=True)
class CompiledNetwork:
    """Everything that a file holds, before it is laid out."""

    name: str
    element_type: ElementType
    input_shape: tuple[int, ...]
    """Without the batch."""
    output_shape: tuple[int, ...]
    layers: tuple[CompiledLayer, ...]
    exits: tuple[CompiledExit, ...]
    subnetworks: tuple[CompiledSubnetwork, ...]
    batch: int = 1
    """Samples of one inference. Everything else is of one of them."""

    @property
    def input_dtype(self) -> np.dtype:
        """NumPy type of the network's input."""
        first = self.layers[self.subnetworks[0].steps[0].layer].operation
        return np.dtype(first.source) if isinstance(first, Quantize) else self.element_type.dtype

    @property
    def output_dtype(self) -> np.dtype:
        """NumPy type of the network's output."""
        last = self.layers[self.subnetworks[0].steps[-1].layer].operation
        return np.dtype(last.target) if isinstance(last, Dequantize) else self.element_type.dtype

    def macs(self, subnetwork: int) -> int:
        """Multiply-accumulates of one inference."""
        return self.batch * sum(
            self.layers[step.layer].macs(step.input_channels, step.output_channels)
            for step in self.subnetworks[subnetwork].steps
        )

    def parameters(self, subnetwork: int) -> int:
        """Weights and biases, after folding, that a subnetwork uses."""
        return sum(
            self.layers[step.layer].sliced_weights(step.input_channels, step.output_channels).size
            + (0 if step.bias is None else step.output_channels)
            for step in self.subnetworks[subnetwork].steps
            if self.layers[step.layer].weights is not None
        )

    def tensors_read(self, subnetwork: int) -> tuple[tuple[int, ...], ...]:
        """Per step of a subnetwork the tensors that it takes: 0 is the network's input, i + 1 what step i writes."""
        tensors = {INPUT: 0}
        read = []
        chosen = self.subnetworks[subnetwork]
        for index, step in enumerate(chosen.steps):
            read.append(tuple(tensors[source] for source in chosen.sources(self.layers[step.layer])))
            tensors[step.layer] = index + 1
        return tuple(read)

    def tensors_kept(self, subnetwork: int) -> tuple[int, ...]:
        """Tensors of a subnetwork, numbered as in `tensors_read`, that have to be there after its last step.

        At an exit with a threshold they are what the whole network reads behind the last step that both have.
        """
        chosen = self.subnetworks[subnetwork]
        if chosen.exit == 0 or self.exits[chosen.exit].threshold == 0:
            return ()
        pairs = zip(chosen.steps, self.subnetworks[0].steps, strict=False)
        common = sum(1 for _ in takewhile(lambda pair: pair[0].layer == pair[1].layer, pairs))
        read_later = {tensor for tensors in self.tensors_read(0)[common:] for tensor in tensors}
        return tuple(sorted(tensor for tensor in read_later if tensor <= common))

    def tensor_sizes(self, subnetwork: int) -> list[int]:
        """Bytes of each activation tensor of a subnetwork, the network's input first."""
        itemsize = self.element_type.dtype.itemsize
        first = self.layers[self.subnetworks[subnetwork].steps[0].layer]
        assert first.inputs[0] == INPUT
        sizes = [int(np.prod(first.input_shape)) * self.input_dtype.itemsize]
        for step in self.subnetworks[subnetwork].steps:
            height, width, _ = self.layers[step.layer].output_shape
            sizes.append(height * width * step.output_channels * itemsize)
        sizes[-1] = sizes[-1] // itemsize * self.output_dtype.itemsize
        return sizes
