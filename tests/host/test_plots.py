"""The picture of a run."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread
from random_networks import random_supernet_with_exit

from reds.emitting import annotate, emit
from reds.inspecting import ModelReport, inspect
from reds.plots import plot_run
from reds_bench.scenario import Budget, Record


@pytest.fixture
def report(tmp_path: Path) -> ModelReport:
    supernet = random_supernet_with_exit(4)
    samples = np.zeros((4, *supernet.family.graph.input_shape), np.float32)
    path = emit(supernet, tmp_path / "model.tflite", "int8", samples)
    annotate(path, accuracy=(0.9, 0.8, 0.7, 0.85))
    return inspect(path)


def test_a_picture_is_drawn(report: ModelReport, tmp_path: Path) -> None:
    records = [
        Record(step, step, Budget(macs, None, None), step, predicted, 1, 10, None)
        for step, (macs, predicted) in enumerate([(None, 1), (100, 1), (50, 0)])
    ]
    plot_run(report, records, tmp_path / "run.png")
    picture = imread(tmp_path / "run.png")
    assert picture.ndim == 3
    assert picture.std() > 0.01


def test_nothing_measured_and_nothing_played(report: ModelReport, tmp_path: Path) -> None:
    bare = replace(report, subnetworks=tuple(replace(row, accuracy=None) for row in report.subnetworks))
    plot_run(bare, [], tmp_path / "run.png")
    assert imread(tmp_path / "run.png").ndim == 3
