"""Compiles a trained family to numbers: folded float32, or int8 with one weight tensor that serves every subnetwork."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from itertools import accumulate, chain, pairwise

import numpy as np
from numpy.typing import NDArray

from reds import cost
from reds.compiled import (
    CompiledExit,
    CompiledLayer,
    CompiledNetwork,
    CompiledStep,
    CompiledSubnetwork,
    ElementType,
    Sources,
    emitted_type,
    stand_ins_of,
)
from reds.disjoint_sets import DisjointSets
from reds.errors import UsageError
from reds.exits import check_narrowed_exits
from reds.fold import Affine, FusedLayer, affine, folded_kernel, fuse
from reds.forward import activations
from reds.graph import (
    INPUT,
    Activation,
    Add,
    Array,
    BatchNormWeights,
    Concatenate,
    Crop,
    Dense,
    DepthwiseConv2D,
    Graph,
    Mean,
    Multiply,
    Pad,
    Pool2D,
    PRelu,
    Slice,
    Subnetwork,
    Subtract,
    Supernet,
    Upsample,
)
from reds.lookup import LARGEST_GAINS, SIGMOID_OUTPUT, TANH_OUTPUT
from reds.requantize import INT8_MAXIMUM, INT8_MINIMUM, Quantization
from reds.schema import conventions
from reds.shallow import check_networks, shallow_network
from reds.skipping import skipped

INT8_WEIGHT_MAXIMUM = 127
"""Weights are symmetric: -127 to 127 (TFLite quantisation specification)."""

BIAS_LIMIT = 2**30
"""Largest int32 bias: leaves half of the accumulator's range to the products."""

SMALLEST_FACTOR = 2.0**-24
"""Smallest requantisation factor. A channel whose products are below it cannot move an output and gets zero weights."""

SMALLEST_EXPONENTIAL_INPUT_SCALE = np.float32(2.0**-20)
"""TFLite Micro's fixed-point exponentials need an input scale above 2**-26; values that close together are equal."""

SMALLEST_SUM_FACTOR = 2.0**-17
"""Smallest scale of a sum in units of the larger scale of its inputs. TFLite Micro takes factors above 2**-19."""

LARGEST_PRODUCT_GAIN = 2.0**12
"""Scale of a product's inputs, multiplied, by that of its output: keeps a shifted product within 32 bits."""

LARGEST_MEAN_GAIN = np.float32(2.0**20)
"""Input scale by output scale of a mean or a PReLU: keeps a shifted sum or product within 32 bits."""

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
    """Of an exit's head the layer that it reads: the tapped one, or where all skip that, the last that stands in."""

    def layer(self, fused: int) -> int:
        """Index of a fused layer, or of INPUT, in the table of layers."""
        return self.input_layer if fused == INPUT else self.first_layer + fused


@dataclass(frozen=True)
class _Run:
    """A fused layer on a subnetwork's run list."""

    branch: _Branch
    fused: FusedLayer
    layer: int
    inputs: tuple[int, ...]
    """Tensors that it takes: 0 is the network's input, i + 1 the output of run i."""
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
        UsageError: if `type` is unknown, if calibration samples are missing or do not fit the input, if they, the
            weights or what the network makes of them are not finite, if a subnetwork narrows a map whose exit's head
            needs all of its channels, or if it skips a block that cannot be skipped.
    """
    element_type = emitted_type(type)
    check_networks(supernet.family)
    check_narrowed_exits(supernet.family)
    _check_weights(supernet)
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
    layers = _layers(branches, weights)
    usual = {index: layer.inputs for index, layer in enumerate(layers)}
    return CompiledNetwork(
        name=supernet.family.graph.name,
        element_type=element_type,
        input_shape=supernet.family.graph.input_shape,
        output_shape=supernet.family.graph.output_shape,
        layers=layers,
        exits=_exits(supernet, branches),
        subnetworks=tuple(
            replace(one, stand_ins=stand_ins_of(_sources(run_list), usual))
            for one, run_list in zip(subnetworks, runs, strict=True)
        ),
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
    for number, exit in enumerate(supernet.family.exits, start=1):
        first = branches[-1].first_layer + len(branches[-1].fused)
        users = [one for one in supernet.family.subnetworks if one.exit == number]
        tapped = [skipped(graph, one.skips).stand_in(exit.tap) for one in users]
        tap = max((node for node in tapped if node is not None), default=exit.tap)
        branches.append(_Branch(exit.head, fuse(exit.head), first, number, _tap_layer(backbone, tap)))
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
    tensors = {INPUT: 0}
    runs: list[_Run] = []
    stand_ins = _stand_ins(branches[0], subnetwork)
    for branch, layers in _layers_that_run(branches, subnetwork):
        channels = _channels(branch, subnetwork, runs)
        for layer in layers:
            sources = (branch.layer(source) for source in branch.fused[layer].inputs)
            inputs = tuple(tensors[stand_ins.get(source, source)] for source in sources)
            runs.append(_run(branch, layer, inputs, channels, supernet.batch_norms[index]))
            tensors[branch.layer(layer)] = len(runs)
    return runs


def _stand_ins(backbone: _Branch, subnetwork: Subnetwork) -> dict[int, int]:
    """Per layer that ends a block which a subnetwork skips, the layer whose output is read instead."""
    stand_ins = skipped(backbone.graph, subnetwork.skips).stand_ins
    return {_tap_layer(backbone, end): _tap_layer(backbone, source) for end, source in stand_ins.items()}


def _sources(runs: Sequence[_Run]) -> Sources:
    """What the layers of a subnetwork take."""
    written = [INPUT, *(run.layer for run in runs)]
    return {run.layer: tuple(written[tensor] for tensor in run.inputs) for run in runs}


def _channels(branch: _Branch, subnetwork: Subnetwork, before: Sequence[_Run]) -> dict[int, int]:
    """Active channels of each node's output and of INPUT. A head reads what the run before it, the tap's, gives."""
    graph = branch.graph
    widths, inputs = subnetwork.widths, graph.input_map[2]
    if branch.subgraph:
        widths, inputs = cost.full_widths(graph), before[-1].output_channels
    active = enumerate(cost.active_channels(graph, widths, inputs))
    return {INPUT: inputs, **{node: int(channels) for node, channels in active}}


def _layers_that_run(branches: Sequence[_Branch], subnetwork: Subnetwork) -> list[tuple[_Branch, list[int]]]:
    """The fused layers of the network, and of the exit head where the subnetwork has one, in order."""
    backbone, head = branches[0], branches[subnetwork.exit]
    last = len(backbone.fused) - 1 if head is backbone else head.input_layer
    left_out = skipped(backbone.graph, subnetwork.skips).nodes
    needed = set(backbone.graph.ancestors(backbone.fused[last].last_node)) - left_out
    layers = [index for index, fused in enumerate(backbone.fused) if fused.last_node in needed]
    return [(backbone, layers)] + ([] if head is backbone else [(head, list(range(len(head.fused))))])


def _run(
    branch: _Branch,
    index: int,
    inputs: tuple[int, ...],
    channels: Mapping[int, int],
    batch_norm: BatchNormWeights,
) -> _Run:
    fused = branch.fused[index]
    input_channels = channels[branch.graph.nodes[fused.first_node].input]
    output_channels = channels[fused.last_node]
    node = None if fused.batch_norm_node is None else branch.graph.nodes[fused.batch_norm_node].name
    return _Run(
        branch,
        fused,
        branch.layer(index),
        inputs,
        input_channels,
        output_channels,
        affine(branch.graph, fused, output_channels, None if node is None else batch_norm.get(node))
        if fused.weighted
        else None,
    )


# float32


def _float_weights(branches: Sequence[_Branch]) -> dict[int, Array]:
    kernels = {
        branch.first_layer + i: _tflite_layout(fused, folded_kernel(branch.graph, fused))
        for branch in branches
        for i, fused in enumerate(branch.fused)
        if fused.weighted
    }
    return kernels | _slopes(branches)


def _slopes(branches: Sequence[_Branch]) -> dict[int, Array]:
    """Per PReLU its slopes, one per channel."""
    return {
        branch.first_layer + i: branch.graph.nodes[fused.first_node].weights["slope"]
        for branch in branches
        for i, fused in enumerate(branch.fused)
        if isinstance(fused.operation, PRelu)
    }


def _float_subnetwork(subnetwork: Subnetwork, runs: Sequence[_Run]) -> CompiledSubnetwork:
    steps = tuple(
        CompiledStep(
            layer=run.layer,
            input_channels=run.input_channels,
            output_channels=run.output_channels,
            input_quantizations=(),
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
    if isinstance(fused.operation, DepthwiseConv2D):
        return kernel.reshape(1, *kernel.shape[:2], -1)
    return np.ascontiguousarray(kernel.transpose(3, 0, 1, 2))


# int8: activations


def _activation_quantizations(
    supernet: Supernet, branches: Sequence[_Branch], runs: Sequence[Sequence[_Run]], samples: Array
) -> list[list[Quantization]]:
    """Per subnetwork the quantisation of its tensors, the network's input first."""
    of_input = _Range(float(samples.min()), float(samples.max()))
    ranges = [[of_input, *_measure_ranges(supernet, branches, i, samples)] for i in range(len(runs))]
    shared = _tensors_that_share(runs)
    by_set = {number: _set_quantization(runs, ranges, members) for number, members in _members(shared).items()}
    _widen_where_needed(runs, shared, by_set)
    return [[by_set[number] for number in numbers] for numbers in shared]


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
    outputs: list[Array] = []
    for branch, layers in _layers_that_run(branches, subnetwork):
        network = shallow_network(branch.graph, skips=() if branch.subgraph else subnetwork.skips)
        widths = None if branch.subgraph else network.narrow(subnetwork.widths)
        last_nodes = [branch.fused[layer].last_node for layer in layers]
        source = outputs[-1] if outputs else x
        until = network.places[last_nodes[-1]]
        maps = activations(network.graph, source, widths=widths, batch_norm=supernet.batch_norms[index], until=until)
        outputs += [np.asarray(maps[branch.graph.nodes[node].name]) for node in last_nodes]
    return outputs


def _keeps_quantization(fused: FusedLayer) -> bool:
    """What moves values, pooling, and a standalone ReLU write with the quantisation of their inputs."""
    if isinstance(fused.operation, Activation):
        return fused.operation.clamps
    return isinstance(fused.operation, Pool2D | Pad | Concatenate | Upsample | Crop | Slice)


def _fixed_quantization(fused: FusedLayer) -> Quantization | None:
    """The quantisation that TFLite fixes for the output of a function with exponentials; None for other operations."""
    if not isinstance(fused.operation, Activation):
        return None
    match fused.operation.function:
        case "softmax":
            return Quantization(np.float32(conventions.SOFTMAX_OUTPUT_SCALE), conventions.SOFTMAX_OUTPUT_ZERO_POINT)
        case "sigmoid":
            return SIGMOID_OUTPUT
        case "tanh":
            return TANH_OUTPUT
    return None


def _tensors_that_share(runs: Sequence[Sequence[_Run]]) -> list[list[int]]:
    """Per subnetwork and tensor the number of the set of tensors that must have one quantisation.

    The network's input and its output have the same quantisation in every subnetwork.
    """
    starts = [0, *accumulate(len(run_list) + 1 for run_list in runs)]
    sets = DisjointSets(starts[-1])
    for (start, end), run_list in zip(pairwise(starts), runs, strict=True):
        sets.unite(start, 0)
        sets.unite(end - 1, starts[1] - 1)
        for index, run in enumerate(run_list):
            for source in run.inputs if _keeps_quantization(run.fused) else ():
                sets.unite(start + index + 1, start + source)
    return [[sets.find(tensor) for tensor in range(start, end)] for start, end in pairwise(starts)]


def _members(shared: Sequence[Sequence[int]]) -> dict[int, list[tuple[int, int]]]:
    """Per set its tensors as (subnetwork, tensor)."""
    members: dict[int, list[tuple[int, int]]] = {}
    for subnetwork, numbers in enumerate(shared):
        for tensor, number in enumerate(numbers):
            members.setdefault(number, []).append((subnetwork, tensor))
    return members


def _set_quantization(
    runs: Sequence[Sequence[_Run]], ranges: Sequence[Sequence[_Range]], members: Sequence[tuple[int, int]]
) -> Quantization:
    """The quantisation for the values of all tensors of a set; that of a function's output may be fixed."""
    writers = {member: runs[member[0]][member[1] - 1].fused if member[1] else None for member in members}
    # What keeps its input's quantisation has no values of its own.
    own = [member for member, fused in writers.items() if fused is None or not _keeps_quantization(fused)]
    union = reduce(_Range.union, (ranges[subnetwork][tensor] for subnetwork, tensor in own))
    fixing = [fused for fused in writers.values() if fused is not None and _fixed_quantization(fused) is not None]
    if not fixing:
        return Quantization.from_range(union.minimum, union.maximum)
    return _joined_quantization(fixing, union)


def _joined_quantization(fixing: Sequence[FusedLayer], union: _Range) -> Quantization:
    """The fixed quantisation that all these operations have, where it holds all values."""
    fixed = _fixed_quantization(fixing[0])
    assert fixed is not None
    minimum, maximum = ((q - fixed.zero_point) * float(fixed.scale) for q in (INT8_MINIMUM, INT8_MAXIMUM + 1))
    slack = float(fixed.scale)
    alike = all(_fixed_quantization(fused) == fixed for fused in fixing)
    if not alike or union.minimum < minimum - slack or union.maximum > maximum + slack:
        raise UsageError(
            f"The output of '{fixing[0].name}' is joined with values from {union.minimum:.3g} to {union.maximum:.3g}, "
            f"but int8 gives all of them its own range, {minimum:g} to {maximum:g}. Join what it reads."
        )
    return fixed


def _widen_where_needed(
    runs: Sequence[Sequence[_Run]], shared: Sequence[Sequence[int]], by_set: dict[int, Quantization]
) -> None:
    """Keeps scales from being too small for fixed-point arithmetic, until no scale changes."""
    changed = True
    while changed:
        changed = False
        for run_list, numbers in zip(runs, shared, strict=True):
            for index, run in enumerate(run_list):
                number, floor = _smallest_tensor_scale(run, index, numbers, by_set)
                if by_set[number].scale < floor:
                    by_set[number] = replace(by_set[number], scale=floor)
                    changed = True


def _smallest_tensor_scale(
    run: _Run, index: int, numbers: Sequence[int], by_set: Mapping[int, Quantization]
) -> tuple[int, np.float32]:
    """The set whose scale an operation limits, and the limit; 0 where it limits none."""
    sources = [numbers[source] for source in run.inputs]
    if _fixed_quantization(run.fused) is not None:
        return sources[0], SMALLEST_EXPONENTIAL_INPUT_SCALE
    if isinstance(run.fused.operation, Activation) and run.fused.operation.function in LARGEST_GAINS:
        return numbers[index + 1], by_set[sources[0]].scale / LARGEST_GAINS[run.fused.operation.function]
    if isinstance(run.fused.operation, Add | Subtract):
        largest = max(by_set[source].scale for source in sources)
        return numbers[index + 1], np.float32(largest * SMALLEST_SUM_FACTOR)
    if isinstance(run.fused.operation, Mean):
        return numbers[index + 1], by_set[sources[0]].scale / LARGEST_MEAN_GAIN
    if isinstance(run.fused.operation, PRelu):
        slopes = run.branch.graph.nodes[run.fused.first_node].weights["slope"]
        steepest = max(np.float32(1), np.abs(slopes).max())
        return numbers[index + 1], by_set[sources[0]].scale * steepest / LARGEST_MEAN_GAIN
    if isinstance(run.fused.operation, Multiply):
        first, second = (by_set[source].scale for source in sources)
        return numbers[index + 1], np.float32(float(first) * float(second) / LARGEST_PRODUCT_GAIN)
    return sources[0], np.float32(0)


# int8: weights


def _weight_scales(
    branches: Sequence[_Branch],
    runs: Sequence[Sequence[_Run]],
    quantizations: Sequence[Sequence[Quantization]],
) -> dict[int, Array]:
    """Per weighted layer the scales of its shared int8 weights, one per output channel; of a PReLU one for all."""
    scales = {
        layer: np.abs(slopes).max(keepdims=True) / INT8_WEIGHT_MAXIMUM for layer, slopes in _slopes(branches).items()
    }
    for branch in branches:
        for i, fused in enumerate(branch.fused):
            if fused.weighted:
                kernel = _tflite_layout(fused, folded_kernel(branch.graph, fused))
                scales[branch.first_layer + i] = _largest_weights(fused, kernel) / np.float32(INT8_WEIGHT_MAXIMUM)
    for run_list, tensors in zip(runs, quantizations, strict=True):
        for index, run in enumerate(run_list):
            if run.affine is not None:
                source, target = tensors[run.inputs[0]], tensors[index + 1]
                floor = _smallest_scale(run.affine, float(source.scale), float(target.scale))
                active = scales[run.layer][: run.output_channels]
                np.maximum(active, floor, out=active)
            elif run.layer in scales:
                ratio = tensors[index + 1].scale / tensors[run.inputs[0]].scale
                np.maximum(scales[run.layer], ratio * np.float32(SMALLEST_FACTOR), out=scales[run.layer])
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
    weights = {layer: _rounded(slopes / scales[layer]) for layer, slopes in _slopes(branches).items()}
    for branch in branches:
        for i, fused in enumerate(branch.fused):
            layer = branch.first_layer + i
            if fused.weighted:
                kernel = _tflite_layout(fused, folded_kernel(branch.graph, fused)).astype(np.float64)
                shape = (-1,) if isinstance(fused.operation, DepthwiseConv2D) else (-1,) + (1,) * (kernel.ndim - 1)
                weights[layer] = _rounded(kernel / scales[layer].astype(np.float64).reshape(shape))
    return weights


def _rounded(weights: NDArray) -> NDArray[np.int8]:
    """Weights in units of their scales as int8."""
    return np.clip(np.rint(weights), -INT8_WEIGHT_MAXIMUM, INT8_WEIGHT_MAXIMUM).astype(np.int8)


def _int8_subnetwork(
    subnetwork: Subnetwork,
    runs: Sequence[_Run],
    tensors: Sequence[Quantization],
    weight_scales: dict[int, Array],
) -> CompiledSubnetwork:
    steps = tuple(
        _int8_step(run, [tensors[source] for source in run.inputs], tensors[i + 1], weight_scales.get(run.layer))
        for i, run in enumerate(runs)
    )
    return CompiledSubnetwork(subnetwork.name, subnetwork.exit, subnetwork.widths, steps)


def _int8_step(
    run: _Run, sources: Sequence[Quantization], target: Quantization, layer_scales: Array | None
) -> CompiledStep:
    scales, bias = layer_scales, None
    if run.affine is not None and layer_scales is not None:
        scales = (layer_scales[: run.output_channels] * run.affine.scale).astype(np.float32)
        real_bias = run.affine.bias.astype(np.float64)
        bias = np.rint(real_bias / (float(sources[0].scale) * scales.astype(np.float64))).astype(np.int32)
    return CompiledStep(run.layer, run.input_channels, run.output_channels, tuple(sources), target, scales, bias)


# assembly


def _layers(branches: Sequence[_Branch], weights: dict[int, NDArray]) -> tuple[CompiledLayer, ...]:
    return tuple(
        CompiledLayer(
            name=fused.name,
            operation=fused.operation,
            activation=_activation(fused),
            inputs=tuple(branch.layer(source) for source in fused.inputs),
            input_shape=fused.input_shape,
            output_shape=fused.output_shape,
            subgraph=branch.subgraph,
            weights=weights.get(branch.first_layer + i),
        )
        for branch in branches
        for i, fused in enumerate(branch.fused)
    )


def _activation(fused: FusedLayer) -> str:
    """The activation fused into an operation, or that the operation is where others can take it in."""
    if isinstance(fused.operation, Activation) and fused.operation.clamps:
        return fused.operation.function
    return fused.activation


def _exits(supernet: Supernet, branches: Sequence[_Branch]) -> tuple[CompiledExit, ...]:
    own = CompiledExit("output", len(branches[0].fused) - 1)
    return (
        own,
        *(
            CompiledExit(exit.name, branch.input_layer)
            for exit, branch in zip(supernet.family.exits, branches[1:], strict=True)
        ),
    )
