"""Gives an adopted network subnetworks without training: by its weights alone, or with a few samples."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ai_edge_litert import schema_py_generated as tflite
from numpy.typing import NDArray

from reds.adopting.compensating import with_means
from reds.adopting.graph import graph_of
from reds.adopting.importance import Importance, falling_orders, fluctuations, magnitudes
from reds.adopting.network import AdoptedNetwork, read_network
from reds.adopting.permuting import permute_channels
from reds.adopting.statistics import ActivationStatistics, measure_activations
from reds.compiled import CompiledLayer, CompiledNetwork, CompiledStep, CompiledSubnetwork, ElementType
from reds.errors import UsageError
from reds.graph import INPUT, Dense, Family, Graph, MapDense, Ranked, Subnetwork
from reds.solving import solve
from reds.solving.family import Order
from reds.solving.formulation import Objective


@dataclass(frozen=True)
class AdoptPruning:
    """Which subnetworks to search, see `reds.solve`, and by what."""

    budgets: Sequence[float] = (0.25, 0.5, 0.75)
    metric: str = "macs"
    objective: Objective = "product"
    limits: Mapping[str, float] = field(default_factory=dict)
    minimum: float = 1
    multiple: int = 4
    order: Order = "bottom_up"
    importance: Importance | None = None
    """What channels are sorted by, see `reds.adopting.importance`. If not given, "fluctuation" with samples and "paths"
    without."""
    samples: NDArray | None = None
    """(samples, *input shape) inputs without labels, real or in the model's own type; may be absent. With them, the
    means of the channels that a subnetwork lacks go into its biases."""


@dataclass(frozen=True)
class PrunedNetwork:
    """An adopted network with subnetworks."""

    adopted: AdoptedNetwork
    family: Family


def prune_adopted(
    model: tflite.ModelT,
    source: str,
    original: bytes,
    pruning: AdoptPruning,
    progress: Callable[[str], None] | None = None,
) -> PrunedNetwork:
    """Sorts the channels of a model by their importance, and searches nested subnetworks.

    A subnetwork keeps the full network's scales, zero points and multipliers of the channels that it has, and without
    samples its biases.

    Args:
        model: a TFLite model with one subgraph; its constants are permuted, so that it computes what it did.
        source: name of its file, for messages.
        original: the same model with the plan of its full network.
        pruning: which subnetworks.
        progress: called with a line per budget.

    Returns:
        The network of the permuted model.

    Raises:
        UsageError: if the model is not made of supported operators, computes in int16, has a batch above 1 or nothing
            to narrow, a budget cannot be met, or the samples do not fit.
    """
    adopted = _read(model, source)
    if adopted.network.batch > 1:
        raise UsageError(
            f"'{source}' takes {adopted.network.batch} samples at a time; `prune` narrows models with a batch of 1. "
            "Convert it so, or adopt it without `prune`."
        )
    if adopted.network.element_type is ElementType.INT16:
        raise UsageError(
            f"'{source}' computes in int16; `prune` narrows models in int8 and float32. Adopt it without `prune`."
        )
    graph = graph_of(adopted.network)
    if not graph.groups:
        raise UsageError(
            f"'{source}' has nothing to narrow: the channels of each layer are those of its input or its output, or "
            "are joined, sliced, or read in groups or in another shape. Adopt it without `prune`."
        )
    statistics = None
    if pruning.samples is not None:
        statistics = measure_activations(original, adopted.network, pruning.samples)
    importance, method = _importance(graph, adopted.network, pruning, statistics)
    orders = falling_orders(importance)
    permute_channels(model, adopted, graph, orders)
    ranked = Ranked(graph, tuple(values[order] for values, order in zip(importance, orders, strict=True)), method)
    family = solve(
        ranked,
        pruning.budgets,
        metric=pruning.metric,
        objective=pruning.objective,
        limits=pruning.limits,
        minimum=pruning.minimum,
        multiple=pruning.multiple,
        order=pruning.order,
        element_bytes=adopted.network.element_type.dtype.itemsize,
        progress=progress,
    )
    permuted = _read(model, source)
    network = with_subnetworks(permuted.network, graph, family)
    if statistics is not None:
        network = with_means(network, statistics.permuted(graph, orders))
    return PrunedNetwork(replace(permuted, network=network), family)


def _importance(
    graph: Graph, network: CompiledNetwork, pruning: AdoptPruning, statistics: ActivationStatistics | None
) -> tuple[list[NDArray], Importance]:
    """The importance of all channels, and how it was measured."""
    method = pruning.importance or ("paths" if statistics is None else "fluctuation")
    if method != "fluctuation":
        return magnitudes(graph, network, method), method
    if statistics is None:
        raise UsageError("`importance` can only be 'fluctuation' with `samples`. Received: none.")
    return fluctuations(graph, network, statistics), method


def _read(model: tflite.ModelT, source: str) -> AdoptedNetwork:
    adopted = read_network(model, source)
    return replace(adopted, network=over_maps(adopted.network))


def over_maps(network: CompiledNetwork) -> CompiledNetwork:
    """The network with fully connected layers behind flattened maps as convolutions over the map.

    So a prefix of the map's channels is a prefix at every position.
    """
    layers = tuple(_over_map(network, layer) for layer in network.layers)
    steps = tuple(
        replace(step, input_channels=layer.input_shape[2])
        for step, layer in zip(network.subnetworks[0].steps, layers, strict=True)
    )
    return replace(network, layers=layers, subnetworks=(replace(network.subnetworks[0], steps=steps),))


def _over_map(network: CompiledNetwork, layer: CompiledLayer) -> CompiledLayer:
    source = layer.inputs[0]
    if not isinstance(layer.operation, Dense) or source == INPUT or layer.input_shape[:2] != (1, 1):
        return layer
    height, width, channels = network.layers[source].output_shape
    if (height, width) == (1, 1) or layer.weights is None:
        return layer
    weights = layer.weights.reshape(-1, height, width, channels)
    return replace(layer, operation=MapDense((height, width)), input_shape=(height, width, channels), weights=weights)


def with_subnetworks(network: CompiledNetwork, graph: Graph, family: Family) -> CompiledNetwork:
    """An adopted network with the run lists of a family.

    Args:
        network: the network of one subnetwork.
        graph: its graph.
        family: subnetworks of the graph.
    """
    full = network.subnetworks[0].steps
    return replace(network, subnetworks=tuple(_subnetwork(graph, full, one) for one in family.subnetworks))


def _subnetwork(graph: Graph, full: Sequence[CompiledStep], subnetwork: Subnetwork) -> CompiledSubnetwork:
    def channels(group: int | None, size: int) -> int:
        return size if group is None else subnetwork.widths[group]

    steps = (
        _narrowed(
            step, channels(node.input_group, step.input_channels), channels(node.output_group, step.output_channels)
        )
        for node, step in zip(graph.nodes, full, strict=True)
    )
    return CompiledSubnetwork(subnetwork.name, subnetwork.exit, subnetwork.widths, tuple(steps))


def _narrowed(step: CompiledStep, input_channels: int, output_channels: int) -> CompiledStep:
    """A step on prefixes of its channels; one scale of all weights stays one."""
    scales = step.weight_scales
    return replace(
        step,
        input_channels=input_channels,
        output_channels=output_channels,
        weight_scales=scales if scales is None or len(scales) == 1 else scales[:output_channels],
        bias=None if step.bias is None else step.bias[:output_channels],
    )
