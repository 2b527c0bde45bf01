"""Which subnetworks train in an epoch."""

from collections.abc import Sequence

import numpy as np

FEW = 4
"""So many subnetworks train all together; of more, the full, the smallest and a pair of others do."""


def sandwich(parameters: Sequence[int], seed: int, epoch: int) -> tuple[int, ...]:
    """Chooses the subnetworks of an epoch: the full network, the smallest, and others.

    Args:
        parameters: of each subnetwork; entry 0 is the full network.
        seed: of the draw.
        epoch: each has a pair of its own. In as many epochs as there are others, each of them trains twice.

    Returns:
        Indices in rising order, so that 0 comes first.
    """
    everything = range(len(parameters))
    if len(parameters) <= FEW:
        return tuple(everything)
    smallest = min(everything, key=lambda index: parameters[index])
    others = [index for index in everything if index not in (0, smallest)]
    drawn = _pair(others, seed, epoch)
    return tuple(sorted({0, smallest, *drawn}))


def _pair(others: Sequence[int], seed: int, epoch: int) -> tuple[int, int]:
    """Two different ones: neighbours in two random orders of all, one behind the other."""
    turn, place = divmod(epoch, len(others))
    generator = np.random.default_rng([seed, turn])
    first, second = generator.permutation(others), generator.permutation(others)
    if first[-1] == second[0]:
        second = np.roll(second, 1)
    order = np.concatenate([first, second])
    return int(order[2 * place]), int(order[2 * place + 1])
