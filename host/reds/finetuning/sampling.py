"""Which subnetworks train in an epoch."""

from collections.abc import Sequence

import numpy as np

FEW = 4
"""So many subnetworks train all together; of more, the full, the smallest and two others do."""


def sandwich(parameters: Sequence[int], seed: int, epoch: int) -> tuple[int, ...]:
    """Chooses the subnetworks of an epoch: the full network, the smallest, and others.

    Args:
        parameters: of each subnetwork; entry 0 is the full network.
        seed: of the draw.
        epoch: every epoch draws anew.

    Returns:
        Indices in rising order, so that 0 comes first.
    """
    everything = range(len(parameters))
    if len(parameters) <= FEW:
        return tuple(everything)
    smallest = min(everything, key=lambda index: parameters[index])
    others = [index for index in everything if index not in (0, smallest)]
    drawn = np.random.default_rng([seed, epoch]).choice(others, FEW - 2, replace=False)
    return tuple(sorted({0, smallest, *drawn.tolist()}))
