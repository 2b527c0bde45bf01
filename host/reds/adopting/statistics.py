"""What the activations of an adopted network are on samples without labels."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reds.compiled import CompiledNetwork, CompiledStep
from reds.errors import UsageError
from reds.graph import Graph
from reds.model_file import read_model_file
from reds.runtime import Runtime


@dataclass(frozen=True)
class ActivationStatistics:
    """Of the real outputs of each layer at full width."""

    means: tuple[NDArray[np.float64], ...]
    """(height, width, channels) over the samples."""
    variances: tuple[NDArray[np.float64], ...]
    """(channels,) over the samples and positions."""

    def permuted(self, graph: Graph, orders: Sequence[NDArray[np.intp]]) -> "ActivationStatistics":
        """With the channels of each group in another order.

        Args:
            graph: the network's graph.
            orders: per channel group the old index of each new channel.
        """

        def sort(values: Sequence[NDArray[np.float64]]) -> tuple[NDArray[np.float64], ...]:
            groups = (node.output_group for node in graph.nodes)
            return tuple(
                one if group is None else one[..., orders[group]] for one, group in zip(values, groups, strict=True)
            )

        return ActivationStatistics(sort(self.means), sort(self.variances))


def measure_activations(content: bytes, network: CompiledNetwork, samples: NDArray) -> ActivationStatistics:
    """Runs the full network by libreds, operation by operation.

    Args:
        content: a file with the network's plan.
        network: the network.
        samples: (samples, *input shape) inputs, real or in the model's own type.

    Returns:
        The statistics of each layer.

    Raises:
        UsageError: if the samples do not fit the network's input.
    """
    runtime = Runtime(content)
    runtime.select(0)
    inputs = _inputs(runtime, samples)
    subnetwork = read_model_file(content).plan.subnetworks[0]
    offsets = [subnetwork.tensors[step.output].offset for step in subnetwork.steps]
    shapes = [layer.output_shape for layer in network.layers]
    sums, squares = [np.zeros(shape) for shape in shapes], [np.zeros(shape) for shape in shapes]
    for sample in inputs:
        runtime.input[...] = sample
        for index, step in enumerate(network.subnetworks[0].steps):
            runtime.step()
            dtype = network.element_type.dtype if index < len(shapes) - 1 else runtime.output.dtype
            end = offsets[index] + sums[index].size * dtype.itemsize
            values = runtime.arena[offsets[index] : end].view(dtype).reshape(shapes[index])
            real = _real(step, values)
            sums[index] += real
            squares[index] += np.square(real)
    means = tuple(total / len(inputs) for total in sums)
    return ActivationStatistics(
        means,
        tuple(
            np.maximum(total.mean(axis=(0, 1)) / len(inputs) - np.square(mean.mean(axis=(0, 1))), 0.0)
            for total, mean in zip(squares, means, strict=True)
        ),
    )


def _inputs(runtime: Runtime, samples: NDArray) -> NDArray:
    shape, dtype = runtime.input.shape, runtime.input.dtype
    fits = samples.shape[1:] == shape and len(samples) > 0
    is_real = np.issubdtype(samples.dtype, np.floating) and bool(np.isfinite(samples).all())
    if not fits or not (samples.dtype == dtype or is_real):
        raise UsageError(
            f"`samples` must hold inputs of shape {shape}, finite numbers or {dtype}, at least one. Received: "
            f"{samples.dtype} of shape {samples.shape}"
        )
    return samples if samples.dtype == dtype else runtime.quantize(samples)


def _real(step: CompiledStep, values: NDArray) -> NDArray[np.float64]:
    quantization = step.output_quantization
    if quantization is None:
        return values.astype(np.float64)
    return (values.astype(np.float64) - quantization.zero_point) * float(quantization.scale)
