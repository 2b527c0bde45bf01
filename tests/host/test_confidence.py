"""Thresholds of exits: what they lose is measured by libreds as a device would run them."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from random_networks import random_supernet, random_supernet_with_exit

from reds import cost
from reds.confidence import Answers, Cascade, calibrate_exits, cheapest_choice
from reds.emitting import annotate, emit
from reds.errors import UsageError
from reds.exits import attach_exits
from reds.graph import Family, Ranked, Subnetwork, Supernet
from reds.model_file import decode, read_model_file
from reds.plan import TargetCosts
from reds.runtime import Runtime
from reds.stop_costs import StopCosts, macs_of_stops
from reds.tracing import trace

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


def run_as_a_device(path: Path, subnetworks: Sequence[int], x: NDArray) -> tuple[NDArray, list[int]]:
    """Answers, and the subnetworks that gave them."""
    runtime = Runtime(path)
    found, stopped = [], []
    for sample in runtime.quantize(x):
        first, *deeper = subnetworks
        runtime.select(first)
        runtime.invoke(sample)
        last = first
        while not runtime.is_confident:
            last, *deeper = deeper
            runtime.continue_in(last)
            while runtime.step():
                pass
        found.append(int(runtime.output.argmax()))
        stopped.append(last)
    return np.array(found), stopped


def stops_of(cascade: Cascade) -> list[int]:
    return [stop.subnetwork for stop in cascade.stops]


@pytest.mark.parametrize("loss", [0.0, 0.1, 1.0])
def test_a_device_loses_no_more_than_was_allowed(path: Path, loss: float) -> None:
    x, labels = answers(path, 0)
    cascade = calibrate_exits(path, x, labels, loss)
    found, stopped = run_as_a_device(path, stops_of(cascade), x)
    assert cascade.stops[-1].subnetwork == 0
    assert cascade.last_accuracy == 1.0
    assert cascade.accuracy == pytest.approx(np.mean(found == labels))
    assert [stop.share for stop in cascade.stops] == pytest.approx(
        [stopped.count(stop.subnetwork) / SAMPLES for stop in cascade.stops]
    )
    assert cascade.accuracy >= 1.0 - loss
    thresholds = [exit_.threshold for exit_ in read_model_file(path).plan.exits]
    assert thresholds == [0.0, *(np.float32(stop.threshold) for stop in cascade.stops[:-1])] or not thresholds[1]
    if loss == 1.0:
        assert cascade.stops[0].share == 1.0


def test_an_exit_that_is_never_right_is_not_asked(path: Path) -> None:
    x, wrong = answers(path, 3)
    _, right = answers(path, 0)
    differing = wrong != right
    cascade = calibrate_exits(path, x[differing], right[differing], 0.0)
    assert stops_of(cascade) == [0]
    assert (cascade.accuracy, cascade.mean_cost) == (1.0, cascade.last_cost)
    assert read_model_file(path).plan.exits[1].threshold == 0.0


@pytest.fixture(scope="module")
def two_exits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A chain of three convolutions with an exit behind each of the first two."""
    model = keras.Sequential(
        [
            keras.layers.Input((6, 5, 2)),
            *(keras.layers.Conv2D(8, 3, padding="same", activation="relu", name=f"conv{i}") for i in (1, 2, 3)),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(4, activation="softmax"),
        ]
    )
    graph = trace(model)
    exits = attach_exits(Ranked(graph, (), "random"), ["conv1", "conv2"], head="dense").exits
    full = cost.full_widths(graph)
    subnetworks = tuple(Subnetwork(name, full, exit_) for exit_, name in enumerate(("full", "early", "late")))
    supernet = Supernet(Family(graph, (), exits, subnetworks), ({},) * len(subnetworks))
    path = tmp_path_factory.mktemp("two_exits") / "model.tflite"
    return emit(supernet, path, "int8", inputs(graph.input_shape))


@pytest.mark.parametrize("board", [None, "qemu:cortex-m4"])
def test_exits_are_asked_in_turn(two_exits: Path, tmp_path: Path, board: str | None) -> None:
    """With labels that make the first exit right where it is surest, and the second where it is."""
    path = tmp_path / "model.tflite"
    shutil.copy(two_exits, path)
    (x, early), (_, late), (_, full) = (answers(path, subnetwork) for subnetwork in (1, 2, 0))
    runtime = Runtime(path)
    sure = {}
    for subnetwork in (1, 2):
        runtime.select(subnetwork)
        sure[subnetwork] = runtime.invoke(runtime.quantize(x)).reshape(SAMPLES, -1).max(axis=1)
    first, second = (sure[one] > np.quantile(sure[one], 0.6) for one in (1, 2))
    labels = np.where(first, early, np.where(second, late, full))
    cascade = calibrate_exits(path, x, labels, loss=0.6, board=board)
    found, stopped = run_as_a_device(path, stops_of(cascade), x)
    assert stops_of(cascade) in ([1, 2, 0], [1, 0], [2, 0])
    assert cascade.accuracy == np.mean(found == labels)
    assert cascade.mean_cost == pytest.approx(
        np.mean([next(stop.cost for stop in cascade.stops if stop.subnetwork == one) for one in stopped])
    )
    assert cascade.mean_cost < cascade.last_cost < cascade.worst_cost


def test_an_exit_that_needs_too_much_arena_is_not_asked(two_exits: Path, tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    shutil.copy(two_exits, path)
    x, labels = answers(path, 1)
    assert [stop.share for stop in calibrate_exits(path, x, labels, 1.0).stops] == [1.0, 0.0]
    needed = max(info.arena_bytes for info in Runtime(path).subnetworks)
    assert stops_of(calibrate_exits(path, x, labels, 1.0, max_arena=needed))[0] == 1
    with pytest.raises(UsageError, match=f"No inference can go on .* within {needed - 1} bytes"):
        calibrate_exits(path, x, labels, 1.0, max_arena=needed - 1)


def test_costs_of_stops(two_exits: Path) -> None:
    """By hand: a head of 64, 32 and 4 units behind a map of 8 channels; convolutions of 9 taps at 30 positions."""
    head = 8 * 64 + 64 * 32 + 32 * 4
    first, other, classifier = 30 * 9 * 2 * 8, 30 * 9 * 8 * 8, 8 * 4
    macs = macs_of_stops(decode(read_model_file(two_exits)), [1, 2, 0])
    assert macs.first == (first + head, first + other + head, first + 2 * other + classifier)
    assert macs.onward == ((0, other + head, 2 * other + classifier), (0, 0, other + classifier), (0, 0, 0))
    assert macs.along == (first + head, first + other + 2 * head, first + 2 * other + 2 * head + classifier)
    assert macs.of([1, 2]).along == (first + other + head, first + 2 * other + head + classifier)


@settings(derandomize=True, deadline=None, max_examples=60)
@given(st.integers(0, 2**32 - 1))
def test_the_choice_is_allowed_and_near_the_cheapest(seed: int) -> None:
    """Against all thresholds of two exits; the best of one exit alone is found exactly."""
    generator = np.random.default_rng(seed)
    samples, loss = int(generator.integers(1, 12)), float(generator.choice([0.0, 0.3, 0.8]))
    found = Answers(generator.integers(1, 6, (3, samples)) / 6, generator.random((3, samples)) < 0.7)
    head, trunk = (int(value) for value in generator.integers(1, 9, 2))
    costs = StopCosts(
        "macs",
        (trunk + head, 2 * trunk + head, 3 * trunk),
        ((0, trunk + head, 2 * trunk), (0, 0, trunk), (0, 0, 0)),
    )

    def mean_cost(asked: Sequence[int], thresholds: Sequence[float]) -> float:
        return float(np.array(costs.of([*asked, 2]).along)[found.stopping(asked, thresholds)].mean())

    asked, thresholds = cheapest_choice(found, costs, loss)
    assert found.likely_loss(asked, thresholds) <= loss
    for one in (0, 1):
        for level in found.levels([one]):
            if all(found.likely_loss([one], [other]) <= loss for other in found.levels([one]) if other >= level):
                assert mean_cost(asked, thresholds) <= mean_cost([one], [level])
    assert mean_cost(asked, thresholds) <= costs.first[-1]


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
