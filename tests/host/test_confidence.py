"""Thresholds of exits: what they lose is measured by libreds as a device would run them."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from random_networks import random_supernet, random_supernet_with_exit

from reds.confidence import calibrate_exits
from reds.emitting import annotate, emit
from reds.errors import UsageError
from reds.model_file import read_model_file
from reds.plan import TargetCosts
from reds.runtime import Runtime

SAMPLES = 60
SEED = 4


@pytest.fixture(params=["int8", "float32"])
def path(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    supernet = random_supernet_with_exit(SEED)
    return emit(supernet, tmp_path / "model.tflite", request.param, inputs(supernet.family.graph.input_shape))


def inputs(shape: tuple[int, ...]) -> NDArray[np.float32]:
    return np.random.default_rng(0).standard_normal((SAMPLES, *shape), np.float32)


def answers(path: Path, subnetwork: int) -> tuple[NDArray, NDArray]:
    """Inputs and what a subnetwork says of them."""
    runtime = Runtime(path)
    runtime.select(subnetwork)
    x = inputs(runtime.input.shape)
    return x, runtime.invoke(runtime.quantize(x)).reshape(SAMPLES, -1).argmax(axis=1)


def run_as_a_device(path: Path, shallow: int, deeper: int, x: NDArray) -> tuple[NDArray, NDArray]:
    """Answers, and which inferences left early."""
    runtime = Runtime(path)
    runtime.select(shallow)
    found, early = [], []
    for sample in runtime.quantize(x):
        runtime.invoke(sample)
        early.append(runtime.is_confident)
        if not runtime.is_confident:
            runtime.continue_in(deeper)
            while runtime.step():
                pass
        found.append(int(runtime.output.argmax()))
    return np.array(found), np.array(early)


@pytest.mark.parametrize("loss", [0.0, 0.1, 1.0])
def test_a_device_loses_no_more_than_was_allowed(path: Path, loss: float) -> None:
    x, labels = answers(path, 0)
    (calibrated,) = calibrate_exits(path, x, labels, loss)
    found, early = run_as_a_device(path, calibrated.subnetwork, calibrated.deeper, x)
    assert calibrated.deeper == 0
    assert calibrated.deeper_accuracy == 1.0
    assert calibrated.accuracy == pytest.approx(np.mean(found == labels))
    assert calibrated.left_early == pytest.approx(np.mean(early))
    assert calibrated.accuracy >= 1.0 - loss
    assert read_model_file(path).plan.exits[1].threshold == np.float32(calibrated.threshold)
    if loss == 1.0:
        assert early.all()


def test_an_exit_that_is_never_right_is_not_taken(path: Path) -> None:
    x, wrong = answers(path, 3)
    _, right = answers(path, 0)
    differing = wrong != right
    (calibrated,) = calibrate_exits(path, x[differing], right[differing], 0.0)
    assert calibrated.left_early == 0.0
    assert calibrated.accuracy == 1.0


def test_measurements_stay(path: Path) -> None:
    targets = (TargetCosts("cortex-m4", True, (9, 8, 7, 6)),)
    annotate(path, (0.5, None, 0.25, 0.75), targets)
    x, labels = answers(path, 0)
    calibrate_exits(path, x, labels)
    infos = Runtime(path).subnetworks
    assert [info.accuracy for info in infos] == [0.5, None, 0.25, 0.75]
    assert [info.instructions for info in infos] == [9, 8, 7, 6]


def test_bad_input(path: Path, tmp_path: Path) -> None:
    x, labels = answers(path, 0)
    with pytest.raises(UsageError, match="`loss` must be"):
        calibrate_exits(path, x, labels, 1.5)
    with pytest.raises(UsageError, match="as many samples"):
        calibrate_exits(path, x, labels[1:])
    plain = next(supernet for supernet in map(random_supernet, range(9)) if not supernet.family.exits)
    without = emit(plain, tmp_path / "plain.tflite", "float32")
    with pytest.raises(UsageError, match="has no exit"):
        calibrate_exits(without, inputs(plain.family.graph.input_shape), labels)
