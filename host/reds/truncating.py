"""Takes out of a compiled network what some of its subnetworks do not need: layers, heads, and channels."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from reds.compiled import (
    CompiledExit,
    CompiledLayer,
    CompiledNetwork,
    CompiledStep,
    CompiledSubnetwork,
    ElementType,
    Sources,
    common_sources,
    stand_ins_of,
)
from reds.errors import UsageError
from reds.graph import INPUT


def truncated(network: CompiledNetwork, kept: Sequence[int]) -> CompiledNetwork:
    """The network that has only some of the subnetworks, with the layers and channels that they use.

    Its subnetwork 0, which a stock interpreter runs, is the one of those kept that runs the most layers of the network,
    the widest of several; what was its exit is the output of the new network. The others keep their order.

    Args:
        network: the whole network.
        kept: indices of subnetworks.

    Returns:
        A network whose subnetworks give what they gave: the same bytes in int8, and to rounding the same in float32.

    Raises:
        UsageError: if an index is out of range or named twice, or if no subnetwork that is kept runs all layers of the
            network that the others run.
    """
    members = [network.subnetworks[index] for index in kept_in_order(network, kept)]
    first = members[0]
    _check_contains_all(network, first, members)
    exits = list(dict.fromkeys(one.exit for one in members))
    places = _places(network, members, exits)
    sources = [_moved_sources(network, one, places) for one in members]
    common = common_sources(sources)
    layers = [network.layers[layer] for layer in places if layer != INPUT]
    return fitted(
        replace(
            network,
            layers=tuple(_moved_layer(layer, exits, common[place]) for place, layer in enumerate(layers)),
            exits=tuple(_moved_exit(network, first, exit, members, places) for exit in exits),
            subnetworks=tuple(
                _moved_subnetwork(one, exits, places, stand_ins_of(own, common))
                for one, own in zip(members, sources, strict=True)
            ),
        )
    )


def kept_in_order(network: CompiledNetwork, kept: Sequence[int]) -> list[int]:
    """The indices of the subnetworks to keep in the order of the truncated network.

    Raises:
        UsageError: if an index is out of range or named twice.
    """
    count = len(network.subnetworks)
    if not kept or len(set(kept)) < len(kept) or not all(0 <= index < count for index in kept):
        raise UsageError(f"Subnetworks to keep must be different numbers from 0 to {count - 1}. Received: {list(kept)}")

    def size(index: int) -> tuple[int, int]:
        return len(_trunk(network, network.subnetworks[index])), network.macs(index)

    first = max(sorted(kept), key=size)
    return [first, *sorted(set(kept) - {first})]


def fitted(network: CompiledNetwork) -> CompiledNetwork:
    """The network without the channels that no subnetwork uses, with weights that stock interpreters take.

    A float32 subnetwork has factors beside the weights, which TFLite has not. So the weights are those of the
    subnetwork that a subgraph of the file is made of, whose factors become 1.

    Args:
        network: a network whose layers each run in some subnetwork.

    Returns:
        The same network where its subnetwork 0 runs everything at full width and so does some subnetwork of each exit.
    """
    hosts = subgraph_steps(network)
    layers = list(network.layers)
    factors: dict[int, NDArray[np.float32]] = {}
    for index, layer in enumerate(network.layers):
        steps = [step for one in network.subnetworks for step in one.steps if step.layer == index]
        if not steps:
            continue
        layers[index] = _narrowed(layer, steps)
        scales = hosts[index].weight_scales
        if network.element_type is ElementType.FLOAT32 and scales is not None and np.any(scales != 1):
            missing = layers[index].output_shape[2] - len(scales)
            factors[index] = np.concatenate([scales, np.ones(missing, np.float32)])
            layers[index] = replace(layers[index], weights=layers[index].scaled_weights(factors[index]))
    subnetworks = tuple(
        replace(one, steps=tuple(_divided(step, factors) for step in one.steps)) for one in network.subnetworks
    )
    return replace(network, layers=tuple(layers), subnetworks=subnetworks)


def subgraph_steps(network: CompiledNetwork) -> dict[int, CompiledStep]:
    """Per layer that runs the step with whose numbers it stands in a subgraph of the file."""
    hosts = [network.subnetworks[0], *(widest_user(network, exit) for exit in range(1, len(network.exits)))]
    everyone = (step for one in (*hosts, *network.subnetworks) for step in one.steps)
    steps: dict[int, CompiledStep] = {}
    for step in everyone:
        steps.setdefault(step.layer, step)
    return steps


def widest_user(network: CompiledNetwork, exit: int) -> CompiledSubnetwork:
    """The subnetwork whose part of an exit's head has the most channels; the head's subgraph is made of it.

    Raises:
        UsageError: if no subnetwork leaves there.
    """
    users = [one for one in network.subnetworks if one.exit == exit]
    if not users:
        raise UsageError(f"No subnetwork uses exit '{network.exits[exit].name}'; remove it before emitting.")
    return max(users, key=lambda one: sum(step.input_channels for step in head_steps(network, one)))


def head_steps(network: CompiledNetwork, subnetwork: CompiledSubnetwork) -> list[CompiledStep]:
    """The steps of a subnetwork's exit head; none where it leaves at the network's own output."""
    return [step for step in subnetwork.steps if network.layers[step.layer].subgraph != 0]


def _trunk(network: CompiledNetwork, subnetwork: CompiledSubnetwork) -> set[int]:
    """The layers of the network itself that a subnetwork runs."""
    return {step.layer for step in subnetwork.steps if network.layers[step.layer].subgraph == 0}


def _check_contains_all(
    network: CompiledNetwork, first: CompiledSubnetwork, members: Iterable[CompiledSubnetwork]
) -> None:
    for one in members:
        missing = sorted(_trunk(network, one) - _trunk(network, first))
        if missing:
            raise UsageError(
                f"'{one.name}' runs layer '{network.layers[missing[0]].name}', which '{first.name}' leaves out, so "
                "that no network in the file would have both. Keep a subnetwork that runs both, or one file for each."
            )


def _places(network: CompiledNetwork, members: Sequence[CompiledSubnetwork], exits: Sequence[int]) -> dict[int, int]:
    """Where each layer that is needed goes: those of subnetwork 0 in its order, then the heads of the other exits."""
    users = (next(one for one in members if one.exit == exit) for exit in exits)
    needed = [INPUT, *dict.fromkeys(step.layer for one in users for step in one.steps)]
    return {layer: place for place, layer in enumerate(needed, start=INPUT)}


def _moved_sources(network: CompiledNetwork, subnetwork: CompiledSubnetwork, places: Mapping[int, int]) -> Sources:
    """What the layers of a subnetwork take, by their places."""
    return {
        places[step.layer]: tuple(places[source] for source in subnetwork.sources(network.layers[step.layer]))
        for step in subnetwork.steps
    }


def _moved_layer(layer: CompiledLayer, exits: Sequence[int], inputs: tuple[int, ...]) -> CompiledLayer:
    return replace(layer, inputs=inputs, subgraph=exits.index(layer.subgraph) if layer.subgraph in exits else 0)


def _moved_exit(
    network: CompiledNetwork,
    first: CompiledSubnetwork,
    exit: int,
    members: Sequence[CompiledSubnetwork],
    places: Mapping[int, int],
) -> CompiledExit:
    name, tap = network.exits[exit].name, network.exits[exit].tap
    if exit == first.exit:
        return CompiledExit(name, places[first.steps[-1].layer])
    return CompiledExit(name, max(places[one.stand_ins.get(tap, tap)] for one in members if one.exit == exit))


def _moved_subnetwork(
    subnetwork: CompiledSubnetwork, exits: Sequence[int], places: Mapping[int, int], stand_ins: Mapping[int, int]
) -> CompiledSubnetwork:
    steps = tuple(replace(step, layer=places[step.layer]) for step in subnetwork.steps)
    return replace(subnetwork, exit=exits.index(subnetwork.exit), steps=steps, stand_ins=stand_ins, threshold=0.0)


def _narrowed(layer: CompiledLayer, steps: Sequence[CompiledStep]) -> CompiledLayer:
    """The layer with the channels of its widest steps."""
    inputs = max(step.input_channels for step in steps)
    outputs = max(step.output_channels for step in steps)
    if (inputs, outputs) == (layer.input_shape[2], layer.output_shape[2]):
        return layer
    return replace(
        layer,
        input_shape=(*layer.input_shape[:2], inputs),
        output_shape=(*layer.output_shape[:2], outputs),
        weights=None if layer.weights is None else layer.sliced_weights(inputs, outputs),
    )


def _divided(step: CompiledStep, factors: Mapping[int, NDArray[np.float32]]) -> CompiledStep:
    """A step on weights that were multiplied by factors."""
    if step.layer not in factors or step.weight_scales is None:
        return step
    own = factors[step.layer][: len(step.weight_scales)]
    return replace(step, weight_scales=(step.weight_scales / own).astype(np.float32))
