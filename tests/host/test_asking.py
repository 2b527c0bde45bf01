"""Subnetworks asked in turn: what is done between two of them, and whose answer is taken."""

from dataclasses import replace

import numpy as np
import pytest
from random_networks import random_supernet_with_exit

from reds.asking import Step, ask, chain_of
from reds.compiled import CompiledNetwork
from reds.emitting import encode
from reds.quantizing import quantize
from reds.runtime import Runtime

NEVER = 2.0
"""A threshold that no probability reaches."""


@pytest.fixture(scope="module")
def network() -> CompiledNetwork:
    """Of four subnetworks the last one leaves through an exit; it has all channels, 1 and 2 have fewer and fewer."""
    supernet = random_supernet_with_exit(seed=15)
    shape = (8, *supernet.family.graph.input_shape)
    return quantize(supernet, "int8", np.random.default_rng(0).standard_normal(shape, np.float32))


def asking(network: CompiledNetwork, of_exit: float, *of_subnetworks: float) -> Runtime:
    own, early = network.exits
    subnetworks = tuple(
        replace(one, threshold=threshold) for one, threshold in zip(network.subnetworks, of_subnetworks, strict=True)
    )
    exits = (own, replace(early, threshold=of_exit))
    return Runtime(encode(replace(network, exits=exits, subnetworks=subnetworks)))


def test_steps_between_subnetworks(network: CompiledNetwork) -> None:
    runtime = asking(network, NEVER, 0, 0, 0, 0)
    chain = chain_of(runtime, network, [3, 2, 1, 0], np.zeros(runtime.input.shape, np.int8))
    assert chain.subnetworks == (3, 2, 1, 0)
    assert chain.steps[0][3] is Step.ON
    assert chain.steps[0][1:3] == (Step.CHANGED, Step.CHANGED)
    assert (chain.steps[1][2], chain.steps[1][3], chain.steps[2][3]) == (Step.AGAIN,) * 3
    assert chain.of([0, 3]).steps[0][1] is Step.ON


@pytest.mark.parametrize(
    ("thresholds", "asked", "place"),
    [
        ((0, 0, 0, 0), [3, 0], 0),
        ((NEVER, 0, 0, 0), [3, 0], 1),
        ((0, 0, 0, NEVER), [3, 2, 0], 1),
        ((0, 0, NEVER, 0), [2, 1, 0], 1),
        ((0, NEVER, NEVER, 0), [2, 1, 0], 2),
        ((0, NEVER, NEVER, 0), [2, 1], 1),
    ],
    ids=str,
)
def test_the_first_sure_answer_is_taken(
    network: CompiledNetwork, thresholds: tuple[float, ...], asked: list[int], place: int
) -> None:
    """`thresholds` are those of the exit and of subnetworks 1 to 3."""
    of_exit, *others = thresholds
    runtime = asking(network, of_exit, 0, *others)
    x = runtime.quantize(np.random.default_rng(1).standard_normal(runtime.input.shape, np.float32))
    assert ask(runtime, asked, x) == place
    answer = runtime.output.copy()
    runtime.select(asked[place])
    np.testing.assert_array_equal(runtime.invoke(x), answer)
