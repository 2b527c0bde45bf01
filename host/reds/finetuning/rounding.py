"""Runs a network in float on the numbers that its int8 form has, so that gradients see the rounding.

Rounding has no useful gradient; it is passed through unchanged, except where a value is clipped (straight-through
estimator, Bengio et al., arXiv 1308.3432). Batch normalisation is folded as in `reds.fold`, with frozen statistics, so
that what is rounded is what a device reads (Jacob et al., arXiv 1712.05877, section 3).
"""

from collections.abc import Mapping, Sequence

import numpy as np
from keras import ops

from reds.fold import FusedLayer, fuse
from reds.forward import Tensor, Weights, as_batch_of_maps, forward_with_moments
from reds.graph import Array, BatchNormalization, DepthwiseConv2D, Graph
from reds.quantizing import INT8_WEIGHT_MAXIMUM, SubnetworkGrids
from reds.requantize import INT8_MAXIMUM, INT8_MINIMUM, Quantization

SMALLEST_WEIGHT_SCALE = 1e-30
"""Keeps the scale of a channel of zeros from being zero."""

GRID_VALUES = 3
"""A grid is written as (scale, smallest value, largest value)."""


def grid_table(graph: Graph, grids: SubnetworkGrids, source: str | None = None) -> Array:
    """The grids of a graph's tensors as one array.

    Args:
        graph: the network or an exit head.
        grids: of the subnetwork that runs it.
        source: name of the node that the graph reads; the network's input where None.

    Returns:
        (1 + fused layers, 3): the input's grid, then each fused layer's. Layers that the subnetwork does not run
        have zeros.
    """
    first = grids.input if source is None else grids.outputs[source]
    names = [graph.nodes[layer.last_node].name for layer in fuse(graph)]
    return np.array([_row(first), *(_row(grids.outputs.get(name)) for name in names)], np.float32)


def _row(grid: Quantization | None) -> tuple[float, ...]:
    if grid is None:
        return (0.0,) * GRID_VALUES
    scale = float(grid.scale)
    return scale, (INT8_MINIMUM - grid.zero_point) * scale, (INT8_MAXIMUM - grid.zero_point) * scale


def rounded_forward(
    graph: Graph,
    x: Tensor,
    weights: Weights,
    widths: Sequence[int],
    batch_norm: Weights,
    table: Tensor,
    until: int | None = None,
) -> Tensor:
    """Runs a subnetwork with the weights and activations of its int8 form.

    Args:
        graph: the network or an exit head, whose batch normalisations have the statistics to fold into weights.
        x: batch of shape (batch, *graph.input_shape).
        weights: full-width float weights.
        widths: active channels per channel group.
        batch_norm: `moving_mean` and `moving_variance` of the subnetwork, sliced to the widths.
        table: what `grid_table` gave.
        until: index of the last node to run; where None the whole network but a final softmax.

    Returns:
        Logits (batch, *graph.output_shape), or with `until` that node's map.
    """
    layers = fuse(graph)
    row = {layer.last_node: index for index, layer in enumerate(layers, start=1)}
    folded, normalizing = _fold(graph, layers, weights, batch_norm)
    output, _ = forward_with_moments(
        graph,
        round_to_grid(as_batch_of_maps(graph, x), table[0]),
        folded,
        widths,
        normalizing,
        training=False,
        until=until,
        stop_before_softmax=True,
        transform=lambda index, y: round_to_grid(y, table[row[index]]) if index in row else y,
    )
    return output


def round_to_grid(x: Tensor, grid: Tensor) -> Tensor:
    """Values of an int8 tensor that stand for `x`.

    Args:
        x: real values.
        grid: (scale, smallest value, largest value); zero is on the grid.
    """
    clipped = ops.clip(x, grid[1], grid[2])
    return _straight_through(clipped, ops.round(clipped / grid[0]) * grid[0])


def round_kernel(layer: FusedLayer, kernel: Tensor) -> Tensor:
    """Values of the int8 kernel that stand for a folded one in Keras' layout, with a scale per output channel."""
    axes = (0, 1) if isinstance(layer.operation, DepthwiseConv2D) else tuple(range(len(kernel.shape) - 1))
    return _round_to_largest(kernel, axes)


def _round_to_largest(weights: Tensor, axes: tuple[int, ...] | None = None) -> Tensor:
    """Values of int8 weights, of which the largest along the axes, or of all, is on the grid."""
    largest = ops.max(ops.abs(weights), axis=axes, keepdims=True)
    scale = ops.stop_gradient(ops.maximum(largest / INT8_WEIGHT_MAXIMUM, SMALLEST_WEIGHT_SCALE))
    return _straight_through(weights, ops.round(weights / scale) * scale)


def _straight_through(x: Tensor, rounded: Tensor) -> Tensor:
    return x + ops.stop_gradient(rounded - x)


def _fold(
    graph: Graph, layers: Sequence[FusedLayer], weights: Weights, batch_norm: Weights
) -> tuple[dict[str, dict[str, Tensor]], dict[str, dict[str, Tensor]]]:
    """Kernels of the int8 form, and batch normalisations that undo of the folding what a subnetwork does not share.

    With the folded kernel w * g_full, a batch normalisation of gain g_sub / g_full and mean (mean - bias) * g_full
    gives (w * x + bias - mean) * g_sub + beta.
    """
    folded: dict[str, dict[str, Tensor]] = {}
    normalizing: dict[str, dict[str, Tensor]] = {}
    for layer in layers:
        name = graph.nodes[layer.first_node].name
        own = weights.get(name, {})
        if not layer.weighted:
            folded[name] = {key: _round_to_largest(ops.convert_to_tensor(value)) for key, value in own.items()}
            continue
        if layer.batch_norm_node is None:
            folded[name] = {**own, "kernel": round_kernel(layer, ops.convert_to_tensor(own["kernel"]))}
            continue
        node = graph.nodes[layer.batch_norm_node]
        assert isinstance(node.operation, BatchNormalization)
        deviation = np.sqrt(node.weights["moving_variance"] + node.operation.epsilon)
        gain = ops.convert_to_tensor(weights[node.name]["gamma"]) / deviation
        kernel = ops.convert_to_tensor(own["kernel"])
        spread = ops.reshape(gain, kernel.shape[2:]) if isinstance(layer.operation, DepthwiseConv2D) else gain
        folded[name] = {"kernel": round_kernel(layer, kernel * spread)}
        if node.name in batch_norm:
            statistics = batch_norm[node.name]
            normalizing[node.name] = {
                "gamma": deviation,
                "beta": weights[node.name]["beta"],
                "moving_mean": _folded_mean(statistics, own, gain),
                "moving_variance": statistics["moving_variance"],
            }
    return folded, normalizing


def _folded_mean(statistics: Mapping[str, Tensor], own: Mapping[str, Tensor], gain: Tensor) -> Tensor:
    mean = ops.convert_to_tensor(statistics["moving_mean"])
    channels = mean.shape[0]
    if "bias" in own:
        mean = mean - ops.convert_to_tensor(own["bias"])[:channels]
    return mean * gain[:channels]
