"""Networks that baselines train: a subnetwork as a network of its own, and any network with fresh weights."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from keras import initializers, ops

from reds.cost import full_widths
from reds.graph import INPUT, Array, ChannelGroup, Conv2D, Dense, DepthwiseConv2D, Exit, Family, Graph, Node


def standalone(family: Family, index: int) -> Graph:
    """A subnetwork as a network of its own, without the channels and layers that it does not run.

    Args:
        family: the network, its exits and its subnetworks.
        index: in `family.subnetworks`.

    Returns:
        A network that gives what the subnetwork gives with the graph's own batch normalisation.
    """
    chosen = family.subnetworks[index]
    if chosen.exit == 0:
        return _narrowed(family.graph, chosen.widths)
    exit_ = family.exits[chosen.exit - 1]
    joined = _with_head(family.graph, exit_)
    kept = len(joined.groups) - len(exit_.head.groups)
    return _narrowed(joined, (*chosen.widths[:kept], *full_widths(exit_.head)))


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


def _with_head(graph: Graph, exit_: Exit) -> Graph:
    """The network up to a tap and the exit's head behind it, as one network."""
    trunk = graph.nodes[: exit_.tap + 1]
    made = [node.output_group for node in trunk if node.output_group is not None]
    groups = graph.groups[: max(made, default=-1) + 1]
    nodes = [*trunk]
    for node in exit_.head.nodes:
        sources = tuple(exit_.tap if source == INPUT else source + len(trunk) for source in node.inputs)
        takes = nodes[sources[0]].output_group
        gives = takes
        if isinstance(node.operation, Conv2D | Dense):
            gives = None if node.output_group is None else node.output_group + len(groups)
        nodes.append(replace(node, inputs=sources, input_group=takes, output_group=gives))
    return replace(graph, nodes=tuple(nodes), groups=(*groups, *exit_.head.groups))


def _narrowed(graph: Graph, widths: tuple[int, ...]) -> Graph:
    """The network with the first channels of each group only."""
    nodes = tuple(_narrowed_node(graph, node, widths) for node in graph.nodes)
    groups = tuple(ChannelGroup(group.name, width) for group, width in zip(graph.groups, widths, strict=True))
    return replace(graph, nodes=nodes, groups=groups)


def _narrowed_node(graph: Graph, node: Node, widths: tuple[int, ...]) -> Node:
    height, width, channels = node.output_shape
    inputs = graph.shape_of(node.input)[2] if node.input_group is None else widths[node.input_group]
    outputs = channels if node.output_group is None else widths[node.output_group]
    weights = {name: values[..., :outputs] for name, values in node.weights.items()}
    if isinstance(node.operation, Conv2D | Dense):
        weights["kernel"] = weights["kernel"][..., :inputs, :]
    elif isinstance(node.operation, DepthwiseConv2D):
        weights["kernel"] = node.weights["kernel"][..., :outputs, :]
    return replace(node, output_shape=(height, width, outputs), weights=weights)
