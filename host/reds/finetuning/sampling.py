"""Which subnetworks train in a step."""

from collections.abc import Sequence

import numpy as np

FEW = 4
"""So many subnetworks train all together; of more, the full, the smallest and a pair of others do."""

Turn = tuple[int, ...]
"""Subnetworks that train together, in rising order, so that 0 comes first."""


def turns(parameters: Sequence[int], seed: int, epoch: int) -> tuple[Turn, ...]:
    """Chooses the subnetworks of each part of an epoch: the full network, the smallest, and a pair of others.

    Args:
        parameters: of each subnetwork; entry 0 is the full network.
        seed: of the pairs.
        epoch: the turns are the same in every epoch, and begin with another one.

    Returns:
        One per part of the epoch, parts of the same length. Each subnetwork that does not always train has as many.
    """
    everything = range(len(parameters))
    if len(parameters) <= FEW:
        return (tuple(everything),)
    smallest = min(everything, key=lambda index: parameters[index])
    others = np.random.default_rng(seed).permutation([index for index in everything if index not in (0, smallest)])
    # Of an even number every other neighbours are a pair, of an odd number all of them in a circle.
    pairs = list(zip(others, np.roll(others, -1), strict=True))[:: 2 - len(others) % 2]
    first = epoch % len(pairs)
    return tuple(tuple(sorted({0, smallest, *map(int, pair)})) for pair in pairs[first:] + pairs[:first])
