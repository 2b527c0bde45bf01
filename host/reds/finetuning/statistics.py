"""Batch-norm statistics of a subnetwork, measured anew on data."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from keras import ops

from reds.forward import Moments, Tensor, Weights, forward_with_moments, output_channels
from reds.graph import Array, BatchNormWeights, Graph

BatchNorms = dict[str, dict[str, Array]]
"""Per node name gamma, beta, moving_mean and moving_variance, sliced to the width."""


def estimate_batch_norms(
    graph: Graph,
    batches: Iterable[Tensor],
    weights: Weights,
    widths: Sequence[int] | None = None,
    until: int | None = None,
) -> BatchNorms:
    """Measures the statistics that each batch normalisation of a subnetwork sees.

    While they are measured, every layer normalises with the statistics of the batch, so that what a later layer
    sees is right from the first batch on.

    Args:
        graph: the network.
        batches: inputs, each of shape (batch, *graph.input_shape).
        weights: full-width weights.
        widths: active channels per channel group; all where None.
        until: index of the last node to run.

    Returns:
        Per batch normalisation that is run its weights, sliced to the width.
    """
    totals: dict[str, _Total] = {}
    for x in batches:
        _, moments = forward_with_moments(graph, x, weights, widths, until=until)
        for name, moment in moments.items():
            totals.setdefault(name, _Total()).add(moment, x.shape[0])
    return {name: _batch_norm(weights[name], total) for name, total in totals.items()}


def narrow_batch_norms(
    graph: Graph, full: BatchNormWeights, widths: Sequence[int], until: int | None = None
) -> BatchNorms:
    """The batch normalisations of a subnetwork that shares the full network's statistics.

    Args:
        graph: the network.
        full: the full network's batch normalisations.
        widths: active channels per channel group.
        until: index of the last node to run.

    Returns:
        Those that the subnetwork runs, each a prefix of the full network's.
    """
    last = len(graph.nodes) - 1 if until is None else until
    nodes = [graph.nodes[index] for index in graph.ancestors(last) if graph.nodes[index].name in full]
    return {
        node.name: {name: values[: output_channels(node, widths)] for name, values in full[node.name].items()}
        for node in nodes
    }


class _Total:
    """Moments of all batches together: their variance is the mean variance plus the variance of the means."""

    def __init__(self) -> None:
        self._samples = 0
        self._mean: np.ndarray = np.zeros(())
        self._square: np.ndarray = np.zeros(())

    def add(self, moments: Moments, samples: int) -> None:
        mean = ops.convert_to_numpy(moments.mean).astype(np.float64)
        variance = ops.convert_to_numpy(moments.variance).astype(np.float64)
        self._mean = self._mean + samples * mean
        self._square = self._square + samples * (variance + mean**2)
        self._samples += samples

    @property
    def mean(self) -> np.ndarray:
        return self._mean / self._samples

    @property
    def variance(self) -> np.ndarray:
        return np.maximum(self._square / self._samples - self.mean**2, 0.0)


def _batch_norm(weights: Mapping[str, Tensor], total: _Total) -> dict[str, Array]:
    channels = len(total.mean)
    return {
        "gamma": np.asarray(ops.convert_to_numpy(weights["gamma"]), np.float32)[:channels],
        "beta": np.asarray(ops.convert_to_numpy(weights["beta"]), np.float32)[:channels],
        "moving_mean": total.mean.astype(np.float32),
        "moving_variance": total.variance.astype(np.float32),
    }
