"""A residual network of any size as a graph without weights, for the search."""

from collections.abc import Sequence

from reds.graph import INPUT, Add, Conv2D, Dense, Graph, Node, Operation, Pool2D
from reds.grouping import with_groups


class _Builder:
    def __init__(self, channels: int) -> None:
        self.nodes: list[Node] = []
        self._input_channels = channels

    def add(self, operation: Operation, inputs: tuple[int, ...], size: int, channels: int) -> int:
        """Appends a node; returns its index."""
        name = f"{type(operation).__name__.lower()}_{len(self.nodes)}"
        self.nodes.append(Node(name, operation, inputs, (size, size, channels), None, None, {}))
        return len(self.nodes) - 1

    def channels_of(self, node: int) -> int:
        """Output channels of a node."""
        return self._input_channels if node == INPUT else self.nodes[node].output_shape[2]

    def block(self, source: int, size: int, channels: int) -> int:
        """Two convolutions and the way around them, with a convolution of its own where the channels change."""
        stride = 1 if self.channels_of(source) == channels else 2
        first = self.add(Conv2D((3, 3), (stride, stride), "same"), (source,), size, channels)
        second = self.add(Conv2D((3, 3), (1, 1), "same"), (first,), size, channels)
        around = source if stride == 1 else self.add(Conv2D((1, 1), (2, 2), "same"), (source,), size, channels)
        return self.add(Add(), (second, around), size, channels)


def residual_network(size: int = 32, stages: Sequence[int] = (16, 32, 64), blocks: int = 1, classes: int = 10) -> Graph:
    """ResNet-8 as in MLPerf Tiny, or a wider or deeper one.

    Args:
        size: height and width of the input.
        stages: channels of each stage; the map halves from one to the next.
        blocks: residual blocks per stage.
        classes: outputs.
    """
    builder = _Builder(3)
    last = builder.add(Conv2D((3, 3), (1, 1), "same"), (INPUT,), size, stages[0])
    for stage, channels in enumerate(stages):
        for _ in range(blocks):
            last = builder.block(last, size >> stage, channels)
    window = (size >> len(stages) - 1,) * 2
    pooled = builder.add(Pool2D("average", window, window), (last,), 1, stages[-1])
    builder.add(Dense(), (pooled,), 1, classes)
    nodes, groups = with_groups(builder.nodes)
    return Graph("resnet", (size, size, 3), (classes,), nodes, groups)
