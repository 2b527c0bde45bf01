"""How important the channels of an adopted network are, by its weights alone or by how they vary."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from reds.adopting.statistics import ActivationStatistics
from reds.compiled import CompiledLayer, CompiledNetwork, CompiledStep
from reds.errors import UsageError
from reds.graph import WITH_KERNEL, DepthwiseConv2D, Graph

Importance = Literal["paths", "l1", "fluctuation"]


def magnitudes(graph: Graph, network: CompiledNetwork, importance: Importance) -> list[NDArray[np.float64]]:
    """How much weight makes each channel, and reads it.

    Args:
        graph: the graph of the network.
        network: the network.
        importance: "l1" is the sum of the magnitudes of all real weights that make a channel; "paths" the product, over
            the layers that make or read the channel, of such sums, each in units of the mean of its layer's channels.
            A product does not change where a layer makes a channel larger by what the next one makes it smaller by.

    Returns:
        Per channel group the importance of each channel.

    Raises:
        UsageError: if there is no such importance.
    """
    if importance not in ("paths", "l1"):
        raise UsageError(f"`importance` must be 'paths', 'l1' or 'fluctuation'. Received: importance={importance!r}")
    totals = [np.full(group.size, 0.0 if importance == "l1" else 1.0) for group in graph.groups]
    for node, layer, step in zip(graph.nodes, network.layers, network.subnetworks[0].steps, strict=True):
        if not isinstance(layer.operation, WITH_KERNEL):
            continue
        weights = np.abs(real_weights(layer, step))
        if node.output_group is not None and importance == "l1":
            totals[node.output_group] += _sums(weights, 0)
        elif node.output_group is not None:
            totals[node.output_group] *= _relative(_sums(weights, 0))
        if node.input_group is not None and mixes_channels(layer) and importance == "paths":
            totals[node.input_group] *= _relative(_sums(weights, -1))
    return totals


def fluctuations(graph: Graph, network: CompiledNetwork, statistics: ActivationStatistics) -> list[NDArray[np.float64]]:
    """How far outputs move from what they are where each channel stays at its mean.

    Source: An et al., "Fluctuation-based adaptive structured pruning for large language models", arXiv 2312.11983.

    Args:
        graph: the graph of the network.
        network: the network.
        statistics: of its activations.

    Returns:
        Per channel group and channel the root of the sum, over the weights that read it, of their squares times the
        channel's variance.
    """
    totals = [np.zeros(group.size) for group in graph.groups]
    for node, layer, step in zip(graph.nodes, network.layers, network.subnetworks[0].steps, strict=True):
        if node.input_group is not None and mixes_channels(layer):
            squares = _sums(np.square(real_weights(layer, step)), -1)
            totals[node.input_group] += squares * statistics.variances[layer.inputs[0]]
    return [np.sqrt(total) for total in totals]


def mixes_channels(layer: CompiledLayer) -> bool:
    """Whether its outputs sum over channels of its input."""
    return isinstance(layer.operation, WITH_KERNEL) and not isinstance(layer.operation, DepthwiseConv2D)


def real_weights(layer: CompiledLayer, step: CompiledStep) -> NDArray[np.float64]:
    """The real weights, output channels first and input channels last; depthwise ones have no axis for the latter."""
    assert layer.weights is not None and step.weight_scales is not None
    weights = layer.weights.astype(np.float64)
    if isinstance(layer.operation, DepthwiseConv2D):
        weights = np.moveaxis(weights, -1, 0)
    return weights * step.weight_scales.reshape((-1,) + (1,) * (weights.ndim - 1))


def _sums(weights: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    by_channel = np.moveaxis(weights, axis, 0)
    return by_channel.reshape(len(by_channel), -1).sum(axis=1)


def _relative(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """In units of their mean; all alike where no weight is above zero."""
    return sums / sums.mean() if sums.any() else np.ones_like(sums)


def falling_orders(importance: Sequence[NDArray[np.float64]]) -> list[NDArray[np.intp]]:
    """Per channel group the old index of each channel when they are sorted by falling importance."""
    return [np.argsort(-values, kind="stable") for values in importance]
