"""Random trained families for property tests: any network of supported operations, any widths, any statistics."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count

import numpy as np

from reds.cost import active_channels, full_widths
from reds.fold import fuse
from reds.graph import (
    INPUT,
    Activation,
    Add,
    Array,
    BatchNormalization,
    BatchNormWeights,
    Concatenate,
    Conv2D,
    Conv2DTranspose,
    Crop,
    Dense,
    DepthwiseConv2D,
    Exit,
    Family,
    Graph,
    Mean,
    Multiply,
    Node,
    Operation,
    Pad,
    Padding,
    Pool2D,
    PRelu,
    Shape,
    Slice,
    Subnetwork,
    Subtract,
    Supernet,
    Upsample,
    as_map,
)
from reds.grouping import MAKES_CHANNELS, narrowing_obstacle, with_groups
from reds.skipping import AUTO, sets_to_skip, skippable_blocks

ANY_RANGE = ("relu", "relu6", "leaky_relu", "hard_swish")
FIXED_RANGE = ("sigmoid", "tanh")
"""Activation functions whose int8 outputs have a range of their own, which a concatenation can join with no other."""


@dataclass
class GraphBuilder:
    """Appends random nodes, each on the output of the last one or on two branches of it."""

    generator: np.random.Generator
    prefix: str
    input_shape: tuple[int, ...]
    functions: tuple[str, ...]
    """Activation functions to draw from."""
    nodes: list[Node] = field(default_factory=list)
    source: int = INPUT
    """The node whose output the next one takes."""

    @property
    def shape(self) -> Shape:
        """Shape of what the next node takes."""
        return self.shape_of(self.source)

    def shape_of(self, node: int) -> Shape:
        """Shape of a node's output."""
        return as_map(self.input_shape) if node == INPUT else self.nodes[node].output_shape

    def append(
        self, operation: Operation, shape: Shape, weights: dict[str, Array], inputs: tuple[int, ...] = ()
    ) -> None:
        """Appends a node on the source or on the given nodes; it becomes the source."""
        name = f"{self.prefix}{len(self.nodes)}"
        self.nodes.append(Node(name, operation, inputs or (self.source,), shape, None, None, weights))
        self.source = len(self.nodes) - 1

    def weights(self, kernel_shape: tuple[int, ...], channels: int, fan_in: int) -> dict[str, Array]:
        """A random kernel, and a bias in three of four cases."""
        kernel = self.generator.normal(0, fan_in**-0.5, kernel_shape).astype(np.float32)
        if self.generator.random() < 0.25:
            return {"kernel": kernel}
        return {"kernel": kernel, "bias": self.generator.normal(0, 0.3, channels).astype(np.float32)}

    def convolution(self, depthwise: bool) -> None:
        """A convolution with any window that fits, and perhaps batch normalisation and an activation."""
        height, width, channels = self.shape
        kernel = (self.upto(min(height, 4)), self.upto(min(width, 4)))
        strides = self.strides()
        dilation = self.dilation(kernel, strides)
        padding: Padding = "same" if self.generator.random() < 0.5 else "valid"
        out = (_output(height, kernel[0], strides[0], dilation[0], padding),
               _output(width, kernel[1], strides[1], dilation[1], padding))  # fmt: skip
        taps = kernel[0] * kernel[1]
        if depthwise:
            multiplier = 1 if self.generator.random() < 0.8 else 2
            weights = self.weights((*kernel, channels, multiplier), channels * multiplier, taps)
            operation = DepthwiseConv2D(kernel, strides, padding, dilation)
            self.append(operation, (*out, channels * multiplier), weights)
        else:
            filters = self.upto(13) + 1
            groups = self.groups(channels)
            filters += -filters % groups
            weights = self.weights((*kernel, channels // groups, filters), filters, taps * channels // groups)
            self.append(Conv2D(kernel, strides, padding, dilation, groups), (*out, filters), weights)
        self.decorate()

    def groups(self, channels: int) -> int:
        """A number that divides the channels, mostly 1: more fix the channels around them."""
        several = [size for size in range(2, channels + 1) if channels % size == 0]
        return int(self.generator.choice(several)) if several and self.generator.random() < 0.3 else 1

    def strides(self) -> tuple[int, int]:
        """Any two, equal where there is one channel.

        TensorFlow's oneDNN convolutions of one channel leave some rows unwritten at strides of 1 and 2.
        """
        rows, columns = self.upto(2), self.upto(2)
        return (rows, rows if self.shape[2] == 1 else columns)

    def dilation(self, kernel: tuple[int, int], strides: tuple[int, int]) -> tuple[int, int]:
        """Two taps apart where the window still fits and nothing is strided (Keras takes only one of the two)."""
        height, width, _ = self.shape
        fits = 2 * kernel[0] - 1 <= height and 2 * kernel[1] - 1 <= width
        return (2, 2) if fits and strides == (1, 1) and self.generator.random() < 0.3 else (1, 1)

    def scale(self) -> None:
        """A factor and an offset per channel, and perhaps what follows them."""
        channels = self.shape[2]
        self.append(DepthwiseConv2D((1, 1)), self.shape, self.weights((1, 1, channels, 1), channels, 1))
        self.decorate()

    def pad(self) -> None:
        """A border of zeros, which may be nothing on some sides."""
        rows, columns = ((self.upto(3) - 1, self.upto(3) - 1) for _ in range(2))
        height, width, channels = self.shape
        self.append(Pad(rows, columns), (height + sum(rows), width + sum(columns), channels), {})

    def crop(self) -> None:
        """Some of the rows and columns."""
        height, width, channels = self.shape
        rows, columns = ((self.upto((size + 1) // 2) - 1, self.upto((size + 1) // 2) - 1) for size in (height, width))
        self.append(Crop(rows, columns), (height - sum(rows), width - sum(columns), channels), {})

    def slice(self) -> None:
        """Some of the channels, where there are several."""
        height, width, channels = self.shape
        first = self.upto(channels) - 1
        kept = self.upto(channels - first)
        if kept < channels:
            self.append(Slice(first), (height, width, kept), {})

    def transposed(self) -> None:
        """A transposed convolution, and perhaps what follows it."""
        height, width, channels = self.shape
        kernel, strides = (self.upto(3), self.upto(3)), (self.upto(2), self.upto(2))
        padding: Padding = "same" if self.generator.random() < 0.5 else "valid"
        filters = self.upto(9) + 1
        weights = self.weights((*kernel, channels, filters), filters, kernel[0] * kernel[1] * channels)
        out = tuple(
            size * stride if padding == "same" else (size - 1) * stride + max(taps, stride)
            for size, stride, taps in zip((height, width), strides, kernel, strict=True)
        )
        self.append(Conv2DTranspose(kernel, strides, padding), (out[0], out[1], filters), weights)
        self.decorate()

    def upsample(self) -> None:
        """Repeated rows and columns."""
        size = (self.upto(2), self.upto(2))
        height, width, channels = self.shape
        self.append(Upsample(size), (height * size[0], width * size[1], channels), {})

    def dense(self, units: int) -> None:
        """A dense layer on a 1 x 1 map, and perhaps what follows it."""
        weights = self.weights((self.shape[2], units), units, self.shape[2])
        self.append(Dense(), (1, 1, units), weights)
        self.decorate()

    def branch(self, channels: int, strides: tuple[int, int]) -> int:
        """A layer whose output shape only its arguments decide; returns the last node."""
        if self.is_vector:
            self.dense(channels)
            return self.source
        height, width, inputs = self.shape
        kernel = (self.upto(min(height, 3)), self.upto(min(width, 3)))
        weights = self.weights((*kernel, inputs, channels), channels, kernel[0] * kernel[1] * inputs)
        out = tuple(_output(size, 1, stride, 1, "same") for size, stride in zip((height, width), strides, strict=True))
        self.append(Conv2D(kernel, strides, "same"), (out[0], out[1], channels), weights)
        self.decorate()
        return self.source

    def pair(self) -> None:
        """A residual block: one or two layers and a shortcut, which is a layer where the shape changes."""
        source = self.source
        keeps_shape = self.generator.random() < 0.6
        channels = self.shape[2] if keeps_shape else self.upto(13) + 1
        strides = (1, 1) if keeps_shape else self.strides()
        last = self.branch(channels, strides)
        if self.generator.random() < 0.5:
            last = self.branch(channels, (1, 1))
        self.source = source
        twice = self.generator.random() < 0.1
        shortcut = last if twice else source if keeps_shape else self.branch(channels, strides)
        pair = self.generator.permutation([last, shortcut])
        operation = (Add, Add, Subtract, Multiply)[self.generator.integers(4)]
        self.append(operation(), self.shape_of(last), {}, tuple(int(node) for node in pair))
        self.activate()

    def residual(self) -> None:
        """What it reads added to what layers make of it, another such sum perhaps among them."""
        source, shape = self.source, self.shape
        self.branch(shape[2], (1, 1))
        if self.generator.random() < 0.3:
            self.residual()
        inputs = self.generator.permutation([source, self.source])
        self.append(Add(), shape, {}, tuple(int(node) for node in inputs))
        function = self.generator.choice(["relu", "relu6", "none"], p=[0.6, 0.1, 0.3])
        if function != "none":
            self.append(Activation(function), shape, {})

    def gate(self) -> None:
        """Squeeze and excitation: what all positions say of each channel scales, shifts or offsets it."""
        source, shape = self.source, self.shape
        whole = Mean() if self.generator.random() < 0.5 else Pool2D("average", shape[:2], shape[:2])
        self.append(whole, (1, 1, shape[2]), {})
        if self.generator.random() < 0.7:
            self.append(Dense(), (1, 1, shape[2]), self.weights((shape[2], shape[2]), shape[2], shape[2]))
            self.append(Activation("sigmoid"), self.shape, {})
        operation = (Multiply, Multiply, Add, Subtract)[self.generator.integers(4)]
        self.append(operation(spread=shape[:2] != (1, 1)), shape, {}, (source, self.source))
        self.activate()

    def concatenation(self) -> None:
        """Layers side by side, and perhaps what they read, joined along the channels."""
        source = self.source
        strides = self.strides()
        joined = [source] if strides == (1, 1) or self.is_vector else []
        for _ in range(self.upto(3) + (0 if joined else 1)):
            self.source = source
            joined.append(self.branch(self.upto(7), strides))
        order = self.generator.permutation(joined)
        channels = sum(self.shape_of(node)[2] for node in joined)
        self.append(Concatenate(), (*self.shape[:2], channels), {}, tuple(int(node) for node in order))
        self.activate()

    @property
    def is_vector(self) -> bool:
        """Whether the network works on vectors."""
        return len(self.input_shape) == 1

    def pool(self) -> None:
        """Average or max pooling with any window that fits."""
        height, width, channels = self.shape
        size = (self.upto(min(height, 3)), self.upto(min(width, 3)))
        strides = (self.upto(2), self.upto(2))
        padding: Padding = "same" if self.generator.random() < 0.5 else "valid"
        out = tuple(
            _output(full, window, stride, 1, padding)
            for full, window, stride in zip((height, width), size, strides, strict=True)
        )
        kind = self.generator.choice(["average", "max"])
        self.append(Pool2D(kind, size, strides, padding), (out[0], out[1], channels), {})

    def decorate(self) -> None:
        """Batch normalisation in half of the cases, then an activation in two of three."""
        channels = self.shape[2]
        if self.generator.random() < 0.5:
            weights = {
                "gamma": self.generator.uniform(0.3, 1.5, channels) * self.generator.choice([-1, 1], channels),
                "beta": self.generator.normal(0, 0.3, channels),
                "moving_mean": self.generator.normal(0, 0.3, channels),
                "moving_variance": self.generator.uniform(0.3, 2, channels),
            }
            floats = {key: value.astype(np.float32) for key, value in weights.items()}
            self.append(BatchNormalization(1e-3), self.shape, floats)
        self.activate()

    def activate(self) -> None:
        """An activation in two of three cases."""
        if self.generator.random() < 0.1:
            slopes = self.generator.normal(0, 0.5, self.shape[2]).astype(np.float32)
            return self.append(PRelu(), self.shape, {"slope": slopes})
        function = self.generator.choice([*self.functions, *["none"] * (len(self.functions) // 2)])
        if function != "none":
            slope = float(np.float32(self.generator.uniform(0, 1))) if function == "leaky_relu" else 0.0
            self.append(Activation(str(function), slope), self.shape, {})

    def classifier(self, classes: int, function: str) -> None:
        """Flattens what is left of the map into class scores."""
        height, width, channels = self.shape
        if height * width == 1:
            self.append(Dense(), (1, 1, classes), self.weights((channels, classes), classes, channels))
        else:
            fan_in = height * width * channels
            weights = self.weights((height, width, channels, classes), classes, fan_in)
            self.append(Conv2D((height, width)), (1, 1, classes), weights)
        if function != "none":
            self.append(Activation(function), (1, 1, classes), {})

    def upto(self, most: int) -> int:
        """A number from 1 to `most`."""
        return int(self.generator.integers(1, most + 1))

    def graph(self, classes: int) -> Graph:
        """The finished network."""
        return Graph(f"{self.prefix}net", self.input_shape, (classes,), *with_groups(self.nodes))


def random_supernet(seed: int) -> Supernet:
    """A family of the full network, two narrower ones and, mostly, some that leave through an exit."""
    generator = np.random.default_rng(seed)
    classes = int(generator.integers(2, 7))
    function = str(generator.choice(["softmax", "none", "sigmoid", "tanh"], p=[0.6, 0.2, 0.1, 0.1]))
    branches = generator.random() < 0.6
    functions = ANY_RANGE if branches else ANY_RANGE + FIXED_RANGE
    builder = GraphBuilder(generator, "layer", _input_shape(generator), functions)
    for _ in range(builder.upto(5)):
        _append_any(builder, branches)
    if not any(isinstance(node.operation, MAKES_CHANNELS) for node in builder.nodes):
        builder.dense(builder.upto(13) + 1) if builder.is_vector else builder.convolution(depthwise=False)
    inner = len(builder.nodes)
    builder.classifier(classes, function)
    graph = builder.graph(classes)
    tap = int(generator.choice([layer.last_node for layer in fuse(graph) if layer.last_node < inner]))
    exits = (_exit(generator, graph, tap, classes, function),) if generator.random() < 0.7 else ()
    full = tuple(group.size for group in graph.groups)
    narrow = tuple(int(generator.integers(1, size + 1)) for size in full)
    narrower = tuple(int(generator.integers(1, size + 1)) for size in narrow)
    subnetworks = [Subnetwork("full", full), Subnetwork("narrow", narrow), Subnetwork("narrower", narrower)]
    if exits:
        shallow = [Subnetwork("shallow", full, exit=1)]
        if narrowing_obstacle(exits[0].head) is None:
            shallow.append(Subnetwork("both", narrow, exit=1))
        subnetworks += shallow[int(generator.integers(len(shallow))) :] if generator.random() < 0.5 else shallow
    importance = tuple(np.ones(size) for size in full)
    family = Family(graph, importance, exits, tuple(subnetworks))
    return Supernet(family, tuple(_batch_norm(generator, family, s) for s in subnetworks))


def random_residual_supernet(seed: int) -> Supernet:
    """A family like those of `random_supernet`, of which some subnetworks skip residual blocks."""
    return next(supernet for supernet in map(_residual_supernet, count(seed)) if supernet.family.subnetworks[-1].skips)


def _residual_supernet(seed: int) -> Supernet:
    generator = np.random.default_rng(seed)
    shape = (int(generator.integers(2, 9)), int(generator.integers(2, 9)), int(generator.integers(1, 4)))
    builder = GraphBuilder(generator, "layer", shape, ANY_RANGE)
    builder.convolution(depthwise=False)
    builder.append(Activation("relu"), builder.shape, {})
    for _ in range(builder.upto(3)):
        builder.residual()
        if generator.random() < 0.3:
            _append_any(builder, branches=True)
    inner = len(builder.nodes)
    builder.classifier(3, "softmax")
    graph = builder.graph(3)
    tap = int(generator.choice([layer.last_node for layer in fuse(graph) if layer.last_node < inner]))
    exits = (_exit(generator, graph, tap, 3, "softmax"),) if generator.random() < 0.7 else ()
    full = tuple(group.size for group in graph.groups)
    subnetworks = [Subnetwork("full", full)]
    for number, leave in enumerate((None, *exits)):
        sets = sets_to_skip(graph, AUTO, leave) if skippable_blocks(graph) else ((),)
        for index, skips in enumerate(generator.permutation(np.array([*sets, None], object)[:-1])[:4]):
            whole = index == 0 or (leave is not None and narrowing_obstacle(leave.head) is not None)
            widths = full if whole else tuple(int(generator.integers(1, size + 1)) for size in full)
            subnetworks.append(Subnetwork(f"{number}.{index}", widths, number, skips=skips))
    subnetworks.sort(key=lambda one: (bool(one.skips), one.exit))
    family = Family(graph, tuple(np.ones(size) for size in full), exits, tuple(subnetworks))
    return Supernet(family, tuple(_batch_norm(generator, family, one) for one in subnetworks))


def random_supernet_with_exit(seed: int) -> Supernet:
    """The first family from a seed on of four subnetworks, the last of which leaves through an exit at full width."""

    def fits(supernet: Supernet) -> bool:
        return [one.name for one in supernet.family.subnetworks][3:] == ["shallow"]

    return next(supernet for supernet in map(random_supernet, count(seed)) if fits(supernet))


def _input_shape(generator: np.random.Generator) -> tuple[int, ...]:
    if generator.random() < 0.3:
        return (int(generator.integers(1, 40)),)
    height, width, channels = (int(value) for value in generator.integers(1, (11, 11, 5)))
    return (height, width, channels)


def _append_any(builder: GraphBuilder, branches: bool, transposed: bool = True) -> None:
    kinds = ["conv", "conv", "depthwise", "pool", "pad", "upsample", "crop", "slice", "transposed", "scale"]
    kinds = kinds if transposed else [kind for kind in kinds if kind != "transposed"]
    kinds += ["pair", "pair", "pair", "gate", "concatenation"] if branches else []
    kind = builder.generator.choice(kinds)
    if kind == "pair":
        builder.pair()
    elif kind == "gate":
        builder.gate()
    elif kind == "concatenation":
        builder.concatenation()
    elif kind == "scale":
        builder.scale()
    elif builder.is_vector:
        builder.dense(builder.upto(13) + 1)
    elif kind == "pool":
        builder.pool()
    elif kind == "pad":
        builder.pad()
    elif kind == "upsample":
        builder.upsample()
    elif kind == "crop":
        builder.crop()
    elif kind == "slice":
        builder.slice()
    elif kind == "transposed":
        builder.transposed()
    else:
        builder.convolution(depthwise=kind == "depthwise")


def _exit(generator: np.random.Generator, graph: Graph, tap: int, classes: int, function: str) -> Exit:
    head = GraphBuilder(generator, "head", graph.nodes[tap].output_shape, ANY_RANGE)
    if head.shape[:2] != (1, 1):
        head.convolution(depthwise=True)
    if generator.random() < 0.5:
        _append_any(head, branches=False, transposed=False)
    head.classifier(classes, function)
    return Exit("exit", tap, head.graph(classes))


def _batch_norm(generator: np.random.Generator, family: Family, subnetwork: Subnetwork) -> BatchNormWeights:
    """The subnetwork's own statistics: the full network's where it runs at full width, others elsewhere."""
    weights = {}
    for graph, active in _parts(family, subnetwork):
        for node, width in zip(graph.nodes, active, strict=True):
            if isinstance(node.operation, BatchNormalization):
                own = {key: value[:width].copy() for key, value in node.weights.items()}
                if subnetwork.widths != family.subnetworks[0].widths:
                    own["moving_mean"] += generator.normal(0, 0.2, width).astype(np.float32)
                    own["moving_variance"] *= generator.uniform(0.5, 2, width).astype(np.float32)
                weights[node.name] = own
    return weights


def _parts(family: Family, subnetwork: Subnetwork) -> Iterator[tuple[Graph, tuple[int, ...]]]:
    """The network and its heads with the active channels of each node."""
    active = active_channels(family.graph, subnetwork.widths, family.graph.input_map[2])
    yield family.graph, active
    for leave in family.exits:
        yield leave.head, active_channels(leave.head, full_widths(leave.head), active[leave.tap])


def _output(size: int, kernel: int, stride: int, dilation: int, padding: Padding) -> int:
    if padding == "same":
        return -(-size // stride)
    return (size - (kernel - 1) * dilation - 1) // stride + 1
