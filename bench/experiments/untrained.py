"""Published networks with random weights, to measure what does not depend on training: sizes and times."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from reds import zoo
from reds.cost import full_widths
from reds.exits import attach_exits
from reds.finetuning.statistics import estimate_batch_norms
from reds.finetuning.weights import weights_of
from reds.graph import Array, BatchNormalization, Exit, Family, Graph, Ranked, Subnetwork, Supernet
from reds.heads import HeadKind
from reds.tracing import trace

_RANGES = {"bias": (-0.1, 0.1), "gamma": (0.5, 1.5), "beta": (-0.1, 0.1), "moving_mean": (-0.1, 0.1),
           "moving_variance": (0.5, 2.0)}  # fmt: skip
"""What fresh weights have alike in all channels, by name, and the range in which it is drawn here."""


def untrained_network(architecture: str, taps: Sequence[str], head: HeadKind = "auxiliary") -> Supernet:
    """A network of the zoo at full width and left at each of its exits.

    Args:
        architecture: its name in the zoo.
        taps: layers that exits tap.
        head: what is put behind each tap.

    Returns:
        Subnetwork 0 is the whole network, the others leave at the exits in the network's order. Biases and batch
        normalisations are random: where they are alike, as in fresh networks, a file would be smaller.
    """
    generator = np.random.default_rng(0)
    graph = _drawn(trace(zoo.build(architecture)), generator)
    importance = tuple(np.ones(group.size) for group in graph.groups)
    exits = tuple(
        replace(leave, head=_drawn(leave.head, generator))
        for leave in attach_exits(Ranked(graph, importance, "random"), taps, head=head).exits
    )
    full = full_widths(graph)
    shallow = tuple(Subnetwork(leave.name, full, exit=index) for index, leave in enumerate(exits, start=1))
    family = Family(graph, importance, exits, (Subnetwork("whole", full), *shallow))
    return Supernet(family, (_normalizations(graph), *(_normalizations_to(graph, leave) for leave in exits)))


def narrowed_network(graph: Graph, subnetworks: Sequence[Subnetwork], samples: Array) -> Supernet:
    """Subnetworks of a network with the weights that it has.

    Args:
        graph: the network.
        subnetworks: those of the file, the whole network first.
        samples: (samples, *input shape) inputs that the statistics of batch normalisations are taken from.
    """
    importance = tuple(np.ones(group.size) for group in graph.groups)
    batch_norms = (estimate_batch_norms(graph, [samples], weights_of(graph), one.widths) for one in subnetworks)
    return Supernet(Family(graph, importance, (), tuple(subnetworks)), tuple(batch_norms))


def _drawn(graph: Graph, generator: np.random.Generator) -> Graph:
    nodes = (replace(node, weights=_drawn_weights(node.weights, generator)) for node in graph.nodes)
    return replace(graph, nodes=tuple(nodes))


def _drawn_weights(weights: Mapping[str, Array], generator: np.random.Generator) -> dict[str, Array]:
    return {
        name: generator.uniform(*_RANGES[name], values.shape).astype(np.float32) if name in _RANGES else values
        for name, values in weights.items()
    }


def _normalizations_to(graph: Graph, leave: Exit) -> dict[str, dict[str, Array]]:
    """Those that run up to an exit, and in its head."""
    own = _normalizations(graph)
    kept = {graph.nodes[index].name for index in graph.ancestors(leave.tap)}
    return {name: own[name] for name in own if name in kept} | _normalizations(leave.head)


def _normalizations(graph: Graph) -> dict[str, dict[str, Array]]:
    weights = weights_of(graph)
    return {
        node.name: dict(weights[node.name]) for node in graph.nodes if isinstance(node.operation, BatchNormalization)
    }
