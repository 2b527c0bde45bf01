"""Subnetworks asked in turn: what that loses is measured by libreds as a device would run them."""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from random_networks import random_supernet_with_exit

from reds import cost
from reds.asking import Chain, Step, ask
from reds.confidence import Answers, Cascade, calibrate_cascade, cheapest_choice, run_cascade
from reds.emitting import annotate, emit, encode
from reds.errors import UsageError
from reds.exits import attach_exits
from reds.graph import Family, Ranked, Subnetwork, Supernet
from reds.model_file import decode, read_model_file
from reds.plan import TargetCosts
from reds.runtime import Runtime
from reds.stop_costs import StopCosts, macs_of_stops
from reds.tracing import trace
from reds.truncating import truncated

SAMPLES = 60
SEED = 15


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
        stopped.append(subnetworks[ask(runtime, subnetworks, sample)])
        found.append(int(runtime.output.argmax()))
    return np.array(found), stopped


def only(path: Path, *kept: int) -> None:
    """Leaves these subnetworks in the file."""
    path.write_bytes(encode(truncated(decode(read_model_file(path)), kept)))


def stops_of(cascade: Cascade) -> list[int]:
    return [stop.subnetwork for stop in cascade.stops]


@pytest.mark.parametrize("loss", [0.0, 0.1, 1.0])
def test_a_device_loses_no_more_than_was_allowed(path: Path, loss: float) -> None:
    x, labels = answers(path, 0)
    cascade = calibrate_cascade(path, x, labels, loss)
    found, stopped = run_as_a_device(path, stops_of(cascade), x)
    assert (cascade.alone, cascade.alone_accuracy) == (0, 1.0)
    assert cascade.accuracy == pytest.approx(np.mean(found == labels))
    assert [stop.share for stop in cascade.stops] == pytest.approx(
        [stopped.count(stop.subnetwork) / SAMPLES for stop in cascade.stops]
    )
    assert cascade.accuracy >= 1.0 - loss
    assert cascade.mean_cost <= cascade.alone_cost
    thresholds = [subnetwork.threshold for subnetwork in read_model_file(path).plan.subnetworks]
    expected = {stop.subnetwork: np.float32(stop.threshold) for stop in cascade.stops}
    assert thresholds == [expected.get(index, 0.0) for index in range(len(thresholds))]
    if loss == 1.0:
        macs = [info.macs for info in Runtime(path).subnetworks]
        assert stops_of(cascade) == [macs.index(min(macs))]


def test_one_that_is_never_right_is_not_asked(path: Path) -> None:
    only(path, 0, 3)
    (x, wrong), (_, right) = answers(path, 1), answers(path, 0)
    differing = wrong != right
    cascade = calibrate_cascade(path, x[differing], right[differing], 0.0)
    assert stops_of(cascade) == [0]
    assert (cascade.accuracy, cascade.mean_cost) == (1.0, cascade.alone_cost)
    plan = read_model_file(path).plan
    assert not any(one.threshold for one in (*plan.exits, *plan.subnetworks))


@pytest.mark.parametrize("dtype", ["int8", "float32"])
def test_a_narrow_subnetwork_is_asked_before_a_wide_one(tmp_path: Path, dtype: str) -> None:
    """With labels that make the narrow one right where it is surer; the wide one runs from the input then."""
    narrow = 2
    supernet = random_supernet_with_exit(seed=52)
    path = emit(supernet, tmp_path / "model.tflite", dtype, inputs(supernet.family.graph.input_shape))
    x, wide_says = answers(path, 0)
    _, narrow_says = answers(path, narrow)
    runtime = Runtime(path)
    runtime.select(narrow)
    sure = runtime.invoke(runtime.quantize(x)).reshape(SAMPLES, -1).max(axis=1)
    labels = np.where(sure > np.quantile(sure, 0.7), narrow_says, wide_says)
    only(path, 0, narrow)
    cascade = calibrate_cascade(path, x, labels, 0.1)
    assert stops_of(cascade) == [1, 0]
    assert [stop.runs_again for stop in cascade.stops] == [False, True]
    assert cascade.stops[0].share >= 0.25
    macs = [info.macs for info in Runtime(path).subnetworks]
    assert [stop.cost for stop in cascade.stops] == [macs[1], macs[0] + macs[1]]
    assert read_model_file(path).plan.subnetworks[1].threshold == np.float32(cascade.stops[0].threshold)


@pytest.fixture(scope="module")
def two_exits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A chain of three convolutions with an exit behind each of the first two."""
    keras.utils.set_random_seed(4)
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
    cascade = calibrate_cascade(path, x, labels, loss=0.1, board=board)
    found, stopped = run_as_a_device(path, stops_of(cascade), x)
    assert stops_of(cascade) in ([1, 2, 0], [1, 0], [2, 0])
    assert cascade.accuracy == np.mean(found == labels)
    assert cascade.mean_cost == pytest.approx(
        np.mean([next(stop.cost for stop in cascade.stops if stop.subnetwork == one) for one in stopped])
    )
    assert not any(stop.runs_again for stop in cascade.stops)
    assert cascade.mean_cost < cascade.alone_cost < cascade.worst_cost


def test_a_subnetwork_that_needs_too_much_arena_is_not_asked(two_exits: Path, tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    shutil.copy(two_exits, path)
    x, labels = answers(path, 1)
    assert stops_of(calibrate_cascade(path, x, labels, 1.0)) == [1]
    arenas = sorted(info.arena_bytes for info in Runtime(path).subnetworks)
    asked = stops_of(calibrate_cascade(path, x, labels, 1.0, max_arena=arenas[1]))
    assert all(Runtime(path).subnetworks[one].arena_bytes <= arenas[1] for one in asked)
    with pytest.raises(UsageError, match=rf"two subnetworks at least .* within {arenas[0] - 1} bytes of arena"):
        calibrate_cascade(path, x, labels, 1.0, max_arena=arenas[0] - 1)


def test_costs_of_stops(two_exits: Path) -> None:
    """By hand: a head of 64, 32 and 4 units behind a map of 8 channels; convolutions of 9 taps at 30 positions."""
    head = 8 * 64 + 64 * 32 + 32 * 4
    first, other, classifier = 30 * 9 * 2 * 8, 30 * 9 * 8 * 8, 8 * 4
    on = Chain((1, 2, 0), ((Step.ON,) * 3,) * 3)
    macs = macs_of_stops(decode(read_model_file(two_exits)), on)
    assert macs.first == (first + head, first + other + head, first + 2 * other + classifier)
    none = (None,)
    assert macs.onward == ((None, other + head, 2 * other + classifier), (*none * 2, other + classifier), none * 3)
    assert macs.along == (first + head, first + other + 2 * head, first + 2 * other + 2 * head + classifier)
    assert macs.of([1, 2]).along == (first + other + head, first + 2 * other + head + classifier)
    again = Chain((1, 0), ((Step.AGAIN,) * 2,) * 2)
    assert macs_of_stops(decode(read_model_file(two_exits)), again).along == (
        first + head,
        macs.first[0] + macs.first[2],
    )
    changed = Chain((1, 0), ((Step.CHANGED,) * 2,) * 2)
    assert macs_of_stops(decode(read_model_file(two_exits)), changed).along is None


@settings(derandomize=True, deadline=None, max_examples=60)
@given(st.integers(0, 2**32 - 1))
def test_the_choice_is_allowed_and_near_the_cheapest(seed: int) -> None:
    """Against all thresholds of one subnetwork before another, of which the best is found exactly."""
    generator = np.random.default_rng(seed)
    samples, loss = int(generator.integers(1, 12)), float(generator.choice([0.0, 0.3, 0.8]))
    found = Answers(generator.integers(1, 6, (3, samples)) / 6, generator.random((3, samples)) < 0.7, alone=2)
    head, trunk = (int(value) for value in generator.integers(1, 9, 2))
    first = (trunk + head, 2 * trunk + head, 3 * trunk)
    costs = StopCosts("macs", first, ((None, trunk + head, 2 * trunk), (None, None, trunk), (None, None, None)))

    def mean_cost(asked: Sequence[int], thresholds: Sequence[float]) -> float:
        along = costs.of(asked).along
        assert along is not None
        return float(np.array(along)[found.stopping(asked, thresholds)].mean())

    choice = cheapest_choice(found, costs, loss)
    assert found.likely_loss(choice.asked, choice.thresholds) <= loss
    assert choice.mean_cost == mean_cost(choice.asked, choice.thresholds)
    for one, end in ((0, 1), (0, 2), (1, 2)):
        for level in found.levels([one]):
            higher = [other for other in found.levels([one]) if other >= level]
            if all(found.likely_loss([one, end], [other]) <= loss for other in higher):
                assert choice.mean_cost <= mean_cost([one, end], [level])
    assert choice.mean_cost <= costs.first[-1]


def test_measurements_stay(path: Path) -> None:
    targets = (TargetCosts("cortex-m4", True, (9, 8, 7, 6)),)
    annotate(path, (0.5, None, 0.25, 0.75), targets)
    x, labels = answers(path, 0)
    calibrate_cascade(path, x, labels)
    infos = Runtime(path).subnetworks
    assert [info.accuracy for info in infos] == [0.5, None, 0.25, 0.75]
    assert [info.instructions for info in infos] == [9, 8, 7, 6]


def test_bad_input(path: Path) -> None:
    x, labels = answers(path, 0)
    with pytest.raises(UsageError, match="`loss` must be"):
        calibrate_cascade(path, x, labels, 1.5)
    with pytest.raises(UsageError, match="as many samples"):
        calibrate_cascade(path, x, labels[1:])
    network = decode(read_model_file(path))
    own, early = network.exits
    path.write_bytes(encode(replace(network, exits=(own, replace(early, threshold=2.0)))))
    with pytest.raises(UsageError, match="must not go on from features of other widths"):
        run_cascade(path, [3, 1], x, labels)
    only(path, 0)
    with pytest.raises(UsageError, match=r"two subnetworks at least .* Received: 1 in"):
        calibrate_cascade(path, x, labels)
