"""Lets convolutions do the zero padding before them where they can."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from reds.graph import INPUT, Conv2D, DepthwiseConv2D, Node, Pad, Padding, Shape


@dataclass(frozen=True)
class WindowPositions:
    """Where a window stands on one axis of a map."""

    count: int
    before: int
    """Rows before the map in the first window."""


def window_positions(size: int, window: int, stride: int, dilation: int, padding: Padding) -> WindowPositions:
    """Where a window stands on a map.

    Args:
        size: rows of the map.
        window: taps of the window.
        stride: rows from position to position.
        dilation: rows from tap to tap.
        padding: "valid", or "same": half of what is missing, rounded down, stands before the map (as in TensorFlow).
    """
    extent = (window - 1) * dilation + 1
    if padding == "valid":
        return WindowPositions(math.ceil((size - extent + 1) / stride), 0)
    count = math.ceil(size / stride)
    return WindowPositions(count, max((count - 1) * stride + extent - size, 0) // 2)


def absorb_padding(nodes: Sequence[Node], input_map: Shape) -> tuple[Node, ...]:
    """Writes a "valid" convolution on a zero padded map as a "same" one on the map, where its taps are then the same.

    Args:
        nodes: a network in topological order, the output last.
        input_map: the network's input.

    Returns:
        A network of the same function, without the padding that nobody reads any more.
    """
    absorbed = [_absorbed(node, nodes, input_map) for node in nodes]
    return _without_unread_padding(absorbed)


def _absorbed(node: Node, nodes: Sequence[Node], input_map: Shape) -> Node:
    operation = node.operation
    if not isinstance(operation, Conv2D | DepthwiseConv2D) or operation.padding != "valid" or node.input == INPUT:
        return node
    pad = nodes[node.input]
    if not isinstance(pad.operation, Pad):
        return node
    source = input_map if pad.input == INPUT else nodes[pad.input].output_shape
    for axis, border in enumerate((pad.operation.rows, pad.operation.columns)):
        window = (operation.kernel_size[axis], operation.strides[axis], operation.dilation[axis])
        padded = window_positions(source[axis] + sum(border), *window, "valid")
        if window_positions(source[axis], *window, "same") != replace(padded, before=border[0]):
            return node
    return replace(node, operation=replace(operation, padding="same"), inputs=pad.inputs)


def _without_unread_padding(nodes: Sequence[Node]) -> tuple[Node, ...]:
    read = {source for node in nodes for source in node.inputs} | {len(nodes) - 1}
    places = {INPUT: INPUT}
    kept: list[Node] = []
    for index, node in enumerate(nodes):
        if isinstance(node.operation, Pad) and index not in read:
            continue
        places[index] = len(kept)
        kept.append(replace(node, inputs=tuple(places[source] for source in node.inputs)))
    return tuple(kept)
