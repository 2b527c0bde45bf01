"""Networks that baselines train: a subnetwork as a network of its own, and any network with fresh weights."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from keras import initializers, ops

from reds.cost import full_widths
from reds.graph import INPUT, Array, DepthwiseConv2D, Family, Graph, Node, Shape
from reds.grouping import FIXES_CHANNELS, MAKES_CHANNELS, with_groups
from reds.shallow import shallow_network


def standalone(family: Family, index: int) -> Graph:
    """A subnetwork as a network of its own, without the channels and layers that it does not run.

    Args:
        family: the network, its exits and its subnetworks.
        index: in `family.subnetworks`.

    Returns:
        A network that gives what the subnetwork gives with the graph's own batch normalisation.
    """
    chosen = family.subnetworks[index]
    exit_ = None if chosen.exit == 0 else family.exits[chosen.exit - 1]
    network = shallow_network(family.graph, skips=chosen.skips)
    last = len(network.graph.nodes) - 1 if exit_ is None else network.places[exit_.tap]
    nodes = _append_narrowed((), network.graph, last, network.narrow(chosen.widths), family.graph.input_map)
    if exit_ is not None:
        end = len(exit_.head.nodes) - 1
        nodes = _append_narrowed(nodes, exit_.head, end, full_widths(exit_.head), nodes[-1].output_shape)
    nodes, groups = with_groups(nodes)
    return replace(family.graph, nodes=nodes, groups=groups)


def with_fresh_weights(graph: Graph, seed: int) -> Graph:
    """The network as it is before any training.

    Args:
        graph: the network.
        seed: of the kernels.

    Returns:
        The network with Glorot uniform kernels, no bias and neutral batch normalisation, as Keras' layers begin.
    """
    seeds = np.random.default_rng(seed).integers(2**31, size=len(graph.nodes))
    nodes = (
        replace(node, weights=_fresh(node.weights, int(own))) for node, own in zip(graph.nodes, seeds, strict=True)
    )
    return replace(graph, nodes=tuple(nodes))


def _fresh(weights: Mapping[str, Array], seed: int) -> dict[str, Array]:
    fresh = {name: np.zeros_like(values) for name, values in weights.items()}
    for name in ("gamma", "moving_variance"):
        if name in fresh:
            fresh[name] = np.ones_like(fresh[name])
    if "kernel" in fresh:
        kernel = initializers.GlorotUniform(seed)(fresh["kernel"].shape)
        fresh["kernel"] = np.asarray(ops.convert_to_numpy(kernel), np.float32)
    return fresh


def _append_narrowed(
    before: tuple[Node, ...], graph: Graph, last: int, widths: Sequence[int], input_map: Shape
) -> tuple[Node, ...]:
    """Puts the nodes that node `last` needs behind others, with the first channels of each group only.

    Args:
        before: the nodes whose last one gives the graph's input; none where it is the network's input.
        graph: where the nodes are taken from.
        last: index in it.
        widths: active channels per channel group of the graph.
        input_map: shape of its input as it arrives.
    """
    nodes = list(before)
    places = {INPUT: len(before) - 1 if before else INPUT}
    for index in graph.ancestors(last):
        node = graph.nodes[index]
        sources = tuple(places[source] for source in node.inputs)
        inputs = (input_map if sources[0] == INPUT else nodes[sources[0]].output_shape)[2]
        places[index] = len(nodes)
        nodes.append(replace(_narrowed(graph, node, inputs, widths), inputs=sources))
    return tuple(nodes)


def _narrowed(graph: Graph, node: Node, inputs: int, widths: Sequence[int]) -> Node:
    """The node with as many input channels and its own active output channels."""
    height, width, outputs = node.output_shape
    if node.output_group is not None:
        outputs = widths[node.output_group]
    elif not isinstance(node.operation, MAKES_CHANNELS + FIXES_CHANNELS):
        outputs = inputs * (outputs // graph.shape_of(node.input)[2])
    weights = {name: values[..., :outputs] for name, values in node.weights.items()}
    if isinstance(node.operation, MAKES_CHANNELS):
        weights["kernel"] = weights["kernel"][..., :inputs, :]
    elif isinstance(node.operation, DepthwiseConv2D):
        weights["kernel"] = node.weights["kernel"][..., :inputs, :]
    return replace(node, output_shape=(height, width, outputs), weights=weights)
