"""Run folders: what binds them, what does not, and what calibration takes."""

import json
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
from small_run import CLASSES, SETTINGS, SHAPE, small_dataset, small_model, small_residual_model

from reds.datasets import Dataset
from reds.errors import UsageError, VerificationError
from reds.finetuning import accuracy
from reds.inspecting import inspect
from reds.pruning import CALIBRATION_SAMPLES, calibration_samples, prune
from reds.reporting import report
from reds.solving.emitted import verify_limits
from reds.verifying import random_inputs, verify

QUICK = replace(SETTINGS, exits=(), epochs=0, importance="l1")


def test_a_folder_belongs_to_one_model_its_data_and_its_settings(tmp_path: Path) -> None:
    model, dataset = small_model(), small_dataset()
    first = prune(model, dataset, tmp_path, QUICK)
    content = first.model.read_bytes()
    for others in (
        (small_model(seed=1), dataset, QUICK),
        (model, small_dataset(seed=1), QUICK),
        (model, dataset, replace(QUICK, seed=1)),
    ):
        with pytest.raises(UsageError, match="Name another folder"):
            prune(others[0], others[1], tmp_path, others[2])
    assert prune(model, dataset, tmp_path, QUICK).accuracy == first.accuracy
    assert first.model.read_bytes() == content


def test_settings_that_cannot_be_met_leave_the_folder_free(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    for wrong in (replace(QUICK, budgets=(3.0,)), replace(QUICK, max_arena=8), replace(QUICK, exits=("nowhere",))):
        with pytest.raises(UsageError):
            prune(small_model(), small_dataset(), folder, wrong)
        assert not folder.exists()
    folder.mkdir()
    (folder / "notes").touch()
    with pytest.raises(UsageError):
        prune(small_model(), small_dataset(), folder, replace(QUICK, budgets=(3.0,)))
    assert [path.name for path in folder.iterdir()] == ["notes"]
    prune(small_model(), small_dataset(), folder, QUICK)


def test_a_joint_search_keeps_the_most_accurate_of_each_budget(tmp_path: Path) -> None:
    settings = replace(QUICK, budgets=(0.6, 0.9), exits=("conv",), head="compact", joint=True, epochs=1)
    lines: list[str] = []
    run = prune(small_model(), small_dataset(), tmp_path, settings, lines.append)
    table = json.loads((tmp_path / "candidates.json").read_text())
    names = [one["name"] for one in table]
    assert names[:3] == ["100%", "90%", "60%"]
    assert {one["exit"] for one in table} == {"output", "exit_conv"}
    kept = [one["name"] for one in table if one["kept"]]
    assert [row.name for row in inspect(run.model).subnetworks] == kept
    assert [one.name for one in run.family.subnetworks] == kept
    contending = [one for one in table if one["contends"]]
    assert all(one["contends"] for one in table if one["kept"] or one["exit"] == "output")
    for budget in (0.6, 0.9):
        within = [one for one in contending[1:] if one["cost"] <= budget * table[0]["cost"]]
        best = max(one["accuracy"] for one in within)
        assert any(one["kept"] and one["accuracy"] == best for one in within)
    assert sum("left out" in line or ", kept" in line for line in lines) == len(table)
    content = run.model.read_bytes()
    assert prune(small_model(), small_dataset(), tmp_path, settings).model.read_bytes() == content
    history = [json.loads((folder / "epochs.json").read_text()) for folder in (tmp_path / "candidates", tmp_path)]
    assert [len(epochs[-1]["validation_accuracy"]) for epochs in history] == [len(table), len(contending)]
    everything = prune(small_model(), small_dataset(), tmp_path / "all", replace(settings, keep_all=True))
    assert [row.name for row in inspect(everything.model).subnetworks] == names


def test_a_search_among_blocks_keeps_the_most_accurate_of_each_budget(tmp_path: Path) -> None:
    settings = replace(QUICK, budgets=(0.4, 0.8), skip_blocks=("add_1b", "add_2b"), epochs=1)
    run = prune(small_residual_model(), small_dataset(), tmp_path, settings)
    table = json.loads((tmp_path / "candidates.json").read_text())
    assert {tuple(one["skips"]) for one in table} == {(), ("add_1b",), ("add_2b",), ("add_1b", "add_2b")}
    kept = [one["name"] for one in table if one["kept"]]
    assert [row.name for row in inspect(run.model).subnetworks] == kept
    for budget in (0.4, 0.8):
        within = [one for one in table[1:] if one["cost"] <= budget * table[0]["cost"]]
        best = max(one["accuracy"] for one in within)
        assert any(one["kept"] and one["accuracy"] == best for one in within)


def test_all_of_a_run_skips_blocks(tmp_path: Path) -> None:
    settings = replace(
        QUICK, budgets=(0.8,), skip_blocks=("add_1b",), exits=("add_1b",), head="compact", joint=True, keep_all=True
    )
    settings = replace(settings, epochs=1, quantization_aware=1)
    run = prune(small_residual_model(), small_dataset(), tmp_path / "run", settings)
    assert [one.skips for one in run.family.subnetworks] == [(), (), ("add_1b",), (), ("add_1b",)]
    checks = verify(run.model, random_inputs(run.model, 4))
    assert checks.passed, [check for check in checks.checks if not check.passed]
    labels = small_dataset().test.labels
    floats = [accuracy(run.supernet, index, small_dataset().test.features()[0], labels) for index in range(5)]
    np.testing.assert_allclose(run.accuracy, floats, atol=0.1)
    page = report(tmp_path / "run", tmp_path / "report.html").page
    assert "80%@exit_add_1b-add_1b" in page.read_text(encoding="utf-8")


def test_a_joint_search_needs_exits(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="`joint` searches among exits"):
        prune(small_model(), small_dataset(), tmp_path, replace(QUICK, joint=True))


def test_importance_is_restored_by_a_run_that_was_interrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as interrupted:
        interrupted.setattr("reds.pruning._finetune", interrupt)
        with pytest.raises(KeyboardInterrupt):
            prune(small_model(), small_dataset(), tmp_path, QUICK)
    monkeypatch.setattr("reds.pruning.rank", interrupt)
    monkeypatch.setattr("reds.pruning.solve", interrupt)
    assert prune(small_model(), small_dataset(), tmp_path, QUICK).accuracy


def test_an_emitted_file_that_exceeds_its_limit_is_refused(tmp_path: Path) -> None:
    settings = replace(
        QUICK, budgets=(0.85,), metric="cycles:cortex-m4", limits={"flash": 0.9, "arena": 0.95, "macs": 0.9}
    )
    pruned = prune(small_model(), small_dataset(), tmp_path, settings)
    verify_limits(pruned.model, pruned.family)
    subnetwork = pruned.family.subnetworks[1]
    assert subnetwork.solution is not None
    costs = dict(subnetwork.solution.limits) | {"cycles:cortex-m4": subnetwork.solution.budget}
    assert len(costs) == 4
    for metric in costs:
        tighter = replace(subnetwork.solution, limits={metric: 100}, budget=10**9)
        if metric == subnetwork.solution.metric:
            tighter = replace(subnetwork.solution, budget=100)
        others = pruned.family.subnetworks[2:]
        changed = (pruned.family.subnetworks[0], replace(subnetwork, solution=tighter), *others)
        with pytest.raises(VerificationError, match=f"{metric}; its limit is 100"):
            verify_limits(pruned.model, replace(pruned.family, subnetworks=changed))


def test_a_network_for_other_classes(tmp_path: Path) -> None:
    model = keras.Sequential([keras.layers.Input(SHAPE), keras.layers.Flatten(), keras.layers.Dense(2)])
    with pytest.raises(UsageError, match="3 classes"):
        prune(model, small_dataset(), tmp_path / "run", QUICK)
    assert not (tmp_path / "run").exists()


def test_training_for_int8_without_int8(tmp_path: Path) -> None:
    settings = replace(QUICK, type="float32", quantization_aware=1)
    with pytest.raises(UsageError, match="quantization_aware"):
        prune(small_model(), small_dataset(), tmp_path / "run", settings)
    assert not (tmp_path / "run").exists()


def test_all_epochs_are_recorded(tmp_path: Path) -> None:
    settings = replace(QUICK, epochs=1, loss="weighted", batch_norm="shared", decay="steps", quantization_aware=1)
    lines: list[str] = []
    prune(small_model(), small_dataset(), tmp_path, settings, lines.append)
    epochs = json.loads((tmp_path / "epochs.json").read_text())
    phases = ["subnetworks", "subnetworks", "quantization_aware", "quantization_aware"]
    assert [(one["phase"], one["epoch"]) for one in epochs] == list(zip(phases, [0, 1, 0, 1], strict=True))
    for one in epochs:
        assert len(one["validation_accuracy"]) == 3
        assert sum(f"{one['phase']} epoch {one['epoch']}/1" in line for line in lines) == 1


def test_calibration_is_balanced_and_repeatable() -> None:
    dataset = small_dataset()
    samples = calibration_samples(dataset, 3)
    np.testing.assert_array_equal(samples, calibration_samples(dataset, 3))
    x, y = dataset.train.features()
    labels = [int(y[np.flatnonzero((x == sample).all(axis=(1, 2, 3)))[0]]) for sample in samples]
    assert np.bincount(labels).tolist() == [CALIBRATION_SAMPLES // len(CLASSES)] * len(CLASSES)


def test_calibration_takes_a_sample_of_each_of_many_classes() -> None:
    count = CALIBRATION_SAMPLES + 10
    split = (np.arange(count, dtype=np.float32)[:, np.newaxis], np.arange(count))
    assert len(calibration_samples(Dataset.from_arrays(split, split, split))) == count


def test_an_exit_that_costs_more_than_the_network_is_named(tmp_path: Path) -> None:
    lines: list[str] = []
    settings = replace(QUICK, exits=SETTINGS.exits, exit_epochs=0)
    prune(small_model(), small_dataset(), tmp_path, settings, lines.append)
    assert any("tap an earlier layer" in line for line in lines)
