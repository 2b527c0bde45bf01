"""Asks subnetworks of a file in turn until one is sure enough of its answer."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import takewhile

from numpy.typing import NDArray

from reds.compiled import CompiledNetwork
from reds.errors import UsageError
from reds.runtime import Runtime


class Step(Enum):
    """How an inference gets from the answer of one subnetwork to that of another."""

    ON = "on"
    """It goes on from the features that it has, which are those of the other one."""
    AGAIN = "again"
    """The other one runs from the input, since nothing that it needs is there."""
    CHANGED = "changed"
    """It would go on from features that the other one has not, to answers that are not its own."""


@dataclass(frozen=True)
class Chain:
    """Subnetworks in the order in which an inference may ask them, and what it does in between."""

    subnetworks: tuple[int, ...]
    steps: tuple[tuple[Step, ...], ...]
    """[i][j]: from the answer of subnetwork i to that of j, which is a later one."""

    def of(self, places: Sequence[int]) -> "Chain":
        """A part of it."""
        return Chain(
            tuple(self.subnetworks[place] for place in places),
            tuple(tuple(self.steps[here][there] for there in places) for here in places),
        )


def chain_of(runtime: Runtime, network: CompiledNetwork, subnetworks: Sequence[int], sample: NDArray) -> Chain:
    """What lies between subnetworks, found by trying.

    Args:
        runtime: of a file whose exits have thresholds, so that inferences go on behind them.
        network: the file's network.
        subnetworks: in the order in which they may be asked.
        sample: (*input shape) an input in the model's own type.
    """

    def step(here: int, there: int) -> Step:
        if not _goes_on(runtime, here, there, sample):
            return Step.AGAIN
        return Step.ON if _have_the_same_features(network, here, there) else Step.CHANGED

    return Chain(tuple(subnetworks), tuple(tuple(step(here, there) for there in subnetworks) for here in subnetworks))


def _goes_on(runtime: Runtime, here: int, there: int, sample: NDArray) -> bool:
    runtime.select(here)
    runtime.invoke(sample)
    try:
        runtime.continue_in(there)
    except UsageError:
        return False
    return True


def _have_the_same_features(network: CompiledNetwork, here: int, there: int) -> bool:
    """Whether all operations that both begin with have the same channels."""
    steps = [network.subnetworks[index].steps for index in (here, there)]
    return all(
        (one.input_channels, one.output_channels) == (other.input_channels, other.output_channels)
        for one, other in takewhile(lambda pair: pair[0].layer == pair[1].layer, zip(*steps, strict=False))
    )


def ask(runtime: Runtime, subnetworks: Sequence[int], sample: NDArray) -> int:
    """Asks one after the other, as a device does, until one is sure enough; the last one's answer is taken in any case.

    Args:
        runtime: its output holds the answer afterwards.
        subnetworks: those to ask.
        sample: (*input shape) an input in the model's own type.

    Returns:
        Which of the subnetworks gave the answer, as a place among them.
    """
    runtime.select(subnetworks[0])
    runtime.invoke(sample)
    for place, other in enumerate(subnetworks[1:]):
        if runtime.is_confident:
            return place
        try:
            runtime.continue_in(other)
        except UsageError:
            runtime.select(other)
            runtime.invoke(sample)
        else:
            while runtime.step():
                pass
    return len(subnetworks) - 1
