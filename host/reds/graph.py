"""The network as the pipeline sees it: operations on maps, their weights, and the channels that move together.

Every activation is a map (height, width, channels); a vector is a 1 x 1 map. Weights keep Keras' layouts. All stages
from `trace` to `emit` take and return the dataclasses of this module; they are never changed in place.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Shape = tuple[int, int, int]
Padding = Literal["valid", "same"]
PortType = Literal["float32", "uint8"]
ActivationFunction = Literal["relu", "relu6", "leaky_relu", "sigmoid", "tanh", "hard_swish", "softmax"]

INPUT = -1
"""Node index that stands for the network's input."""

FULL_NAME = "100%"
"""Name of the subnetwork that is the full network."""


@dataclass(frozen=True)
class Conv2D:
    """Convolution. Weights: `kernel` (kernel_h, kernel_w, in / groups, out), `bias` (out,) where there is one.

    Input and output channels fall into `groups` groups of neighbours; each group of the output reads only the group of
    the input at its place. With more than one, the channels of its input and of its output are fixed.
    """

    kernel_size: tuple[int, int]
    strides: tuple[int, int] = (1, 1)
    padding: Padding = "valid"
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1
    """Not to be confused with the channel groups that share one width."""


@dataclass(frozen=True)
class MapDense(Conv2D):
    """Fully connected layer that reads a map as a vector, of a file of another tool.

    A device runs it as the convolution over the whole map, its `kernel_size`, with a fully connected layer's rounding.
    """


@dataclass(frozen=True)
class DepthwiseConv2D:
    """Depthwise convolution. Weights: `kernel` (kernel_h, kernel_w, channels, filters per channel), `bias`.

    Output channel i belongs to input channel i // filters per channel. With more than one filter per channel, the
    channels of its input and of its output are fixed.
    """

    kernel_size: tuple[int, int]
    strides: tuple[int, int] = (1, 1)
    padding: Padding = "valid"
    dilation: tuple[int, int] = (1, 1)


@dataclass(frozen=True)
class Dense:
    """Fully connected layer on a 1 x 1 map. Weights: `kernel` (in, out), `bias` (out,) where there is one."""


@dataclass(frozen=True)
class BatchNormalization:
    """Weights: `gamma`, `beta`, `moving_mean`, `moving_variance`, each (channels,)."""

    epsilon: float


@dataclass(frozen=True)
class Activation:
    """Elementwise function, or softmax over the channels."""

    function: ActivationFunction
    slope: float = 0.0
    """Factor on negative values; of leaky_relu only."""

    @property
    def clamps(self) -> bool:
        """Whether it only limits values to a range, so that the operation before it can do it as well."""
        return self.function in ("relu", "relu6")


@dataclass(frozen=True)
class Pool2D:
    """Pooling; global pooling is a window over the whole map. Padding is never counted in an average."""

    kind: Literal["average", "max"]
    pool_size: tuple[int, int]
    strides: tuple[int, int]
    padding: Padding = "valid"


@dataclass(frozen=True)
class Pad:
    """Zeros around a map."""

    rows: tuple[int, int]
    """Above and below the map."""
    columns: tuple[int, int]
    """Left and right of the map."""


OPERAND = "operand"
"""Name of the constant of a pair among its weights: one value, one per channel, or one per element."""


@dataclass(frozen=True)
class Pair:
    """An operation on the elements of two maps of one shape. With one input, the second is constant."""

    spread: bool = False
    """Whether the second map has one position, which meets every position of the first."""


@dataclass(frozen=True)
class Add(Pair):
    """Sum of two maps."""


@dataclass(frozen=True)
class Subtract(Pair):
    """The first map less the second."""

    exchanged: bool = False
    """Whether it is the second, which is constant, less the first."""


@dataclass(frozen=True)
class Multiply(Pair):
    """Product of two maps, element by element."""


@dataclass(frozen=True)
class Concatenate:
    """Two or more maps of one height and width, one behind the other along the channels."""


@dataclass(frozen=True)
class Mean:
    """Average of each channel over the whole map; in int8, unlike a pool, with a quantisation of its own."""


@dataclass(frozen=True)
class PRelu:
    """Leaky ReLU with a slope per channel. Weights: `slope` (channels,)."""


@dataclass(frozen=True)
class Requantize:
    """The same values in another quantisation; in int8 networks only."""


@dataclass(frozen=True)
class Quantize:
    """The network's input in the network's own type; in quantised networks only, and there the first operation."""

    source: PortType
    """What the input is given in."""


@dataclass(frozen=True)
class Dequantize:
    """The network's output in another type; in quantised networks only, and there the last operation."""

    target: PortType
    """What the output is given in."""


@dataclass(frozen=True)
class Upsample:
    """A larger map, in which each position is repeated."""

    size: tuple[int, int]
    """How often, downwards and to the right."""


@dataclass(frozen=True)
class Resize:
    """A map of another size, which has at each position the one of its input that is nearest."""

    size: tuple[int, int]
    """Rows and columns."""
    align_corners: bool = False
    half_pixel_centers: bool = False


@dataclass(frozen=True)
class Conv2DTranspose:
    """Transposed convolution. Weights: `kernel` (kernel_h, kernel_w, in, out), which is Keras' with its last two axes
    exchanged, `bias` (out,) where there is one."""

    kernel_size: tuple[int, int]
    strides: tuple[int, int] = (1, 1)
    padding: Padding = "valid"


@dataclass(frozen=True)
class Crop:
    """A map without its borders."""

    rows: tuple[int, int]
    """That go above and below."""
    columns: tuple[int, int]
    """That go left and right."""


@dataclass(frozen=True)
class Slice:
    """Some of the channels of a map; its shape says how many."""

    first: int
    """The first channel that stays."""


@dataclass(frozen=True)
class Transpose:
    """A map whose dimensions change places, so that elements do."""

    order: tuple[int, int, int]
    """Which dimensions of its input the output's rows, columns and channels are: 0 rows, 1 columns, 2 channels."""


@dataclass(frozen=True)
class BatchMatMul:
    """Products of matrices of two maps: per row of the maps, columns times channels."""

    transpose_first: bool = False
    """Whether the first map's matrices are taken as channels times columns."""
    transpose_second: bool = False

    def depth(self, first: Shape) -> int:
        """How many products an output sums, for the first map's shape."""
        return first[1] if self.transpose_first else first[2]


_Weighted = Conv2D | DepthwiseConv2D | Dense | PRelu | Conv2DTranspose
_Joining = Add | Subtract | Multiply | Concatenate | BatchMatMul
_Resizing = Pool2D | Mean | Pad | Upsample | Resize | Crop | Slice | Transpose

WITH_KERNEL = (Conv2D, DepthwiseConv2D, Dense, Conv2DTranspose)
"""Operations that multiply with a kernel; a batch normalisation behind one can be folded into it."""

_Converting = Requantize | Quantize | Dequantize
DeviceOperation = _Weighted | _Joining | _Resizing | _Converting | Activation
"""What a device runs: batch normalisation is folded into the operation before it."""

Operation = DeviceOperation | BatchNormalization


@dataclass(frozen=True)
class Node:
    """One operation in topological order."""

    name: str
    """The Keras layer's name; unique in the graph."""
    operation: Operation
    inputs: tuple[int, ...]
    """Indices of the nodes whose outputs it takes, in order; INPUT stands for the network's input."""
    output_shape: Shape
    """(height, width, channels) at full width."""
    input_group: int | None
    """Channel group that all its inputs share; None where their channels are fixed, as those of the network's input."""
    output_group: int | None
    """Channel group of its output; None where the channels are fixed (the network's output)."""
    weights: Mapping[str, Array]
    reads: Shape | None = None
    """(height, width, channels) as which it reads its first input, where that was written in another shape."""

    @property
    def input(self) -> int:
        """Its first input; the only one of most operations."""
        return self.inputs[0]


@dataclass(frozen=True)
class ChannelGroup:
    """Channels of one or more tensors that share one order and one width."""

    name: str
    """Name of the node that makes the channels."""
    size: int


@dataclass(frozen=True)
class Graph:
    """A traced network."""

    name: str
    input_shape: tuple[int, ...]
    """The model's own input shape without the batch, such as (49, 10, 1), (49, 10) or (250,)."""
    output_shape: tuple[int, ...]
    """The model's own output shape without the batch, such as (12,)."""
    nodes: tuple[Node, ...]
    """In topological order; the last one's output is the network's, and needs all others."""
    groups: tuple[ChannelGroup, ...]
    reshaped_input: Shape | None = None
    """The map as which the network reads its input, where a reshape makes it another one than `as_map` does."""
    is_fused: bool = False
    """Whether each node is one operation of a device, as in another tool's file; else activations are to be fused."""

    @property
    def input_map(self) -> Shape:
        """The input as a map (height, width, channels)."""
        return as_map(self.input_shape) if self.reshaped_input is None else self.reshaped_input

    def shape_of(self, node: int) -> Shape:
        """Full-width output shape of a node, or of the input for INPUT."""
        return self.input_map if node == INPUT else self.nodes[node].output_shape

    def read_shape(self, node: Node) -> Shape:
        """Full-width shape in which a node reads its first input."""
        return node.reads or self.shape_of(node.input)

    def ancestors(self, *ends: int) -> tuple[int, ...]:
        """Indices of the nodes that the nodes `ends` need, themselves included, in topological order."""
        needed = set(ends)
        for index in range(max(ends), INPUT, -1):
            if index in needed:
                needed.update(self.nodes[index].inputs)
        return tuple(sorted(needed - {INPUT}))

    def readers(self) -> Counter[int]:
        """How often each node's output, or INPUT, is taken."""
        return Counter(source for node in self.nodes for source in node.inputs)


def as_map(shape: tuple[int, ...]) -> Shape:
    """Writes a shape without batch as (height, width, channels), with heights and widths of 1 where there are none.

    Raises:
        ValueError: if the shape has not one, two or three dimensions.
    """
    if not 1 <= len(shape) <= 3:
        raise ValueError(f"`shape` must have one to three dimensions, the last the channels. Received: shape={shape}")
    height, width, channels = (1,) * (3 - len(shape)) + shape
    return (height, width, channels)


@dataclass(frozen=True)
class Exit:
    """A place to leave the network early: a small head on a node's output.

    The head is a graph of its own whose input is the tapped map at full width. Its channels are never searched.
    """

    name: str
    tap: int
    """Index of the tapped node in the network's graph."""
    head: Graph


@dataclass(frozen=True)
class KernelImportance:
    """Importance per kernel of pointwise convolutions, in the sorted order of the channels."""

    units: tuple[NDArray[np.float64], ...]
    """Per channel group the importance of each channel, that of its pointwise filters left out."""
    pointwise: Mapping[str, NDArray[np.float64]]
    """Per name of a pointwise convolution between channel groups, (input channels, filters)."""


@dataclass(frozen=True)
class Ranked:
    """A graph whose channels are sorted by falling importance."""

    graph: Graph
    importance: tuple[NDArray[np.float64], ...]
    """Per channel group the importance of each channel, largest first."""
    method: str
    """How it was measured: taylor, l1, l2 or random."""
    exits: tuple[Exit, ...] = ()
    kernels: KernelImportance | None = None


def relative_gap(value: float, bound: float) -> float:
    """(bound - value) / bound; 0 where the value is proven to be the best."""
    return 0.0 if bound <= 0 else max(0.0, (bound - value) / bound)


@dataclass(frozen=True)
class Solution:
    """How the search came to a subnetwork, with its proof."""

    budget: float
    """Limit in units of the metric."""
    metric: str
    value: float
    """Importance kept."""
    bound: float
    """Proven upper limit of the importance that any subnetwork within the budget can keep."""
    seconds: float
    limits: Mapping[str, int] = field(default_factory=dict)
    """By metric, what the subnetwork may cost besides its budget."""

    @property
    def gap(self) -> float:
        """(bound - value) / bound; 0 where the value is proven to be the best."""
        return relative_gap(self.value, self.bound)


@dataclass(frozen=True)
class Subnetwork:
    """A narrower or shallower network inside the full one, perhaps without some of its blocks."""

    name: str
    widths: tuple[int, ...]
    """Active channels per channel group; the first `width` channels of the group."""
    exit: int = 0
    """0: the network's own output; i: `exits[i - 1]`."""
    solution: Solution | None = None
    skips: tuple[str, ...] = ()
    """Names of the residual blocks that it leaves out, see `reds.skipping`."""


@dataclass(frozen=True)
class JointSolution:
    """How good nested subnetworks are together."""

    weights: tuple[float, ...]
    """Of the searched subnetworks' values, by falling budget."""
    value: float
    """The weighted sum of the subnetworks' values."""
    bound: float
    """Proven upper limit of the weighted sum of any nested subnetworks within the budgets."""
    seconds: float

    @property
    def gap(self) -> float:
        """(bound - value) / bound; 0 where the value is proven to be the best."""
        return relative_gap(self.value, self.bound)


@dataclass(frozen=True)
class Family:
    """The network, its exits, and the subnetworks to train and emit. Subnetwork 0 is the full network."""

    graph: Graph
    importance: tuple[NDArray[np.float64], ...]
    exits: tuple[Exit, ...]
    subnetworks: tuple[Subnetwork, ...]
    joint: JointSolution | None = None
    """Where all budgets were searched at once."""


BatchNormWeights = Mapping[str, Mapping[str, Array]]
"""Per node name the weights of a BatchNormalization: gamma, beta, moving_mean, moving_variance, sliced to the width."""


@dataclass(frozen=True)
class Supernet:
    """A trained family: shared weights in the graph, and each subnetwork's own batch normalisation.

    `batch_norms[i]` belongs to `family.subnetworks[i]` and covers the nodes it runs, those of its exit head included.
    """

    family: Family
    batch_norms: tuple[BatchNormWeights, ...]
