"""Attaches auxiliary exit heads, through which a network can be left early.

The head of a map is the auxiliary network of depth pruning: two depthwise separable blocks of 32 and 16 channels.
The head of a vector is two dense layers of 64 and 32 units.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import count
from typing import Literal

import keras
from keras import layers

from reds.cost import node_macs
from reds.errors import UsageError
from reds.fold import FusedLayer, fuse
from reds.graph import Activation, Add, Concatenate, Conv2D, Conv2DTranspose, Dense, Exit, Family, Graph, Ranked
from reds.grouping import narrowing_obstacle
from reds.tracing import trace

BLOCK_CHANNELS = (32, 16)
"""Output channels of the blocks of a map's head."""

DENSE_UNITS = (64, 32)
"""Units of the hidden layers of a vector's head."""

_ENDS_OF_BLOCKS = (Conv2D, Conv2DTranspose, Dense, Add, Concatenate)


def attach_exits(ranked: Ranked, taps: Sequence[str] | Literal["auto"], seed: int = 0) -> Ranked:
    """Adds an untrained exit head to each tapped layer.

    Args:
        ranked: the network.
        taps: names of layers; a head reads the layer's output after its batch normalisation and activation.
            `"auto"` is the convolution, dense layer, sum or concatenation after which nearest to half of the network's
            multiply-accumulates are done; one inside of a branch only where there is no other.
        seed: of the heads' initial weights (Glorot uniform).

    Returns:
        The network with the new exits after those it had, in the network's order.

    Raises:
        UsageError: if a tap is not a layer of the network that a head can read, or is named twice.
    """
    graph = ranked.graph
    _require_class_scores(graph)
    if taps == "auto":
        taps = (_tap_nearest_to_half(graph),)
    tapped = [_tapped_layer(graph, tap) for tap in taps]
    taken = [exit_.tap for exit_ in ranked.exits] + [layer.last_node for layer in tapped]
    for layer in tapped:
        if taken.count(layer.last_node) > 1:
            raise UsageError(f"There would be two exits after layer '{layer.name}': name each tap once.")
    exits = tuple(_exit(graph, layer, seed) for layer in tapped)
    return replace(ranked, exits=tuple(sorted((*ranked.exits, *exits), key=lambda exit_: exit_.tap)))


def possible_taps(graph: Graph) -> tuple[str, ...]:
    """Names of the layers that an exit can be attached to: all that have a weighted layer behind them."""
    return tuple(layer.name for layer in _tappable_layers(graph))


def check_narrowed_exits(family: Family) -> None:
    """Raises UsageError where a subnetwork narrows a map whose exit's head needs all of its channels."""
    for chosen in family.subnetworks:
        if chosen.exit == 0:
            continue
        leave = family.exits[chosen.exit - 1]
        tap = family.graph.nodes[leave.tap]
        obstacle = narrowing_obstacle(leave.head.nodes)
        narrowed = tap.output_group is not None and chosen.widths[tap.output_group] < tap.output_shape[2]
        if narrowed and obstacle is not None:
            raise UsageError(
                f"'{chosen.name}' cannot narrow the map of '{leave.name}': layer '{obstacle.name}' of its head needs "
                f"all {tap.output_shape[2]} channels. Use another head, or keep the layer that it taps at full width."
            )


def _require_class_scores(graph: Graph) -> None:
    if len(graph.output_shape) != 1:
        raise UsageError(
            "Exit heads need a network whose output is one score per class, "
            f"but the output of '{graph.name}' has the shape {graph.output_shape}."
        )


def _tappable_layers(graph: Graph) -> tuple[FusedLayer, ...]:
    fused = fuse(graph)
    last_weighted = max((index for index, layer in enumerate(fused) if layer.weighted), default=0)
    return fused[:last_weighted]


def _tapped_layer(graph: Graph, tap: str) -> FusedLayer:
    for layer in _tappable_layers(graph):
        if tap in (graph.nodes[index].name for index in layer.nodes):
            return layer
    raise UsageError(f"No exit can be attached to '{tap}': choose 'auto' or among {', '.join(possible_taps(graph))}.")


def _tap_nearest_to_half(graph: Graph) -> str:
    candidates = [layer for layer in _tappable_layers(graph) if isinstance(layer.operation, _ENDS_OF_BLOCKS)]
    if not candidates:
        raise UsageError(f"'{graph.name}' is too short for an exit: it needs two convolutions or dense layers.")
    macs = [_macs(graph, index) for index in range(len(graph.nodes))]

    def distance_to_half(layer: FusedLayer) -> float:
        return abs(sum(macs[index] for index in graph.ancestors(layer.last_node)) - sum(macs) / 2)

    return min([layer for layer in candidates if _all_pass(graph, layer)] or candidates, key=distance_to_half).name


def _all_pass(graph: Graph, layer: FusedLayer) -> bool:
    """Whether everything that runs later sees the network's input through this layer alone, inside of no branch."""
    last = layer.last_node
    return all(source >= last for node in graph.nodes[last + 1 :] for source in node.inputs)


def _macs(graph: Graph, index: int) -> int:
    node = graph.nodes[index]
    return int(node_macs(graph, index, graph.shape_of(node.input)[2], node.output_shape[2]))


def _exit(graph: Graph, tapped: FusedLayer, seed: int) -> Exit:
    # Layers of nested models and `activation=` arguments have a slash in their name; Keras takes none.
    name = f"exit_{tapped.name.replace('/', '_')}"
    seeds = count(seed)
    height, width, channels = tapped.output_shape
    if (height, width) == (1, 1):
        source = layers.Input((channels,))
        features = _dense_features(source, name, seeds)
    else:
        source = layers.Input((height, width, channels))
        features = _map_features(source, name, seeds)
    output = _dense(graph.output_shape[0], f"{name}_classes", seeds)(features)
    function = _function_of_scores(graph)
    if function is not None:
        output = layers.Activation(function, name=f"{name}_{function}")(output)
    return Exit(name, tapped.last_node, trace(keras.Model(source, output, name=name)))


def _function_of_scores(graph: Graph) -> str | None:
    """What the network makes of its class scores, and its exits must make too."""
    operation = graph.nodes[-1].operation
    if isinstance(operation, Activation) and operation.function in ("softmax", "sigmoid", "tanh"):
        return operation.function
    return None


def _map_features(x: keras.KerasTensor, name: str, seeds: Iterator[int]) -> keras.KerasTensor:
    """The head of De Leon and Atienza, "Depth pruning with auxiliary networks for tinyML", 2022."""
    for block, channels in enumerate(BLOCK_CHANNELS, start=1):
        depthwise = layers.DepthwiseConv2D(
            3, padding="same", depthwise_initializer=_glorot(seeds), name=f"{name}_depthwise_{block}"
        )
        pointwise = layers.Conv2D(channels, 1, kernel_initializer=_glorot(seeds), name=f"{name}_pointwise_{block}")
        for layer in (depthwise, pointwise):
            x = layers.BatchNormalization(name=f"{layer.name}_batch_norm")(layer(x))
            x = layers.ReLU(name=f"{layer.name}_relu")(x)
    return layers.GlobalAveragePooling2D(name=f"{name}_pool")(x)


def _dense_features(x: keras.KerasTensor, name: str, seeds: Iterator[int]) -> keras.KerasTensor:
    for index, units in enumerate(DENSE_UNITS, start=1):
        layer = _dense(units, f"{name}_dense_{index}", seeds)
        x = layers.ReLU(name=f"{layer.name}_relu")(layer(x))
    return x


def _dense(units: int, name: str, seeds: Iterator[int]) -> layers.Dense:
    return layers.Dense(units, kernel_initializer=_glorot(seeds), name=name)


def _glorot(seeds: Iterator[int]) -> keras.initializers.Initializer:
    return keras.initializers.GlorotUniform(next(seeds))
