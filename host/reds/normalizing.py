"""Gives every batch normalisation an operation that it can be folded into."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from reds.graph import INPUT, WITH_KERNEL, BatchNormalization, DepthwiseConv2D, Node


def with_foldable_normalizations(nodes: Sequence[Node]) -> tuple[Node, ...]:
    """Puts a 1 x 1 depthwise convolution of ones, `name/ones`, before batch normalisations that need one.

    A batch normalisation is folded into the convolution or dense layer whose output nobody else reads.

    Args:
        nodes: a network in topological order, the output last.

    Returns:
        A network of the same function.
    """
    readers = Counter(source for node in nodes for source in node.inputs)
    places = {INPUT: INPUT}
    result: list[Node] = []
    for index, node in enumerate(nodes):
        inputs = tuple(places[source] for source in node.inputs)
        if isinstance(node.operation, BatchNormalization) and not _folds(node, nodes, readers):
            result.append(_ones(node, inputs))
            inputs = (len(result) - 1,)
        places[index] = len(result)
        result.append(replace(node, inputs=inputs))
    return tuple(result)


def _folds(node: Node, nodes: Sequence[Node], readers: Counter[int]) -> bool:
    if node.input == INPUT or readers[node.input] > 1:
        return False
    return isinstance(nodes[node.input].operation, WITH_KERNEL)


def _ones(node: Node, inputs: tuple[int, ...]) -> Node:
    kernel = np.ones((1, 1, node.output_shape[2], 1), np.float32)
    operation = DepthwiseConv2D((1, 1))
    return replace(node, name=f"{node.name}/ones", operation=operation, inputs=inputs, weights={"kernel": kernel})
