"""The search on every architecture at every width, and the longer ones through to a proven int8 file."""

from pathlib import Path

import numpy as np
import pytest

from reds import cost, zoo
from reds.emitting import emit
from reds.finetuning.statistics import estimate_batch_norms
from reds.graph import Ranked, Supernet
from reds.ranking import rank
from reds.solving import solve
from reds.tracing import trace
from reds.verifying import random_inputs, verify

LARGEST_GAP = 1e-4
ARENA = 200_000
CALIBRATION_SAMPLES = 8
VERIFIED_SAMPLES = 3


@pytest.fixture(scope="module")
def mobilenet() -> Ranked:
    return rank(zoo.build("mobilenet_v1_100"), method="random")


@pytest.mark.parametrize("name", [name for name in zoo.ARCHITECTURES if name != "mobilenet_v1_100"])
def test_every_architecture_is_solved_to_the_optimum(name: str) -> None:
    family = solve(rank(zoo.build(name), method="l1"))
    total = cost.macs(family.graph, family.subnetworks[0].widths)
    for subnetwork, fraction in zip(family.subnetworks[1:], (0.75, 0.5, 0.25), strict=True):
        assert subnetwork.solution is not None and subnetwork.solution.gap <= LARGEST_GAP
        assert cost.macs(family.graph, subnetwork.widths) <= fraction * total


@pytest.mark.parametrize("max_arena", [None, ARENA])
def test_the_largest_architecture_is_solved_to_the_optimum(mobilenet: Ranked, max_arena: int | None) -> None:
    family = solve(mobilenet, max_arena=max_arena)
    for subnetwork in family.subnetworks[1:]:
        assert subnetwork.solution is not None and subnetwork.solution.gap <= LARGEST_GAP
        assert subnetwork.solution.seconds < 20
        if max_arena is not None:
            assert cost.peak_activation_bytes(family.graph, subnetwork.widths) <= max_arena


def fresh_supernet(name: str, calibration: np.ndarray) -> Supernet:
    """The network and its half as they are before training, with batch-norm statistics of the calibration."""
    family = solve(rank(trace(zoo.build(name)), method="l1"), [0.5], multiple=4)
    weights = {node.name: node.weights for node in family.graph.nodes}
    batch_norms = (
        estimate_batch_norms(family.graph, [calibration], weights, subnetwork.widths)
        for subnetwork in family.subnetworks
    )
    return Supernet(family, tuple(batch_norms))


@pytest.mark.parametrize("name", ["autoencoder", "mobilenet_v1_025", "ds_cnn_s_log_mel"])
def test_a_fresh_network_holds_every_proof_in_int8(name: str, tmp_path: Path) -> None:
    shape = zoo.build(name).input_shape[1:]
    calibration = np.random.default_rng(0).random((CALIBRATION_SAMPLES, *shape), np.float32)
    path = emit(fresh_supernet(name, calibration), tmp_path / "model.tflite", "int8", calibration)
    report = verify(path, random_inputs(path, VERIFIED_SAMPLES))
    assert report.passed, [check for check in report.checks if not check.passed]
