"""Families beside a run: what each kind stands for, how it is trained, and that it goes on where it stopped."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import pytest
from keras import layers
from small_run import CLASSES, SETTINGS, small_dataset, small_model

from reds import pruning
from reds.baselines import measure_baseline, measure_baselines, pipeline
from reds.baselines.families import family_settings
from reds.datasets import Dataset
from reds.errors import UsageError
from reds.finetuning.objectives import InPlaceDistillation
from reds.inspecting import inspect
from reds.pruning import PruneSettings, prune
from reds.run_folder import FAMILY_KINDS
from reds.tracing import trace

RUN = replace(SETTINGS, budgets=(0.6, 0.9), exits=("conv",), head="compact")
PAIRS = (("width", "width_labels"), ("depth", "depth_labels"), ("joint", "joint_labels"))


@dataclass(frozen=True)
class Finished:
    """A run with all its families; not to be changed."""

    folder: Path
    taught: dict[str, int]
    """Per kind how often a loss with distillation was made part of a training."""


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return small_dataset()


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, dataset: Dataset) -> Finished:
    folder = tmp_path_factory.mktemp("finished")
    prune(small_model(), dataset, folder, RUN)
    calls: list[object] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(InPlaceDistillation, "__call__", counted(InPlaceDistillation.__call__, calls))
        taught = {}
        for made in measure_baselines(FAMILY_KINDS, folder, dataset):
            taught[made.kind] = len(calls)
            calls.clear()
    return Finished(folder, taught)


def counted(function: Callable[..., Any], calls: list[object]) -> Callable[..., Any]:
    def call(*arguments: Any) -> Any:
        calls.append(arguments)
        return function(*arguments)

    return call


@pytest.fixture
def run(finished: Finished, tmp_path: Path) -> Path:
    """The same run, to be changed."""
    return Path(shutil.copytree(finished.folder, tmp_path / "run"))


def rows_of(run: Path, kind: str) -> list[dict[str, Any]]:
    return json.loads((run / "baselines" / kind / "table.json").read_text())["subnetworks"]


def test_every_kind_is_kept_with_its_accuracies(finished: Finished) -> None:
    assert tuple(finished.taught) == FAMILY_KINDS
    for kind in FAMILY_KINDS:
        table = json.loads((finished.folder / "baselines" / kind / "table.json").read_text())
        assert (table["kind"], table["seeds"], table["epochs"]) == (kind, [0], RUN.epochs)
        assert all(0 < row["accuracy"] <= 1 and row["accuracies"] == [row["accuracy"]] for row in table["subnetworks"])


def test_distillation_sets_the_kinds_of_a_pair_apart(finished: Finished) -> None:
    graph = trace(small_model())
    for kind, on_labels in PAIRS:
        assert finished.taught[kind] > 0
        assert finished.taught[on_labels] == 0
        taught = family_settings(kind, RUN, graph)
        assert (taught.loss, replace(taught, loss="weighted")) == (
            "distillation",
            family_settings(on_labels, RUN, graph),
        )


def test_width_alone_is_what_the_run_has_before_its_exits(finished: Finished) -> None:
    own = inspect(finished.folder / "model.tflite").subnetworks[:-1]
    rows = rows_of(finished.folder, "width")
    assert [row["name"] for row in rows] == ["100%", "90%", "60%"]
    for row, other in zip(own, rows, strict=True):
        assert (other["exit"], tuple(other["widths"]), other["macs"]) == ("output", row.widths, row.macs)
        assert other["accuracy"] == row.accuracy


@pytest.mark.parametrize("kind", ["depth", "depth_labels"])
def test_depth_alone_has_an_exit_behind_every_block_at_full_width(finished: Finished, kind: str) -> None:
    rows = rows_of(finished.folder, kind)
    assert [row["exit"] for row in rows] == ["output", "exit_conv", "exit_pointwise"]
    assert all(row["widths"] == rows[0]["widths"] for row in rows)


@pytest.mark.parametrize("kind", ["joint", "joint_labels"])
def test_both_take_the_runs_exits_and_keep_its_budgets(finished: Finished, kind: str) -> None:
    folder = finished.folder / "baselines" / kind / "seed-0"
    candidates = json.loads((folder / "candidates.json").read_text())
    assert {one["exit"] for one in candidates} == {"output", "exit_conv"}
    full, *rows = rows_of(finished.folder, kind)
    assert [row["name"] for row in (full, *rows)] == [
        one["name"] for one in candidates if one["contends"] and one["kept"]
    ]
    assert rows
    for row in rows:
        assert row["macs"] <= float(row["name"].partition("%")[0]) / 100 * full["macs"]


def test_settings_that_make_another_kind_are_not_the_runs() -> None:
    graph = trace(small_model())
    settings = replace(
        RUN, joint=True, skip_blocks=("auto",), keep_all=True, exit_training="frozen", loss="weighted", epochs=3
    )
    width, depth, both = (family_settings(kind, settings, graph) for kind, _ in PAIRS)
    assert width == replace(RUN, epochs=3, exits=())
    assert depth == replace(RUN, epochs=3, exits=("conv", "pointwise"), budgets=(), exit_training="joint")
    assert both == replace(RUN, epochs=3, joint=True, exit_training="joint")


def test_a_repeated_call_trains_nothing(run: Path, dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "complete", None)
    monkeypatch.setattr(pipeline, "settled", None)
    for made in measure_baselines(FAMILY_KINDS, run, dataset):
        assert made.table["subnetworks"] == rows_of(run, made.kind)


def test_an_interruption_keeps_the_candidates(run: Path, dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = rows_of(run, "joint")
    (run / "baselines" / "joint" / "table.json").unlink()
    folder = run / "baselines" / "joint" / "seed-0"
    kept = ("settings.json", "candidates.npz", "candidates-supernet.npz")
    for path in folder.iterdir():
        if path.is_file() and path.name not in kept:
            path.unlink()
    monkeypatch.setattr(pruning, "search_family", None)
    lines: list[str] = []
    measure_baseline("joint", run, dataset, progress=lines.append)
    assert [line for line in lines if line.startswith("fine-tuning")] == [f"fine-tuning {contending(folder)} epochs"]
    assert rows_of(run, "joint") == expected


def contending(folder: Path) -> str:
    """Who trains on, as the stage says it."""
    candidates = json.loads((folder / "candidates.json").read_text())
    return f"{sum(one['contends'] for one in candidates)} subnetworks for {RUN.epochs}"


def test_seeds_share_the_widths_and_are_averaged(run: Path, dataset: Dataset) -> None:
    table = measure_baseline("width", run, dataset, seeds=(0, 1)).table
    each = [json.loads((run / f"baselines/width/seed-{seed}/table.json").read_text()) for seed in (0, 1)]
    for index, row in enumerate(table["subnetworks"]):
        same = [one["subnetworks"][index] for one in each]
        assert same[0]["widths"] == same[1]["widths"] == row["widths"]
        assert row["accuracies"] == [one["accuracy"] for one in same]
    assert any(len(set(row["accuracies"])) == 2 for row in table["subnetworks"])


def test_seeds_that_meet_a_budget_through_other_exits_share_its_row(run: Path, dataset: Dataset) -> None:
    folder = run / "baselines" / "joint"
    other = Path(shutil.copytree(folder / "seed-0", folder / "seed-1"))
    settings = json.loads((other / "settings.json").read_text())
    (other / "settings.json").write_text(json.dumps({**settings, "seed": 1}, indent=2) + "\n")
    table = json.loads((other / "table.json").read_text())
    last = table["subnetworks"][-1]
    budget = last["name"].partition("@")[0]
    (other / "table.json").write_text(
        json.dumps(table | {"subnetworks": [*table["subnetworks"][:-1], last | {"name": f"{budget}@x", "exit": "x"}]})
    )
    rows = measure_baseline("joint", run, dataset, seeds=(0, 1)).table["subnetworks"]
    assert len(rows) == len(table["subnetworks"])
    assert (rows[-1]["name"], rows[-1]["exit"]) == (budget, f"{last['exit']}, x")
    assert len(rows[-1]["accuracies"]) == 2


# ---- Bad input ----------------------------------------------------------------------------------------------------


def test_a_network_without_a_place_for_an_exit() -> None:
    model = keras.Sequential([layers.Input((5,)), layers.Dense(len(CLASSES), name="classes")], name="flat")
    for kind in ("depth", "depth_labels"):
        with pytest.raises(UsageError, match="'flat' has no place for an exit"):
            family_settings(kind, PruneSettings(), trace(model))
    with pytest.raises(UsageError, match="No exit of 'flat' costs less"):
        family_settings("joint", PruneSettings(), trace(model))


def test_a_kind_that_cannot_be_made_is_refused_before_another_is_made(run: Path, dataset: Dataset) -> None:
    shutil.rmtree(run / "baselines")
    settings = json.loads((run / "settings.json").read_text())
    settings["settings"]["exits"] = []
    (run / "settings.json").write_text(json.dumps(settings))
    with pytest.raises(UsageError, match="No exit of 'small' costs less"):
        measure_baselines(("width", "joint"), run, dataset)
    assert not (run / "baselines").exists()


def test_kinds(run: Path, dataset: Dataset) -> None:
    with pytest.raises(UsageError, match="kind"):
        measure_baselines(("width", "height"), run, dataset)
    with pytest.raises(UsageError, match="kinds"):
        measure_baselines((), run, dataset)
    with pytest.raises(UsageError, match="kind"):
        family_settings("alone", PruneSettings(), trace(small_model()))
