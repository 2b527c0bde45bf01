"""Random trained families for property tests: any chain of supported operations, any widths, any statistics."""

from dataclasses import dataclass, field

import numpy as np

from reds.graph import (
    Activation,
    Array,
    BatchNormalization,
    BatchNormWeights,
    ChannelGroup,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    Exit,
    Family,
    Graph,
    Node,
    Operation,
    Padding,
    Pool2D,
    Shape,
    Subnetwork,
    Supernet,
    as_map,
)


@dataclass
class ChainBuilder:
    """Appends random nodes to a chain."""

    generator: np.random.Generator
    prefix: str
    input_shape: tuple[int, ...]
    nodes: list[Node] = field(default_factory=list)
    groups: list[ChannelGroup] = field(default_factory=list)
    group: int | None = None

    @property
    def shape(self) -> Shape:
        """Shape of the last node's output."""
        return self.nodes[-1].output_shape if self.nodes else as_map(self.input_shape)

    def append(self, operation: Operation, shape: Shape, group: int | None, weights: dict[str, Array]) -> None:
        """Appends a node on the last one's output."""
        name = f"{self.prefix}{len(self.nodes)}"
        source = len(self.nodes) - 1
        self.nodes.append(Node(name, operation, (source,), shape, self.group, group, weights))
        self.group = group

    def new_group(self, size: int) -> int:
        """A channel group for the node that is about to be appended."""
        self.groups.append(ChannelGroup(f"{self.prefix}{len(self.nodes)}", size))
        return len(self.groups) - 1

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
        strides = (self.upto(2), self.upto(2))
        dilation = self.dilation(kernel, strides)
        padding: Padding = "same" if self.generator.random() < 0.5 else "valid"
        out = (_output(height, kernel[0], strides[0], dilation[0], padding),
               _output(width, kernel[1], strides[1], dilation[1], padding))  # fmt: skip
        taps = kernel[0] * kernel[1]
        if depthwise:
            weights = self.weights((*kernel, channels, 1), channels, taps)
            operation = DepthwiseConv2D(kernel, strides, padding, dilation)
            self.append(operation, (*out, channels), self.group, weights)
        else:
            filters = self.upto(13) + 1
            weights = self.weights((*kernel, channels, filters), filters, taps * channels)
            self.append(Conv2D(kernel, strides, padding, dilation), (*out, filters), self.new_group(filters), weights)
        self.decorate()

    def dilation(self, kernel: tuple[int, int], strides: tuple[int, int]) -> tuple[int, int]:
        """Two taps apart where the window still fits and nothing is strided (Keras takes only one of the two)."""
        height, width, _ = self.shape
        fits = 2 * kernel[0] - 1 <= height and 2 * kernel[1] - 1 <= width
        return (2, 2) if fits and strides == (1, 1) and self.generator.random() < 0.3 else (1, 1)

    def dense(self) -> None:
        """A dense layer on a 1 x 1 map, and perhaps what follows it."""
        channels, units = self.shape[2], self.upto(13) + 1
        weights = self.weights((channels, units), units, channels)
        self.append(Dense(), (1, 1, units), self.new_group(units), weights)
        self.decorate()

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
        self.append(Pool2D(kind, size, strides, padding), (out[0], out[1], channels), self.group, {})

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
            self.append(BatchNormalization(1e-3), self.shape, self.group, floats)
        function = self.generator.choice(["relu", "relu6", "none"])
        if function != "none":
            self.append(Activation(function), self.shape, self.group, {})

    def classifier(self, classes: int, softmax: bool) -> None:
        """Flattens what is left of the map into class scores."""
        height, width, channels = self.shape
        if height * width == 1:
            self.append(Dense(), (1, 1, classes), None, self.weights((channels, classes), classes, channels))
        else:
            fan_in = height * width * channels
            weights = self.weights((height, width, channels, classes), classes, fan_in)
            self.append(Conv2D((height, width)), (1, 1, classes), None, weights)
        if softmax:
            self.append(Activation("softmax"), (1, 1, classes), None, {})

    def upto(self, most: int) -> int:
        """A number from 1 to `most`."""
        return int(self.generator.integers(1, most + 1))

    def graph(self, classes: int) -> Graph:
        """The finished chain."""
        return Graph(f"{self.prefix}net", self.input_shape, (classes,), tuple(self.nodes), tuple(self.groups))


def random_supernet(seed: int) -> Supernet:
    """A family of the full network, two narrower ones and, mostly, one that leaves through an exit."""
    generator = np.random.default_rng(seed)
    classes, softmax = int(generator.integers(2, 7)), bool(generator.random() < 0.7)
    chain = ChainBuilder(generator, "layer", _input_shape(generator))
    for _ in range(chain.upto(5)):
        _append_any(chain)
    if not chain.groups:
        chain.dense() if chain.shape[:2] == (1, 1) else chain.convolution(depthwise=False)
    tap = len(chain.nodes) - 1
    chain.classifier(classes, softmax)
    graph = chain.graph(classes)
    exits = (_exit(generator, graph, tap, classes, softmax),) if generator.random() < 0.7 else ()
    full = tuple(group.size for group in graph.groups)
    narrow = tuple(int(generator.integers(1, size + 1)) for size in full)
    narrower = tuple(int(generator.integers(1, size + 1)) for size in narrow)
    subnetworks = [Subnetwork("full", full), Subnetwork("narrow", narrow), Subnetwork("narrower", narrower)]
    subnetworks += [Subnetwork("shallow", full, exit=1)] if exits else []
    importance = tuple(np.ones(size) for size in full)
    family = Family(graph, importance, exits, tuple(subnetworks))
    return Supernet(family, tuple(_batch_norm(generator, family, s) for s in subnetworks))


def _input_shape(generator: np.random.Generator) -> tuple[int, ...]:
    if generator.random() < 0.3:
        return (int(generator.integers(1, 40)),)
    height, width, channels = (int(value) for value in generator.integers(1, (11, 11, 5)))
    return (height, width, channels)


def _append_any(chain: ChainBuilder) -> None:
    if chain.shape[:2] == (1, 1) and len(chain.input_shape) == 1:
        chain.dense()
        return
    kind = chain.generator.choice(["conv", "conv", "depthwise", "pool"])
    if kind == "pool":
        chain.pool()
    else:
        chain.convolution(depthwise=kind == "depthwise")


def _exit(generator: np.random.Generator, graph: Graph, tap: int, classes: int, softmax: bool) -> Exit:
    head = ChainBuilder(generator, "head", graph.nodes[tap].output_shape)
    if head.shape[:2] != (1, 1):
        head.convolution(depthwise=True)
    head.classifier(classes, softmax)
    return Exit("exit", tap, head.graph(classes))


def _batch_norm(generator: np.random.Generator, family: Family, subnetwork: Subnetwork) -> BatchNormWeights:
    """The subnetwork's own statistics: the full network's where it runs at full width, others elsewhere."""
    graphs = [family.graph] + [exit.head for exit in family.exits]
    weights = {}
    for graph in graphs:
        for node in graph.nodes:
            if isinstance(node.operation, BatchNormalization):
                whole = graph is not family.graph or subnetwork.widths == family.subnetworks[0].widths
                width = node.output_shape[2] if graph is not family.graph else _width(node, subnetwork)
                own = {key: value[:width].copy() for key, value in node.weights.items()}
                if not whole:
                    own["moving_mean"] += generator.normal(0, 0.2, width).astype(np.float32)
                    own["moving_variance"] *= generator.uniform(0.5, 2, width).astype(np.float32)
                weights[node.name] = own
    return weights


def _width(node: Node, subnetwork: Subnetwork) -> int:
    return node.output_shape[2] if node.output_group is None else subnetwork.widths[node.output_group]


def _output(size: int, kernel: int, stride: int, dilation: int, padding: Padding) -> int:
    if padding == "same":
        return -(-size // stride)
    return (size - (kernel - 1) * dilation - 1) // stride + 1
