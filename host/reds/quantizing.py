"""Compiles a trained family to numbers: folded float32, or int8 with one weight tensor that serves every subnetwork."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from reds.compiled import (
    CompiledExit,
    CompiledLayer,
    CompiledNetwork,
    CompiledStep,
    CompiledSubnetwork,
    ElementType,
)
from reds.errors import UsageError
from reds.fold import Affine, FusedLayer, affine, folded_kernel, fuse
from reds.forward import activations
from reds.graph import (
    INPUT,
    Activation,
    Array,
    BatchNormWeights,
    Dense,
    DepthwiseConv2D,
    Graph,
    Pool2D,
    Subnetwork,
    Supernet,
)
from reds.requantize import Quantization
from reds.schema import conventions

INT8_WEIGHT_MAXIMUM = 127
"""Weights are symmetric: -127 to 127 (TFLite quantisation specification)."""

BIAS_LIMIT = 2**30
"""Largest int32 bias: leaves half of the accumulator's range to the products."""

SMALLEST_FACTOR = 2.0**-24
"""Smallest requantisation factor. A channel whose products are below it cannot move an output and gets zero weights."""

SMALLEST_SOFTMAX_INPUT_SCALE = np.float32(2.0**-20)
"""TFLite Micro's fixed-point softmax needs an input scale above 2**-26; logits that close together are equal."""

CALIBRATION_BATCH = 100
"""Samples run at once while ranges are measured."""


@dataclass(frozen=True)
class _Range:
    minimum: float
    maximum: float

    def union(self, other: "_Range") -> "_Range":
        return _Range(min(self.minimum, other.minimum), max(self.maximum, other.maximum))


@dataclass(frozen=True)
class _Branch:
    """The network or an exit head: its graph, its fused layers, and where they stand in the table of layers."""

    graph: Graph
    fused: tuple[FusedLayer, ...]
    first_layer: int
    subgraph: int
    input_layer: int


@dataclass(frozen=True)
class _Run:
    """A fused layer on a subnetwork's run list."""

    branch: _Branch
    fused: FusedLayer
    layer: int
    input_channels: int
    output_channels: int
    affine: Affine | None


def quantize(supernet: Supernet, type: str = "int8", calibration: NDArray[np.float32] | None = None) -> CompiledNetwork:
    """Compiles every subnetwork of a trained family.

    int8 weights are those of the full network with batch normalisation folded in, symmetric per output channel.
    Activations are asymmetric per tensor, with ranges measured per subnetwork; the input and the output have the same
    quantisation in every subnetwork.

    Args:
        supernet: trained shared weights with each subnetwork's batch normalisation.
        type: "int8" or "float32".
        calibration: (samples, *input shape) float32 inputs to measure ranges on; needed for int8. Should be balanced
            over the classes, a hundred or more.

    Returns:
        The compiled network.

    Raises:
        UsageError: if `type` is unknown, if calibration samples are missing or do not fit the input, or if they, the
            weights or what the network makes of them are not finite.
    """
    if type not in list(ElementType):
        raise UsageError(f"`type` must be 'int8' or 'float32'. Received: type={type!r}")
    _check_weights(supernet)
    element_type = ElementType(type)
    branches = _branches(supernet)
    runs = [_run_list(supernet, branches, i) for i in range(len(supernet.family.subnetworks))]
    if element_type is ElementType.FLOAT32:
        weights: dict[int, NDArray] = dict(_float_weights(branches))
        subnetworks = [_float_subnetwork(s, r) for s, r in zip(supernet.family.subnetworks, runs, strict=True)]
    else:
        samples = _check_calibration(supernet.family.graph, calibration)
        quantizations = _activation_quantizations(supernet, branches, runs, samples)
        weight_scales = _weight_scales(branches, runs, quantizations)
        weights = dict(_int8_weights(branches, weight_scales))
        subnetworks = [
            _int8_subnetwork(s, r, q, weight_scales)
            for s, r, q in zip(supernet.family.subnetworks, runs, quantizations, strict=True)
        ]
    return CompiledNetwork(
        name=supernet.family.graph.name,
        element_type=element_type,
        input_shape=supernet.family.graph.input_shape,
        output_shape=supernet.family.graph.output_shape,
        layers=_layers(branches, weights),
        exits=_exits(supernet, branches),
        subnetworks=tuple(subnetworks),
    )


@dataclass(frozen=True)
class SubnetworkGrids:
    """int8 quantisations of the activations of a subnetwork."""

    input: Quantization
    outputs: Mapping[str, Quantization]
    """Per name of the last node of each fused layer that it runs."""


def activation_grids(supernet: Supernet, calibration: NDArray[np.float32]) -> tuple[SubnetworkGrids, ...]:
    """The quantisations of all activations that `quantize` chooses.

    Args:
        supernet: see `quantize`.
        calibration: see `quantize`.

    Returns:
        Those of each subnetwork.

    Raises:
        UsageError: see `quantize`.
    """
    samples = _check_calibration(supernet.family.graph, calibration)
    branches = _branches(supernet)
    runs = [_run_list(supernet, branches, i) for i in range(len(supernet.family.subnetworks))]
    return tuple(
        SubnetworkGrids(
            tensors[0],
            {
                run.branch.graph.nodes[run.fused.last_node].name: tensor
                for run, tensor in zip(run_list, tensors[1:], strict=True)
            },
        )
        for run_list, tensors in zip(runs, _activation_quantizations(supernet, branches, runs, samples), strict=True)
    )


def _check_calibration(graph: Graph, calibration: NDArray[np.float32] | None) -> NDArray[np.float32]:
    if calibration is None or len(calibration) == 0:
        raise UsageError("`calibration` must hold input samples for int8. Received: none")
    if calibration.shape[1:] != graph.input_shape:
        raise UsageError(
            f"`calibration` must have shape (samples, {', '.join(map(str, graph.input_shape))}). "
            f"Received: calibration.shape={calibration.shape}"
        )
    if not np.isfinite(calibration).all():
        raise UsageError("`calibration` must hold finite numbers. Received: NaN or infinity; check the data.")
    return np.asarray(calibration, np.float32)


def _check_weights(supernet: Supernet) -> None:
    graphs = (supernet.family.graph, *(exit.head for exit in supernet.family.exits))
    shared = ((node.name, node.weights) for graph in graphs for node in graph.nodes)
    own = (item for batch_norm in supernet.batch_norms for item in batch_norm.items())
    for name, weights in chain(shared, own):
        if not all(np.isfinite(values).all() for values in weights.values()):
            raise UsageError(
                f"Layer '{name}' has weights that are NaN or infinite, as a training that diverged leaves them; "
                "train it again with a smaller learning rate."
            )


def _branches(supernet: Supernet) -> list[_Branch]:
    graph = supernet.family.graph
    backbone = _Branch(graph, fuse(graph), 0, 0, INPUT)
    branches = [backbone]
    for index, exit in enumerate(supernet.family.exits):
        first = branches[-1].first_layer + len(branches[-1].fused)
        branches.append(_Branch(exit.head, fuse(exit.head), first, index + 1, _tap_layer(backbone, exit.tap)))
    return branches


def _tap_layer(backbone: _Branch, node: int) -> int:
    for index, fused in enumerate(backbone.fused):
        if fused.last_node == node:
            return index
    raise UsageError(
        f"An exit cannot tap layer '{backbone.graph.nodes[node].name}': it is fused with the layer that follows. "
        "Tap the activation after it."
    )


def _run_list(supernet: Supernet, branches: Sequence[_Branch], index: int) -> list[_Run]:
    subnetwork = supernet.family.subnetworks[index]
    backbone = branches[0]
    batch_norm = supernet.batch_norms[index]
    if subnetwork.exit == 0:
        return [_run(backbone, i, subnetwork.widths, batch_norm) for i in range(len(backbone.fused))]
    head = branches[subnetwork.exit]
    return [_run(backbone, i, subnetwork.widths, batch_norm) for i in range(head.input_layer + 1)] + [
        _run(head, i, None, batch_norm) for i in range(len(head.fused))
    ]


def _run(branch: _Branch, index: int, widths: tuple[int, ...] | None, batch_norm: BatchNormWeights) -> _Run:
    fused = branch.fused[index]
    input_channels = _channels(fused.input_group, fused.input_shape[2], widths)
    output_channels = _channels(fused.output_group, fused.output_shape[2], widths)
    node = None if fused.batch_norm_node is None else branch.graph.nodes[fused.batch_norm_node].name
    return _Run(
        branch,
        fused,
        branch.first_layer + index,
        input_channels,
        output_channels,
        affine(branch.graph, fused, output_channels, None if node is None else batch_norm.get(node))
        if fused.weighted
        else None,
    )


def _channels(group: int | None, size: int, widths: tuple[int, ...] | None) -> int:
    return size if group is None or widths is None else widths[group]


# float32


def _float_weights(branches: Sequence[_Branch]) -> dict[int, Array]:
    return {
        branch.first_layer + i: _tflite_layout(fused, folded_kernel(branch.graph, fused))
        for branch in branches
        for i, fused in enumerate(branch.fused)
        if fused.weighted
    }


def _float_subnetwork(subnetwork: Subnetwork, runs: Sequence[_Run]) -> CompiledSubnetwork:
    steps = tuple(
        CompiledStep(
            layer=run.layer,
            input_channels=run.input_channels,
            output_channels=run.output_channels,
            input_quantization=None,
            output_quantization=None,
            weight_scales=None if run.affine is None else run.affine.scale,
            bias=None if run.affine is None else run.affine.bias,
        )
        for run in runs
    )
    return CompiledSubnetwork(subnetwork.name, subnetwork.exit, subnetwork.widths, steps)


def _tflite_layout(fused: FusedLayer, kernel: NDArray) -> NDArray:
    if isinstance(fused.operation, Dense):
        return np.ascontiguousarray(kernel.T)
    return np.ascontiguousarray(kernel.transpose(3, 0, 1, 2))


# int8: activations


def _activation_quantizations(
    supernet: Supernet, branches: Sequence[_Branch], runs: Sequence[Sequence[_Run]], samples: Array
) -> list[list[Quantization]]:
    """Per subnetwork the quantisation of its tensors, the network's input first."""
    ranges = [_measure_ranges(supernet, branches, i, samples) for i in range(len(runs))]
    input_quantization = Quantization.from_range(float(samples.min()), float(samples.max()))
    output = _output_quantization(runs, ranges)
    return [
        _chain_quantizations(run_list, range_list, input_quantization, output)
        for run_list, range_list in zip(runs, ranges, strict=True)
    ]


def _measure_ranges(supernet: Supernet, branches: Sequence[_Branch], index: int, samples: Array) -> list[_Range]:
    """Smallest and largest value of each fused layer's output on a subnetwork's run list."""
    ranges: list[_Range] = []
    for start in range(0, len(samples), CALIBRATION_BATCH):
        outputs = _fused_outputs(supernet, branches, index, samples[start : start + CALIBRATION_BATCH])
        batch = [_range(output) for output in outputs]
        ranges = [a.union(b) for a, b in zip(ranges, batch, strict=True)] if ranges else batch
    return ranges


def _range(output: Array) -> _Range:
    if not np.isfinite(output).all():
        raise UsageError("The network's activations overflow on `calibration`; scale its inputs or train it again.")
    return _Range(float(output.min()), float(output.max()))


def _fused_outputs(supernet: Supernet, branches: Sequence[_Branch], index: int, x: Array) -> list[Array]:
    subnetwork = supernet.family.subnetworks[index]
    batch_norm = supernet.batch_norms[index]
    backbone = branches[0]
    depth = len(backbone.fused) if subnetwork.exit == 0 else branches[subnetwork.exit].input_layer + 1
    outputs = _branch_outputs(backbone, depth, x, subnetwork.widths, batch_norm)
    if subnetwork.exit:
        head = branches[subnetwork.exit]
        outputs += _branch_outputs(head, len(head.fused), outputs[-1], None, batch_norm)
    return outputs


def _branch_outputs(
    branch: _Branch, depth: int, x: Array, widths: tuple[int, ...] | None, batch_norm: BatchNormWeights
) -> list[Array]:
    names = [branch.graph.nodes[fused.last_node].name for fused in branch.fused[:depth]]
    last = branch.fused[depth - 1].last_node
    maps = activations(branch.graph, x, widths=widths, batch_norm=batch_norm, until=last)
    return [np.asarray(maps[name]) for name in names]


def _keeps_quantization(fused: FusedLayer) -> bool:
    """Pooling and standalone ReLU write with the quantisation of their input."""
    if isinstance(fused.operation, Activation):
        return fused.operation.function != "softmax"
    return isinstance(fused.operation, Pool2D)


def _is_softmax(fused: FusedLayer) -> bool:
    return isinstance(fused.operation, Activation) and fused.operation.function == "softmax"


def _anchor(runs: Sequence[_Run], index: int) -> int:
    """The run whose output quantisation the output of run `index` has; INPUT for the network's input."""
    while index != INPUT and _keeps_quantization(runs[index].fused):
        index -= 1
    return index


def _output_quantization(runs: Sequence[Sequence[_Run]], ranges: Sequence[Sequence[_Range]]) -> Quantization | None:
    """The output's quantisation, the same in every subnetwork; None where it is the input's."""
    anchors = [_anchor(run_list, len(run_list) - 1) for run_list in runs]
    if all(anchor == INPUT for anchor in anchors):
        return None
    if any(_is_softmax(run_list[anchor].fused) for run_list, anchor in zip(runs, anchors, strict=True)):
        return Quantization(np.float32(conventions.SOFTMAX_OUTPUT_SCALE), conventions.SOFTMAX_OUTPUT_ZERO_POINT)
    union = ranges[0][anchors[0]]
    for range_list, anchor in zip(ranges[1:], anchors[1:], strict=True):
        union = union.union(range_list[anchor])
    return Quantization.from_range(union.minimum, union.maximum)


def _chain_quantizations(
    runs: Sequence[_Run],
    ranges: Sequence[_Range],
    input_quantization: Quantization,
    output: Quantization | None,
) -> list[Quantization]:
    output_anchor = _anchor(runs, len(runs) - 1)
    result = [input_quantization]
    for index, (run, measured) in enumerate(zip(runs, ranges, strict=True)):
        if _keeps_quantization(run.fused):
            result.append(result[-1])
        elif index == output_anchor and output is not None:
            result.append(output)
        elif _is_softmax(run.fused):
            result.append(
                Quantization(np.float32(conventions.SOFTMAX_OUTPUT_SCALE), conventions.SOFTMAX_OUTPUT_ZERO_POINT)
            )
        else:
            result.append(Quantization.from_range(measured.minimum, measured.maximum))
        if _is_softmax(run.fused):
            _widen_softmax_input(runs, index, result)
    return result


def _widen_softmax_input(runs: Sequence[_Run], softmax: int, tensors: list[Quantization]) -> None:
    """Keeps the scale of a softmax's input, and of what has the same quantisation, from being too small."""
    for tensor in range(_anchor(runs, softmax - 1) + 1, softmax + 1):
        scale = max(tensors[tensor].scale, SMALLEST_SOFTMAX_INPUT_SCALE)
        tensors[tensor] = replace(tensors[tensor], scale=scale)


# int8: weights


def _weight_scales(
    branches: Sequence[_Branch],
    runs: Sequence[Sequence[_Run]],
    quantizations: Sequence[Sequence[Quantization]],
) -> dict[int, Array]:
    """Per weighted layer the scales of its shared int8 weights, one per output channel."""
    scales: dict[int, Array] = {}
    for branch in branches:
        for i, fused in enumerate(branch.fused):
            if fused.weighted:
                kernel = _tflite_layout(fused, folded_kernel(branch.graph, fused))
                scales[branch.first_layer + i] = _largest_weights(fused, kernel) / np.float32(INT8_WEIGHT_MAXIMUM)
    for run_list, tensors in zip(runs, quantizations, strict=True):
        for index, run in enumerate(run_list):
            if run.affine is not None:
                floor = _smallest_scale(run.affine, float(tensors[index].scale), float(tensors[index + 1].scale))
                active = scales[run.layer][: run.output_channels]
                np.maximum(active, floor, out=active)
    return scales


def _largest_weights(fused: FusedLayer, kernel: Array) -> Array:
    axes = (0, 1, 2) if isinstance(fused.operation, DepthwiseConv2D) else tuple(range(1, kernel.ndim))
    return np.asarray(np.abs(kernel).max(axis=axes), np.float32)


def _smallest_scale(numbers: Affine, input_scale: float, output_scale: float) -> Array:
    """Scales below which the bias would overflow or the requantisation factor vanish."""
    of_bias = np.abs(numbers.bias.astype(np.float64)) / (input_scale * BIAS_LIMIT)
    of_factor = output_scale / input_scale * SMALLEST_FACTOR
    return (np.maximum(of_bias, of_factor) / numbers.scale).astype(np.float32)


def _int8_weights(branches: Sequence[_Branch], scales: dict[int, Array]) -> dict[int, NDArray[np.int8]]:
    weights = {}
    for branch in branches:
        for i, fused in enumerate(branch.fused):
            layer = branch.first_layer + i
            if layer in scales:
                kernel = _tflite_layout(fused, folded_kernel(branch.graph, fused)).astype(np.float64)
                shape = (-1,) if isinstance(fused.operation, DepthwiseConv2D) else (-1,) + (1,) * (kernel.ndim - 1)
                q = np.rint(kernel / scales[layer].astype(np.float64).reshape(shape))
                weights[layer] = np.clip(q, -INT8_WEIGHT_MAXIMUM, INT8_WEIGHT_MAXIMUM).astype(np.int8)
    return weights


def _int8_subnetwork(
    subnetwork: Subnetwork,
    runs: Sequence[_Run],
    tensors: Sequence[Quantization],
    weight_scales: dict[int, Array],
) -> CompiledSubnetwork:
    steps = tuple(
        _int8_step(run, tensors[i], tensors[i + 1], weight_scales.get(run.layer)) for i, run in enumerate(runs)
    )
    return CompiledSubnetwork(subnetwork.name, subnetwork.exit, subnetwork.widths, steps)


def _int8_step(run: _Run, source: Quantization, target: Quantization, layer_scales: Array | None) -> CompiledStep:
    scales = bias = None
    if run.affine is not None and layer_scales is not None:
        scales = (layer_scales[: run.output_channels] * run.affine.scale).astype(np.float32)
        real_bias = run.affine.bias.astype(np.float64)
        bias = np.rint(real_bias / (float(source.scale) * scales.astype(np.float64))).astype(np.int32)
    return CompiledStep(run.layer, run.input_channels, run.output_channels, source, target, scales, bias)


# assembly


def _layers(branches: Sequence[_Branch], weights: dict[int, NDArray]) -> tuple[CompiledLayer, ...]:
    return tuple(
        CompiledLayer(
            name=fused.name,
            operation=fused.operation,
            activation=fused.activation,
            input=branch.input_layer if fused.input == INPUT else branch.first_layer + fused.input,
            input_shape=fused.input_shape,
            output_shape=fused.output_shape,
            subgraph=branch.subgraph,
            weights=weights.get(branch.first_layer + i),
        )
        for branch in branches
        for i, fused in enumerate(branch.fused)
    )


def _exits(supernet: Supernet, branches: Sequence[_Branch]) -> tuple[CompiledExit, ...]:
    own = CompiledExit("output", len(branches[0].fused) - 1)
    return (
        own,
        *(
            CompiledExit(exit.name, branch.input_layer)
            for exit, branch in zip(supernet.family.exits, branches[1:], strict=True)
        ),
    )
