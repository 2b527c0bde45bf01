"""What it costs to ask several subnetworks, one after the other, until one is sure enough."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise, takewhile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from reds.asking import Chain, Step
from reds.compiled import CompiledNetwork
from reds.inspecting import unit_of
from reds_bench.client import Bench
from reds_bench.emulator import boot, counting_target


@dataclass(frozen=True)
class StopCosts:
    """Of a chain of subnetworks."""

    unit: str
    """"macs", "instructions" or "cycles"."""
    first: tuple[int, ...]
    """Per subnetwork, from the input to its answer."""
    onward: tuple[tuple[int | None, ...], ...]
    """[i][j]: from the answer of subnetwork i to that of subnetwork j, which is a later one. None where j cannot be
    asked next, and where it is no later one."""

    def of(self, places: Sequence[int]) -> "StopCosts":
        """Of a part of the chain."""
        first = tuple(self.first[place] for place in places)
        return StopCosts(
            self.unit, first, tuple(tuple(self.onward[here][there] for there in places) for here in places)
        )

    @property
    def along(self) -> tuple[int, ...] | None:
        """From the input to each answer where the subnetworks are asked in turn; None where they cannot be."""
        steps = [self.onward[here][there] for here, there in pairwise(range(len(self.first)))]
        known = [step for step in steps if step is not None]
        return tuple(accumulate(known, initial=self.first[0])) if len(known) == len(steps) else None


def macs_of_stops(network: CompiledNetwork, chain: Chain) -> StopCosts:
    """Multiply-accumulates; going on needs none but those of the operations that are still to run."""

    def onward(here: int, there: int) -> int:
        layers = [[step.layer for step in network.subnetworks[index].steps] for index in (here, there)]
        return sum(
            network.layers[step.layer].macs(step.input_channels, step.output_channels)
            for step in network.subnetworks[there].steps[_shared(*layers) :]
        )

    first = tuple(network.macs(index) for index in chain.subnetworks)
    return StopCosts("macs", first, _onward(chain, first, onward))


def count_stops(path: Path | str, board: str, chain: Chain, sample: NDArray) -> StopCosts:
    """Counts them on an emulated board, the changes from one subnetwork to another included.

    Args:
        path: a file whose exits have thresholds, so that inferences go on behind them.
        board: an emulated board, such as "qemu:cortex-m4".
        chain: subnetworks of the file.
        sample: (*input shape) one input in the model's own type. The count hardly depends on it.

    Raises:
        UsageError: if the board is unknown or does not count instructions.
        DeviceError: if the board fails.
    """
    unit = unit_of(counting_target(board))
    with boot(board, path) as url, Bench(url) as bench:
        bench.upload(np.ascontiguousarray(sample).tobytes())
        counts, operations = {}, {}
        for subnetwork in chain.subnetworks:
            bench.select(subnetwork)
            bench.infer(warmup=0)
            counts[subnetwork] = bench.stats().last_instructions
            operations[subnetwork] = bench.operations()

        def onward(here: int, there: int) -> int:
            bench.select(here)
            change = bench.continue_in(there, len(operations[here]))
            shared = _shared(*([one.layer for one in operations[index]] for index in (here, there)))
            return change + sum(one.instructions for one in operations[there][shared:])

        first = tuple(counts[index] for index in chain.subnetworks)
        return StopCosts(unit, first, _onward(chain, first, onward))


def _shared(one: Sequence[int], other: Sequence[int]) -> int:
    """How many layers two run lists have in common at their beginning."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def _onward(
    chain: Chain, first: Sequence[int], going_on: Callable[[int, int], int]
) -> tuple[tuple[int | None, ...], ...]:
    """Per pair of places in a chain the cost between their answers; `going_on` tells it of two subnetworks."""

    def cost(here: int, there: int) -> int | None:
        if there <= here or chain.steps[here][there] is Step.CHANGED:
            return None
        if chain.steps[here][there] is Step.AGAIN:
            return first[there]
        return going_on(chain.subnetworks[here], chain.subnetworks[there])

    places = range(len(first))
    return tuple(tuple(cost(here, there) for there in places) for here in places)
