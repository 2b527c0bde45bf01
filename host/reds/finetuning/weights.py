"""Takes the weights out of a graph and puts others in."""

from collections.abc import Iterator
from dataclasses import replace

from reds.forward import Weights
from reds.graph import Array, Graph


def weights_of(graph: Graph) -> Weights:
    """A graph's weights by node."""
    return {node.name: node.weights for node in graph.nodes}


def with_weights(graph: Graph, weights: Weights) -> Graph:
    """The graph with some of its weights replaced."""
    nodes = (
        replace(node, weights={**node.weights, **weights[node.name]}) if node.name in weights else node
        for node in graph.nodes
    )
    return replace(graph, nodes=tuple(nodes))


def arrays_of(graph: Graph) -> Iterator[Array]:
    """A graph's weights in order."""
    for node in graph.nodes:
        yield from node.weights.values()
