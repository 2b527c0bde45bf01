"""Accuracies and instruction counts that are written into a file."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from random_networks import random_supernet

from reds.emitting import emit
from reds.errors import UsageError
from reds.inspecting import inspect
from reds.measuring import measure_accuracy, measure_instructions
from reds.runtime import Runtime


@pytest.fixture
def path(tmp_path: Path) -> Path:
    supernet = random_supernet(4)
    return emit(supernet, tmp_path / "model.tflite", "int8", inputs(supernet.family.graph.input_shape))


def inputs(shape: tuple[int, ...], count: int = 20) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((count, *shape), np.float32)


def test_accuracy_is_what_libreds_answers(path: Path) -> None:
    runtime = Runtime(path)
    x = inputs(runtime.input.shape)
    runtime.select(1)
    answers = runtime.invoke(runtime.quantize(x)).reshape(len(x), -1).argmax(axis=1)
    accuracy = measure_accuracy(path, x, answers)
    assert accuracy[1] == 1.0
    assert [row.accuracy for row in inspect(path).subnetworks] == pytest.approx(accuracy)


def test_samples_without_labels(path: Path) -> None:
    x = inputs(Runtime(path).input.shape)
    for labels in (np.zeros(19, int), np.zeros(0, int), np.zeros(1, int)):
        with pytest.raises(UsageError, match="as many samples"):
            measure_accuracy(path, x, labels)
    with pytest.raises(UsageError, match="at least one"):
        measure_accuracy(path, x[:0], np.zeros(0, int))
    with pytest.raises(UsageError, match="`x` must have the shape"):
        measure_accuracy(path, np.zeros((2, 77), np.float32), np.zeros(2, int))


@pytest.mark.skipif(shutil.which("qemu-system-arm") is None, reason="qemu-system-arm is missing")
def test_instructions_are_counted_alike_every_time(path: Path) -> None:
    runtime = Runtime(path)
    sample = runtime.quantize(inputs(runtime.input.shape, 1))[0]
    first = measure_instructions(path, "qemu:cortex-m4", sample)
    assert first.instructions == measure_instructions(path, "qemu:cortex-m4", sample).instructions
    assert [info.instructions for info in Runtime(path).subnetworks] == list(first.instructions)
    assert 0 < first.select_instructions < first.budget_instructions < first.open_instructions


def test_a_board_that_counts_nothing(path: Path) -> None:
    with pytest.raises(UsageError, match="counts instructions"):
        measure_instructions(path, "x86", np.zeros(1, np.int8))
