"""Attaches exit heads, through which a network can be left early."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import keras

from reds.cost import full_widths, macs, node_macs
from reds.errors import UsageError
from reds.fold import FusedLayer, fuse
from reds.graph import Add, Concatenate, Conv2D, Conv2DTranspose, Dense, Exit, Family, Graph, Ranked
from reds.grouping import narrowing_obstacle
from reds.heads import Head, build_head, function_of_scores

_ENDS_OF_BLOCKS = (Conv2D, Conv2DTranspose, Dense, Add, Concatenate)


def attach_exits(
    ranked: Ranked, taps: Sequence[str] | Literal["auto"], seed: int = 0, head: Head = "auxiliary"
) -> Ranked:
    """Adds an untrained exit head to each tapped layer.

    Args:
        ranked: the network.
        taps: names of layers; a head reads the layer's output after its batch normalisation and activation.
            `"auto"` is the convolution, dense layer, sum or concatenation after which nearest to half of the network's
            multiply-accumulates are done; one inside of a branch only where there is no other.
        seed: of the heads' initial weights (Glorot uniform).
        head: what is put behind each tapped map. "auxiliary": two depthwise separable blocks of 32 and 16 channels, the
            average over the map, a dense layer (De Leon and Atienza, arXiv 2204.10546). "dense": the average, dense
            layers of 64 and 32 units, a dense layer. "compact": an auxiliary network that looks at every second row
            and column of all but the smallest maps, with up to 32 and 16 channels, less for narrower maps. Behind a
            vector all are dense. Or a `keras.Model` for one tap, or a function that makes one for the shape of a
            map and a number of classes; it ends with the function that the network ends with.

    Returns:
        The network with the new exits after those it had, in the network's order.

    Raises:
        UsageError: if a tap is not a layer of the network that a head can read, or is named twice, or if a head does
            not fit.
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
    if isinstance(head, keras.Model) and len(tapped) != 1:
        raise UsageError(f"`head` is one model, which cannot be behind {len(tapped)} layers: give a function.")
    exits = tuple(_exit(graph, layer, head, seed) for layer in tapped)
    return replace(ranked, exits=tuple(sorted((*ranked.exits, *exits), key=lambda exit_: exit_.tap)))


def possible_taps(graph: Graph) -> tuple[str, ...]:
    """Names of the layers that an exit can be attached to: all that have a weighted layer behind them."""
    return tuple(layer.name for layer in _tappable_layers(graph))


def block_ends(graph: Graph) -> tuple[str, ...]:
    """Names of the layers that end a block and that everything behind them reads: wherever the network can be cut.

    Args:
        graph: the network.

    Returns:
        Names of layers in the network's order.

    Raises:
        UsageError: if there is none.
    """
    _require_class_scores(graph)
    ends = tuple(layer.name for layer in _block_ends(graph))
    if not ends:
        raise UsageError(
            f"'{graph.name}' has no place for an exit: it needs a convolution, a dense layer, a sum or a concatenation "
            "that all of its later layers depend on."
        )
    return ends


def promising_taps(graph: Graph, head: Head = "auxiliary", most: int = 4) -> tuple[str, ...]:
    """Layers whose exits are worth training: none costs as much as a deeper one, or as the network itself.

    An early map is large, so a head on it can cost more than one behind the next blocks, which sees more.

    Args:
        graph: the network.
        head: what would be put behind each; see `attach_exits`.
        most: how many at most. Of more, those whose costs lie most evenly are taken.

    Returns:
        Names of layers in the network's order, each the end of a block that everything behind it reads.

    Raises:
        UsageError: if there is none.
    """
    _require_class_scores(graph)
    widths = full_widths(graph)
    least = macs(graph, widths)
    promising: list[tuple[str, int]] = []
    for layer in reversed(_block_ends(graph)):
        cost = int(macs(graph, widths, _exit(graph, layer, head, seed=0)))
        if cost < least:
            least = cost
            promising.insert(0, (layer.name, cost))
    if not promising:
        raise UsageError(
            f"No exit of '{graph.name}' costs less than the network itself: name the layers to tap in `exits`."
        )
    return _evenly(promising, most)


def _evenly(promising: Sequence[tuple[str, int]], most: int) -> tuple[str, ...]:
    """The first, the last, and those nearest to even steps of the cost between them."""
    first, last = promising[0][1], promising[-1][1]
    steps = [first + (last - first) * number / max(1, most - 1) for number in range(most)]
    nearest = {min(promising, key=lambda one: abs(one[1] - step))[0] for step in steps}
    return tuple(name for name, _ in promising if name in nearest)


def check_narrowed_exits(family: Family) -> None:
    """Raises UsageError where a subnetwork narrows a map whose exit's head needs all of its channels."""
    for chosen in family.subnetworks:
        if chosen.exit == 0:
            continue
        leave = family.exits[chosen.exit - 1]
        tap = family.graph.nodes[leave.tap]
        obstacle = narrowing_obstacle(leave.head)
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


def _block_ends(graph: Graph) -> tuple[FusedLayer, ...]:
    """Those of them that end a block, inside of no branch."""
    return tuple(
        layer
        for layer in _tappable_layers(graph)
        if isinstance(layer.operation, _ENDS_OF_BLOCKS) and _all_pass(graph, layer)
    )


def _tapped_layer(graph: Graph, tap: str) -> FusedLayer:
    for layer in _tappable_layers(graph):
        if tap in (graph.nodes[index].name for index in layer.nodes):
            return layer
    raise UsageError(f"No exit can be attached to '{tap}': choose 'auto' or among {', '.join(possible_taps(graph))}.")


def _tap_nearest_to_half(graph: Graph) -> str:
    candidates = [layer for layer in _tappable_layers(graph) if isinstance(layer.operation, _ENDS_OF_BLOCKS)]
    if not candidates:
        raise UsageError(f"'{graph.name}' is too short for an exit: it needs two convolutions or dense layers.")
    work = [_macs(graph, index) for index in range(len(graph.nodes))]

    def distance_to_half(layer: FusedLayer) -> float:
        return abs(sum(work[index] for index in graph.ancestors(layer.last_node)) - sum(work) / 2)

    return min(_block_ends(graph) or candidates, key=distance_to_half).name


def _all_pass(graph: Graph, layer: FusedLayer) -> bool:
    """Whether everything that runs later sees the network's input through this layer alone, inside of no branch."""
    last = layer.last_node
    return all(source >= last for node in graph.nodes[last + 1 :] for source in node.inputs)


def _macs(graph: Graph, index: int) -> int:
    node = graph.nodes[index]
    return int(node_macs(graph, index, graph.shape_of(node.input)[2], node.output_shape[2]))


def _exit(graph: Graph, tapped: FusedLayer, head: Head, seed: int) -> Exit:
    # Layers of nested models and `activation=` arguments have a slash in their name; Keras takes none.
    name = f"exit_{tapped.name.replace('/', '_')}"
    built = build_head(head, name, tapped.output_shape, graph.output_shape[0], function_of_scores(graph), seed)
    return Exit(name, tapped.last_node, _with_names_of(built, name))


def _with_names_of(head: Graph, name: str) -> Graph:
    """The head with nodes that no other graph names alike."""

    def own(layer: str) -> str:
        return layer if layer.startswith(name) else f"{name}_{layer}"

    nodes = tuple(replace(node, name=own(node.name)) for node in head.nodes)
    return replace(head, nodes=nodes, groups=tuple(replace(group, name=own(group.name)) for group in head.groups))
