"""Quantisation-aware training: what it promises of its result. Accuracies are those of libreds."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from reds.datasets import Dataset
from reds.emitting import emit
from reds.errors import UsageError
from reds.finetuning import EpochReport, finetune, quantize_aware
from reds.finetuning.weights import with_weights
from reds.graph import Family, Supernet
from reds.measuring import measure_accuracy

OUTLIER = 200.0
"""Factor on one channel, in whose range all other channels have to be rounded."""


@pytest.fixture(scope="module")
def trained(family: Family, dataset: Dataset) -> Supernet:
    family = replace(family, subnetworks=family.subnetworks[:4])
    return finetune(family, dataset, epochs=5, batch_size=50, learning_rate=1e-2)


@pytest.fixture(scope="module")
def calibration(dataset: Dataset) -> np.ndarray:
    return dataset.train.features()[0][:120]


def _hard_to_round(supernet: Supernet) -> Supernet:
    """The same function with one channel between two layers made large."""
    nodes = {node.name: node.weights for node in supernet.family.graph.nodes}
    larger = {name: _scaled(nodes["conv_bn"][name], OUTLIER) for name in ("gamma", "beta")}
    kernel = nodes["dw"]["kernel"].copy()
    kernel[:, :, 0] /= OUTLIER
    graph = with_weights(supernet.family.graph, {"conv_bn": larger, "dw": {"kernel": kernel}})
    norms = tuple(
        {**norm, "conv_bn": {**norm["conv_bn"], **{name: _scaled(norm["conv_bn"][name], OUTLIER) for name in larger}}}
        for norm in supernet.batch_norms
    )
    subnetworks = supernet.family.subnetworks[:3]
    return Supernet(replace(supernet.family, graph=graph, exits=(), subnetworks=subnetworks), norms[:3])


def _scaled(values: np.ndarray, factor: float) -> np.ndarray:
    scaled = values.copy()
    scaled[0] *= factor
    return scaled


def _int8_accuracy(supernet: Supernet, dataset: Dataset, calibration: np.ndarray, folder: Path) -> tuple[float, ...]:
    return measure_accuracy(emit(supernet, folder / "model.tflite", "int8", calibration), *dataset.test.features())


def test_rounding_that_costs_accuracy_is_learned(
    trained: Supernet, dataset: Dataset, calibration: np.ndarray, tmp_path: Path
) -> None:
    hard = _hard_to_round(trained)
    before = _int8_accuracy(hard, dataset, calibration, tmp_path)
    aware = quantize_aware(hard, dataset, calibration, epochs=4, batch_size=50, learning_rate=1e-3)
    after = _int8_accuracy(aware, dataset, calibration, tmp_path)
    assert np.mean(after) > np.mean(before) + 0.05


def test_int8_stays_as_good_where_rounding_costs_little(
    trained: Supernet, dataset: Dataset, calibration: np.ndarray, tmp_path: Path
) -> None:
    reports: list[EpochReport] = []
    before = _int8_accuracy(trained, dataset, calibration, tmp_path)
    aware = quantize_aware(trained, dataset, calibration, epochs=1, batch_size=50, progress=reports.append)
    after = _int8_accuracy(aware, dataset, calibration, tmp_path)
    assert min(np.subtract(after, before)) > -0.03
    assert [report.phase for report in reports] == ["quantization_aware"] * 2 + ["exit_conv_quantization_aware"] * 2
    assert set(reports[-1].validation_accuracy) == {"shallow"}


def test_statistics_stay_and_prefixes_are_shared(trained: Supernet, dataset: Dataset, calibration: np.ndarray) -> None:
    aware = quantize_aware(trained, dataset, calibration, epochs=1, batch_size=50)
    weights = {node.name: node.weights for node in aware.family.graph.nodes}
    for before, after in zip(trained.batch_norms, aware.batch_norms, strict=True):
        for node, values in after.items():
            np.testing.assert_array_equal(values["moving_variance"], before[node]["moving_variance"])
            if node in weights:
                np.testing.assert_array_equal(values["gamma"], weights[node]["gamma"][: len(values["gamma"])])
    assert not np.array_equal(
        aware.family.graph.nodes[0].weights["kernel"], trained.family.graph.nodes[0].weights["kernel"]
    )


def test_without_epochs_nothing_changes(trained: Supernet, dataset: Dataset, calibration: np.ndarray) -> None:
    same = quantize_aware(trained, dataset, calibration, epochs=0)
    for before, after in zip(trained.family.graph.nodes, same.family.graph.nodes, strict=True):
        for name, values in before.weights.items():
            np.testing.assert_array_equal(after.weights[name], values)


def test_bad_input_is_named(trained: Supernet, dataset: Dataset, calibration: np.ndarray) -> None:
    with pytest.raises(UsageError, match="epochs"):
        quantize_aware(trained, dataset, calibration, epochs=-1)
    with pytest.raises(UsageError, match="calibration"):
        quantize_aware(trained, dataset, calibration[:0])
    with pytest.raises(UsageError, match="shape"):
        quantize_aware(trained, dataset.with_input_shape((60,)), calibration)
