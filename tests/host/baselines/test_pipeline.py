"""Baselines of a small run: what they share with it, what sets them apart, and that they go on where they stopped."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small_run import SETTINGS, small_dataset, small_model

from reds import cost
from reds.baselines import measure_baseline, pipeline
from reds.datasets import Dataset
from reds.errors import UsageError
from reds.graph import Family, Ranked, Supernet
from reds.inspecting import inspect
from reds.measuring import measure_instructions
from reds.model_file import decode, read_model_file
from reds.pruning import prune
from reds.run_folder import BASELINE_KINDS
from reds.runtime import Runtime
from reds.store import load
from reds.training import train

TRAINING_EPOCHS = 2

needs_qemu = pytest.mark.skipif(
    shutil.which("qemu-system-arm") is None, reason="qemu-system-arm is missing; install that package"
)


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return small_dataset()


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, dataset: Dataset) -> Path:
    """A run with all its baselines; not to be changed."""
    folder = tmp_path_factory.mktemp("finished")
    prune(small_model(), dataset, folder, SETTINGS)
    for kind in BASELINE_KINDS:
        measure_baseline(kind, folder, dataset, training_epochs=TRAINING_EPOCHS)
    return folder


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    """The same run, to be changed."""
    return Path(shutil.copytree(finished, tmp_path / "run"))


def table_of(run: Path, kind: str) -> dict:
    return json.loads((run / "baselines" / kind / "table.json").read_text())


@pytest.mark.parametrize("kind", BASELINE_KINDS)
def test_a_table_has_the_form_of_the_runs_own(finished: Path, kind: str) -> None:
    own = inspect(finished / "model.tflite").as_dict()
    table = table_of(finished, kind)
    assert set(own) <= set(table)
    assert [row["name"] for row in table["subnetworks"]] == [row["name"] for row in own["subnetworks"]]
    exits = ["output" if kind == "sparse" else row["exit"] for row in own["subnetworks"]]
    assert [row["exit"] for row in table["subnetworks"]] == exits
    for row, other in zip(own["subnetworks"], table["subnetworks"], strict=True):
        assert set(row) <= set(other)
        assert other["accuracies"] == [other["accuracy"]]
        assert 0 < other["accuracy"] <= 1


@pytest.mark.parametrize(("kind", "epochs"), [("alone", 3), ("from_scratch", 3), ("uniform", 1), ("sparse", 1)])
def test_epochs_are_those_of_the_run(finished: Path, kind: str, epochs: int) -> None:
    assert table_of(finished, kind)["epochs"] == epochs
    histories = list((finished / "baselines" / kind).rglob("epochs.json"))
    assert len(histories) == (4 if kind in ("alone", "sparse") else 1)
    for history in histories:
        assert max(one["epoch"] for one in json.loads(history.read_text())) == epochs


@pytest.mark.parametrize("kind", ["alone", "from_scratch"])
def test_the_same_widths_cost_the_same(finished: Path, kind: str) -> None:
    own = inspect(finished / "model.tflite").as_dict()["subnetworks"]
    for row, other in zip(own, table_of(finished, kind)["subnetworks"], strict=True):
        assert tuple(other["widths"]) == row["widths"]
        assert (other["macs"], other["parameters"]) == (row["macs"], row["parameters"])


def test_sparse_networks_have_as_many_parameters_that_are_not_zero_and_are_as_large_as_ever(finished: Path) -> None:
    own = inspect(finished / "model.tflite").subnetworks
    for row, other in zip(own, table_of(finished, "sparse")["subnetworks"], strict=True):
        assert other["nonzero_parameters"] == pytest.approx(min(row.parameters, own[0].parameters), abs=3)
        for name in ("macs", "parameters", "flash_bytes", "arena_bytes"):
            assert other[name] == getattr(own[0], name)


def test_zeros_stay_zeros_in_int8(finished: Path) -> None:
    sizes = [path.stat().st_size for path in (finished / "baselines" / "sparse").rglob("model.tflite")]
    assert len(sizes) == 4
    assert len(set(sizes)) == 1
    table = table_of(finished, "sparse")["subnetworks"]
    for index, row in enumerate(table):
        network = decode(read_model_file(finished / f"baselines/sparse/seed-0/subnetwork-{index}/model.tflite"))
        weights = [layer.weights for layer in network.layers if layer.weights is not None]
        zeros = sum(np.count_nonzero(one == 0) for one in weights)
        assert zeros >= row["parameters"] - row["nonzero_parameters"]


@pytest.mark.parametrize("kind", ["uniform", "magnitude", "random"])
def test_budgets_are_those_of_the_run(finished: Path, kind: str) -> None:
    family = load(finished / "family.npz", Family)
    for one, row in zip(family.subnetworks, table_of(finished, kind)["subnetworks"], strict=True):
        if one.solution is not None:
            assert row["macs"] <= one.solution.budget
            assert row["macs"] == cost.macs(family.graph, row["widths"])


def test_orders_are_those_of_the_method(finished: Path) -> None:
    for kind, method in (("magnitude", "l1"), ("random", "random")):
        assert load(finished / "baselines" / kind / "seed-0" / "ranked.npz", Ranked).method == method


def test_an_accuracy_is_that_of_libreds_on_the_test_split(finished: Path, dataset: Dataset) -> None:
    x, y = dataset.test.features()
    row = table_of(finished, "alone")["subnetworks"][1]
    runtime = Runtime(finished / "baselines" / "alone" / "seed-0" / "subnetwork-1" / "model.tflite")
    answers = runtime.invoke(runtime.quantize(x)).reshape(len(x), -1).argmax(axis=1)
    assert row["accuracy"] == pytest.approx(float(np.mean(answers == y)))


def test_a_start_from_scratch_does_not_see_the_trained_weights(tmp_path: Path, dataset: Dataset) -> None:
    """Without any training the full network's weights are those that were drawn, whatever the run's are."""
    settings = replace(SETTINGS, budgets=(0.5,), exits=(), epochs=0, importance="l1")
    kernels = []
    for seed in (0, 1):
        folder = tmp_path / str(seed)
        prune(small_model(seed), dataset, folder, settings)
        measure_baseline("from_scratch", folder, dataset, training_epochs=0)
        trained = load(folder / "family.npz", Family).graph.nodes[0].weights["kernel"]
        drawn = load(folder / "baselines" / "from_scratch" / "seed-0" / "supernet.npz", Supernet)
        kernels.append(drawn.family.graph.nodes[0].weights["kernel"])
        assert not np.array_equal(kernels[-1], trained)
    np.testing.assert_array_equal(*kernels)


def test_a_repeated_call_trains_nothing(run: Path, dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "complete", None)
    for kind in BASELINE_KINDS:
        again = measure_baseline(kind, run, dataset, training_epochs=TRAINING_EPOCHS)
        assert dict(again.table) == table_of(run, kind)


def test_an_interruption_resumes_with_the_same_result(
    run: Path, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = table_of(run, "alone")
    shutil.rmtree(run / "baselines" / "alone")
    trained: list[str] = []

    def interrupted(family: Family, *rest: object) -> object:
        if len(trained) == 2:
            raise KeyboardInterrupt
        trained.append(family.subnetworks[0].name)
        return complete(family, *rest)

    complete = pipeline.complete
    monkeypatch.setattr(pipeline, "complete", interrupted)
    with pytest.raises(KeyboardInterrupt):
        measure_baseline("alone", run, dataset, training_epochs=TRAINING_EPOCHS)
    assert not list((run / "baselines" / "alone").rglob("table.json"))
    monkeypatch.setattr(pipeline, "complete", complete)
    measure_baseline("alone", run, dataset, training_epochs=TRAINING_EPOCHS)
    assert table_of(run, "alone") == expected


def test_seeds_are_averaged(run: Path, dataset: Dataset) -> None:
    table = measure_baseline("random", run, dataset, seeds=(0, 1)).table
    each = [json.loads((run / f"baselines/random/seed-{seed}/table.json").read_text()) for seed in (0, 1)]
    assert table["seeds"] == [0, 1]
    for index, row in enumerate(table["subnetworks"]):
        accuracies = [one["subnetworks"][index]["accuracy"] for one in each]
        assert row["accuracies"] == accuracies
        assert row["accuracy"] == pytest.approx(np.mean(accuracies))
        assert row["deviation"] == pytest.approx(np.std(accuracies, ddof=1))


def test_a_folder_keeps_the_baseline_of_one_run(run: Path, dataset: Dataset) -> None:
    with pytest.raises(UsageError, match="Remove it"):
        measure_baseline("alone", run, dataset, training_epochs=TRAINING_EPOCHS + 1)


def test_other_data(run: Path) -> None:
    with pytest.raises(UsageError, match="other data"):
        measure_baseline("uniform", run, small_dataset(seed=1))


def test_a_training_that_nobody_knows(run: Path, dataset: Dataset) -> None:
    with pytest.raises(UsageError, match="--training-epochs"):
        measure_baseline("alone", run, dataset)


def test_the_training_in_the_run_folder_is_counted(run: Path, dataset: Dataset) -> None:
    train(small_model(), dataset, epochs=TRAINING_EPOCHS, run_dir=run)
    assert dict(measure_baseline("alone", run, dataset).table) == table_of(run, "alone")


@pytest.mark.parametrize("damage", ["missing", "unfinished", "damaged"])
def test_a_folder_without_a_finished_run(run: Path, dataset: Dataset, damage: str) -> None:
    if damage == "missing":
        shutil.rmtree(run)
    elif damage == "unfinished":
        (run / "model.tflite").unlink()
    else:
        (run / "settings.json").write_text("{")
    with pytest.raises(UsageError, match="run"):
        measure_baseline("uniform", run, dataset)


def test_arguments(run: Path, dataset: Dataset) -> None:
    with pytest.raises(UsageError, match="kind"):
        measure_baseline("best", run, dataset)
    with pytest.raises(UsageError, match="seeds"):
        measure_baseline("uniform", run, dataset, seeds=())


@needs_qemu
def test_instructions_are_counted_where_the_runs_were(run: Path, dataset: Dataset) -> None:
    x, _ = dataset.test.features()
    path = run / "model.tflite"
    measure_instructions(path, "qemu:cortex-m4", Runtime(path).quantize(x[:1])[0])
    shutil.rmtree(run / "baselines" / "uniform")
    table = measure_baseline("uniform", run, dataset).table
    counts = [row["targets"]["cortex-m4"]["instructions"] for row in table["subnetworks"]]
    # The count of the full network depends a little on its weights and on the sample.
    assert counts[0] == pytest.approx(inspect(path).subnetworks[0].targets["cortex-m4"].instructions, rel=0.02)
    assert len(set(counts)) == len(counts) == 4
