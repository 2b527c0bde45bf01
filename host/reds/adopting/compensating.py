"""Gives narrower subnetworks the means of the channels that they lack."""

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from reds.adopting.importance import mixes_channels, real_weights
from reds.adopting.statistics import ActivationStatistics
from reds.compiled import CompiledLayer, CompiledNetwork, CompiledStep, CompiledSubnetwork
from reds.graph import INPUT, Conv2D, Conv2DTranspose

_INT32 = np.iinfo(np.int32)


def with_means(network: CompiledNetwork, statistics: ActivationStatistics) -> CompiledNetwork:
    """Adds to each bias what the channels that a step does not read would give if each stayed at its mean.

    In the padding around a map there is nothing to be missed, which this does not count.

    Args:
        network: an adopted network with subnetworks.
        statistics: of the activations of the full one.
    """
    return replace(network, subnetworks=tuple(_subnetwork(network, one, statistics) for one in network.subnetworks))


def _subnetwork(
    network: CompiledNetwork, subnetwork: CompiledSubnetwork, statistics: ActivationStatistics
) -> CompiledSubnetwork:
    steps = []
    for step in subnetwork.steps:
        layer = network.layers[step.layer]
        lacks = step.input_channels < layer.input_shape[2] and layer.inputs[0] != INPUT
        if mixes_channels(layer) and lacks:
            step = _compensated(layer, step, network.subnetworks[0].steps[step.layer], statistics)
        steps.append(step)
    return replace(subnetwork, steps=tuple(steps))


def _compensated(
    layer: CompiledLayer, step: CompiledStep, full: CompiledStep, statistics: ActivationStatistics
) -> CompiledStep:
    assert step.bias is not None and step.weight_scales is not None
    means = statistics.means[layer.inputs[0]].reshape(layer.input_shape)
    missing = _missing(layer, real_weights(layer, full), means, step.input_channels)[: step.output_channels]
    if step.input_quantization is None:
        return replace(step, bias=(step.bias + missing).astype(np.float32))
    units = missing / (float(step.input_quantization.scale) * step.weight_scales.astype(np.float64))
    bias = np.clip(step.bias + np.rint(units), _INT32.min, _INT32.max)
    return replace(step, bias=bias.astype(np.int32))


def _missing(
    layer: CompiledLayer, weights: NDArray[np.float64], means: NDArray[np.float64], kept: int
) -> NDArray[np.float64]:
    """Per output channel the sum of the weights times the means that are not read."""
    is_whole_map = weights.shape[1:-1] == means.shape[:-1] and layer.output_shape[:2] == (1, 1)
    if is_whole_map and isinstance(layer.operation, Conv2D):  # Each position has a mean of its own.
        return np.einsum("ohwi,hwi->o", weights[..., kept:], means[..., kept:])
    by_channel = weights.reshape(len(weights), -1, weights.shape[-1]).sum(axis=1)
    missing = by_channel[:, kept:] @ means.mean(axis=(0, 1))[kept:]
    if isinstance(layer.operation, Conv2DTranspose):  # A position is reached by one of so many taps.
        missing = missing / math.prod(layer.operation.strides)
    return missing
