"""What a subnetwork of a trained family gives, in float."""

import numpy as np
from numpy.typing import NDArray

from reds.forward import predict
from reds.graph import Supernet
from reds.shallow import shallow_network


def evaluate(supernet: Supernet, subnetwork: int, x: NDArray[np.float32], batch_size: int = 256) -> NDArray[np.float32]:
    """Runs a subnetwork.

    Args:
        supernet: the trained family.
        subnetwork: index in `family.subnetworks`.
        x: inputs (samples, *input_shape).
        batch_size: samples at a time.

    Returns:
        Its output (samples, *output_shape): probabilities where the network ends with a softmax, else logits.
    """
    family = supernet.family
    chosen = family.subnetworks[subnetwork]
    batch_norm = supernet.batch_norms[subnetwork]
    network = shallow_network(family.graph, skips=chosen.skips)
    widths = network.narrow(chosen.widths)
    if chosen.exit == 0:
        return predict(network.graph, x, widths=widths, batch_norm=batch_norm, batch_size=batch_size)
    exit_ = family.exits[chosen.exit - 1]
    tap = network.places[exit_.tap]
    features = predict(network.graph, x, None, widths, batch_norm, until=tap, batch_size=batch_size)
    return predict(exit_.head, features, batch_norm=batch_norm, batch_size=batch_size)


def accuracy(
    supernet: Supernet, subnetwork: int, x: NDArray[np.float32], y: NDArray[np.integer], batch_size: int = 256
) -> float:
    """Share of the samples, in [0, 1], that a subnetwork puts into their class `y` (samples,)."""
    outputs = evaluate(supernet, subnetwork, x, batch_size)
    return float(np.mean(outputs.reshape(len(x), -1).argmax(axis=1) == y))
