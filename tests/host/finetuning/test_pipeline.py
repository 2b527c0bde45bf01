"""The stage as a whole: what it promises of its result."""

from dataclasses import dataclass, replace
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

from reds.baselines.networks import standalone
from reds.datasets import Dataset
from reds.emitting import emit
from reds.errors import UsageError
from reds.exits import attach_exits
from reds.finetuning import EpochReport, accuracy, evaluate, finetune
from reds.finetuning.model import BatchNormMode
from reds.forward import predict
from reds.graph import Family, Ranked, Subnetwork, Supernet
from reds.ranking import rank
from reds.runtime import Runtime

EPOCHS = 6
ARGUMENTS = {"epochs": EPOCHS, "batch_size": 50, "learning_rate": 1e-2}


@dataclass(frozen=True)
class Run:
    supernet: Supernet
    reports: list[EpochReport]


@pytest.fixture(scope="module")
def run(family: Family, dataset: Dataset) -> Run:
    reports: list[EpochReport] = []
    return Run(finetune(family, dataset, **ARGUMENTS, progress=reports.append), reports)


def _arrays(supernet: Supernet) -> dict[str, np.ndarray]:
    graphs = (supernet.family.graph, *(exit_.head for exit_ in supernet.family.exits))
    return {
        f"{node.name}/{name}": value for graph in graphs for node in graph.nodes for name, value in node.weights.items()
    }


def _assert_equal(actual: Supernet, expected: Supernet) -> None:
    for name, value in _arrays(expected).items():
        np.testing.assert_allclose(_arrays(actual)[name], value, rtol=1e-4, atol=1e-5, err_msg=name)


def test_every_subnetwork_learns(run: Run, dataset: Dataset) -> None:
    x, y = dataset.test.features()
    for index, subnetwork in enumerate(run.supernet.family.subnetworks):
        assert accuracy(run.supernet, index, x, y) > 0.85, subnetwork.name


def test_a_network_with_branches_learns_and_libreds_answers_as_well(dataset: Dataset, tmp_path: Path) -> None:
    inputs = layers.Input(dataset.test.features()[0].shape[1:])
    x = layers.Conv2D(12, 3, padding="same", activation="relu", name="stem")(inputs)
    y = layers.BatchNormalization(name="first_bn")(layers.Conv2D(10, 3, padding="same", name="first")(x))
    y = layers.BatchNormalization(name="second_bn")(layers.Conv2D(12, 3, padding="same", name="second")(y))
    x = layers.ReLU(name="relu")(layers.Add(name="add")([x, y]))
    parts = [layers.Conv2D(4, 1, name="left")(x), layers.DepthwiseConv2D(3, padding="same", name="right")(inputs)]
    x = layers.GlobalAveragePooling2D(name="pool")(layers.Concatenate(name="join")(parts))
    ranked = rank(keras.Model(inputs, layers.Dense(3, activation="softmax", name="classes")(x)), dataset, batches=2)
    ranked = attach_exits(ranked, ["add"])
    subnetworks = (Subnetwork("full", (12, 10)), Subnetwork("half", (7, 6)), Subnetwork("shallow", (12, 10), exit=1))
    family = Family(ranked.graph, ranked.importance, ranked.exits, subnetworks)

    supernet = finetune(family, dataset, **ARGUMENTS)

    x, y = dataset.test.features()
    runtime = Runtime(emit(supernet, tmp_path / "model.tflite", "int8", dataset.train.features()[0][:100]))
    for index, subnetwork in enumerate(subnetworks):
        runtime.select(index)
        answers = runtime.invoke(runtime.quantize(x)).reshape(len(x), -1).argmax(axis=1)
        assert accuracy(supernet, index, x, y) > 0.85, subnetwork.name
        assert np.mean(answers == np.ravel(y)) > 0.85, subnetwork.name


def test_a_subnetwork_may_be_narrowed_and_shallow_and_alone_at_its_exit(
    family: Family, dataset: Dataset, tmp_path: Path
) -> None:
    full, least = family.subnetworks[0], family.subnetworks[4]
    supernet = finetune(replace(family, subnetworks=(full, least)), dataset, **ARGUMENTS)
    x, y = dataset.test.features()
    runtime = Runtime(emit(supernet, tmp_path / "model.tflite", "int8", dataset.train.features()[0][:100]))
    runtime.select(1)
    answers = runtime.invoke(runtime.quantize(x)).reshape(len(x), -1).argmax(axis=1)
    assert runtime.subnetworks[1].exit == "exit_conv"
    assert accuracy(supernet, 1, x, y) > 0.85
    assert np.mean(answers == np.ravel(y)) > 0.85
    head = {node.name: node for node in supernet.family.exits[0].head.nodes}
    assert len(head["exit_conv_depthwise_1_batch_norm"].weights["moving_mean"]) == 12


@pytest.mark.parametrize("batch_norm", ["own", "shared"])
def test_frozen_exits_are_trained_behind_what_skips_blocks(dataset: Dataset, batch_norm: BatchNormMode) -> None:
    source = layers.Input(dataset.input_shape)
    x = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(8, 3, padding="same", name="stem")(source)))
    for name in ("first", "second"):
        inner = layers.BatchNormalization(name=f"{name}_norm")(layers.Conv2D(8, 3, padding="same")(x))
        x = layers.ReLU()(layers.Add(name=name)([x, inner]))
    model = keras.Model(source, layers.Dense(3, activation="softmax")(layers.GlobalAveragePooling2D()(x)))
    ranked = attach_exits(rank(model, method="random"), ["first"], head="compact")
    subnetworks = (
        Subnetwork("full", (8,)),
        Subnetwork("less", (6,), skips=("second",)),
        Subnetwork("least", (6,), skips=("second", "first")),
        Subnetwork("shallow", (8,), exit=1, skips=("first",)),
        Subnetwork("shallow whole", (8,), exit=1),
    )
    family = Family(ranked.graph, ranked.importance, ranked.exits, subnetworks)
    supernet = finetune(family, dataset, **ARGUMENTS, batch_norm=batch_norm)
    norms = [{"first_norm", "second_norm"}.intersection(one) for one in supernet.batch_norms]
    assert norms == [{"first_norm", "second_norm"}, {"first_norm"}, set(), set(), {"first_norm"}]
    x, y = dataset.test.features()
    for index in range(len(subnetworks)):
        assert accuracy(supernet, index, x, y) > 0.6
        alone = predict(standalone(supernet.family, index), x, batch_norm=supernet.batch_norms[index])
        np.testing.assert_allclose(alone, evaluate(supernet, index, x), rtol=1e-4, atol=1e-5)


@pytest.fixture(scope="module")
def several(family: Family) -> Family:
    """The same with an exit behind each layer and subnetworks that are narrowed, shallow, and both."""
    exits = attach_exits(Ranked(family.graph, family.importance, "random"), ["conv", "dw"], head="compact").exits
    names = {"at conv": ((12, 16), 1), "at dw": ((12, 16), 2), "narrow at dw": ((6, 6), 2)}
    shallow = tuple(Subnetwork(name, widths, exit) for name, (widths, exit) in names.items())
    return replace(family, exits=exits, subnetworks=(*family.subnetworks[:3], *shallow))


JOINTLY = {**ARGUMENTS, "exit_training": "joint", "exit_epochs": 3}


def test_exits_are_warmed_up_and_trained_with_the_network(several: Family, dataset: Dataset, tmp_path: Path) -> None:
    reports: list[EpochReport] = []
    supernet = finetune(several, dataset, **JOINTLY, progress=reports.append)
    assert [report.phase for report in reports] == ["exits"] * 4 + ["subnetworks"] * (EPOCHS + 1)
    assert set(reports[0].validation_accuracy) == {"exit_conv", "exit_dw"}
    assert set(reports[-1].validation_accuracy) == {one.name for one in several.subnetworks}
    x, y = dataset.test.features()
    runtime = Runtime(emit(supernet, tmp_path / "model.tflite", "float32"))
    for index, one in enumerate(several.subnetworks):
        assert accuracy(supernet, index, x, y) > (0.6 if index else 0.85), one.name
        runtime.select(index)
        np.testing.assert_allclose(runtime.invoke(x), evaluate(supernet, index, x), atol=1e-4)


def test_joint_training_of_exits_resumes_and_guards_the_full_network(
    several: Family, dataset: Dataset, tmp_path: Path
) -> None:
    """Labels that are all wrong spoil the network after the first epochs, in which heads learn nothing else."""
    wrong = replace(dataset, train=replace(dataset.train, labels=(dataset.train.labels + 1) % 3))
    trained = finetune(replace(several, exits=(), subnetworks=several.subnetworks[:1]), dataset, **ARGUMENTS).family
    spoilt = replace(several, graph=trained.graph)
    arguments = {**JOINTLY, "epochs": 3, "exit_epochs": 1, "guard": 0.1}

    def interrupt(report: EpochReport) -> None:
        if (report.phase, report.epoch) == ("subnetworks", 2):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        finetune(spoilt, wrong, **arguments, run_dir=tmp_path, progress=interrupt)
    reports: list[EpochReport] = []
    resumed = finetune(spoilt, wrong, **arguments, run_dir=tmp_path, progress=reports.append)
    assert (reports[0].phase, reports[0].epoch) == ("subnetworks", 2)
    assert reports[-1].validation_accuracy["full"] < 0.5
    x, y = dataset.test.features()
    assert accuracy(resumed, 0, x, y) > 0.85
    _assert_equal(finetune(spoilt, wrong, **arguments), resumed)


def test_heads_learn_at_a_rate_of_their_own(several: Family, dataset: Dataset) -> None:
    still = finetune(several, dataset, **{**JOINTLY, "learning_rate": 1e-9, "exit_epochs": 0})
    for before, after in zip(several.graph.nodes, still.family.graph.nodes, strict=True):
        for name in set(before.weights) & {"kernel", "bias", "gamma", "beta"}:
            np.testing.assert_allclose(after.weights[name], before.weights[name], atol=1e-5)
    x, y = dataset.test.features()
    assert accuracy(still, 4, x, y) > 0.7


def test_outputs_are_probabilities(run: Run, dataset: Dataset) -> None:
    x, _ = dataset.test.features()
    for index in range(len(run.supernet.family.subnetworks)):
        np.testing.assert_allclose(evaluate(run.supernet, index, x).sum(axis=1), np.ones(len(x)), rtol=1e-5)


def test_batch_norms_cover_what_is_run_at_its_width(run: Run) -> None:
    heads = {node.name for node in run.supernet.family.exits[0].head.nodes if "gamma" in node.weights}
    widths = [{name: len(w["moving_mean"]) for name, w in norms.items()} for norms in run.supernet.batch_norms]
    assert widths[0] == {"conv_bn": 12, "dw_bn": 12, "pw_bn": 16}
    assert widths[2] == {"conv_bn": 6, "dw_bn": 6, "pw_bn": 6}
    assert set(widths[3]) == {"conv_bn"} | heads
    assert widths[3]["conv_bn"] == 12
    assert widths[4]["exit_conv_depthwise_1_batch_norm"] == 6
    assert widths[4]["exit_conv_pointwise_2_batch_norm"] == 16


def test_graphs_carry_the_statistics_of_the_full_network(run: Run) -> None:
    family, full, shallow = run.supernet.family, run.supernet.batch_norms[0], run.supernet.batch_norms[3]
    for node in family.graph.nodes:
        for name in node.weights if node.name in full else ():
            np.testing.assert_array_equal(node.weights[name], full[node.name][name])
    np.testing.assert_array_equal(shallow["conv_bn"]["moving_variance"], full["conv_bn"]["moving_variance"])


def test_reports_begin_before_training_and_name_each_phase(run: Run) -> None:
    assert [(report.phase, report.epoch) for report in run.reports] == [
        (phase, epoch) for phase in ("subnetworks", "exits") for epoch in range(EPOCHS + 1)
    ]
    assert set(run.reports[0].validation_accuracy) == {"full", "half", "least"}
    assert set(run.reports[-1].validation_accuracy) == {"shallow", "least shallow"}
    assert run.reports[EPOCHS].loss < run.reports[1].loss


def test_interrupted_and_resumed_is_the_same_as_straight(
    run: Run, family: Family, dataset: Dataset, tmp_path: Path
) -> None:
    def interrupt(report: EpochReport) -> None:
        if report.epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        finetune(family, dataset, **ARGUMENTS, run_dir=tmp_path, progress=interrupt)
    reports: list[EpochReport] = []
    resumed = finetune(family, dataset, **ARGUMENTS, run_dir=tmp_path, progress=reports.append)
    assert reports[0].epoch == 2
    _assert_equal(resumed, run.supernet)

    reports.clear()
    again = finetune(family, dataset, **ARGUMENTS, run_dir=tmp_path, progress=reports.append)
    assert reports == []
    _assert_equal(again, resumed)


def test_checkpoint_of_other_inputs_is_not_used(family: Family, dataset: Dataset, tmp_path: Path) -> None:
    family = replace(family, exits=(), subnetworks=family.subnetworks[:1])
    epochs: list[int] = []
    for seed in (0, 1):
        finetune(
            family,
            dataset,
            epochs=1,
            seed=seed,
            run_dir=tmp_path,
            progress=lambda report: epochs.append(report.epoch),
        )
    assert epochs == [0, 1, 0, 1]


def test_many_subnetworks_and_the_weighted_loss(family: Family, dataset: Dataset) -> None:
    widths = [(12, 16), (11, 13), (9, 10), (8, 8), (6, 6)]
    subnetworks = tuple(Subnetwork(str(width), width) for width in widths)
    family = replace(family, exits=(), subnetworks=subnetworks)
    supernet = finetune(family, dataset, **ARGUMENTS, loss="weighted")
    x, y = dataset.test.features()
    assert min(accuracy(supernet, index, x, y) for index in range(len(widths))) > 0.6


def test_shared_statistics_are_those_of_the_full_network(family: Family, dataset: Dataset) -> None:
    supernet = finetune(family, dataset, **ARGUMENTS, exit_epochs=1, batch_norm="shared")
    full = supernet.batch_norms[0]
    for batch_norm in supernet.batch_norms[1:]:
        for node in batch_norm.keys() & full.keys():
            for name, values in batch_norm[node].items():
                np.testing.assert_array_equal(values, full[node][name][: len(values)])
    assert [len(norms["pw_bn"]["gamma"]) for norms in supernet.batch_norms[:3]] == [16, 10, 6]
    assert set(full) & set(supernet.batch_norms[3]) == {"conv_bn"}
    x, y = dataset.test.features()
    assert min(accuracy(supernet, index, x, y) for index in range(3)) > 0.6


@pytest.mark.parametrize("precision", ["mixed_float16", "mixed_bfloat16"])
def test_low_precision_learns_float32_weights(family: Family, dataset: Dataset, precision: str) -> None:
    family = replace(family, exits=(), subnetworks=family.subnetworks[:3])
    supernet = finetune(family, dataset, **ARGUMENTS, precision=precision)
    assert {value.dtype for value in _arrays(supernet).values()} == {np.dtype(np.float32)}
    kernel = supernet.family.graph.nodes[0].weights["kernel"]
    assert not np.array_equal(kernel, kernel.astype(np.float16).astype(np.float32))
    x, y = dataset.test.features()
    assert min(accuracy(supernet, index, x, y) for index in range(3)) > 0.8


def test_an_earlier_result_is_trained_further(run: Run, dataset: Dataset) -> None:
    reports: list[EpochReport] = []
    finetune(run.supernet.family, dataset, epochs=0, progress=reports.append)
    last = run.reports[EPOCHS].validation_accuracy
    for name, value in reports[0].validation_accuracy.items():
        assert abs(value - last[name]) < 0.05, name


def test_without_epochs_only_statistics_change(family: Family, dataset: Dataset) -> None:
    supernet = finetune(family, dataset, epochs=0)
    for before, after in zip(family.graph.nodes, supernet.family.graph.nodes, strict=True):
        for name, value in before.weights.items():
            if not name.startswith("moving"):
                np.testing.assert_array_equal(after.weights[name], value)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"epochs": -1}, "epochs"),
        ({"batch_size": 0}, "batch_size"),
        ({"loss": "other"}, "loss"),
        ({"distillation": 1.5}, "distillation"),
        ({"temperature": 0}, "temperature"),
        ({"batch_norm": "none"}, "batch_norm"),
        ({"decay": "linear"}, "decay"),
        ({"precision": "int4"}, "precision"),
        ({"exit_training": "never"}, "exit_training"),
        ({"exit_training": "joint", "batch_norm": "shared"}, "batch_norm"),
        ({"guard": 2.0}, "guard"),
    ],
)
def test_bad_arguments_are_named(family: Family, dataset: Dataset, arguments: dict, named: str) -> None:
    with pytest.raises(UsageError, match=named):
        finetune(family, dataset, **arguments)


def test_families_and_data_that_do_not_fit_are_refused(family: Family, dataset: Dataset) -> None:
    with pytest.raises(UsageError, match="full network"):
        finetune(replace(family, subnetworks=family.subnetworks[1:]), dataset)
    with pytest.raises(UsageError, match="shape"):
        finetune(family, dataset.with_input_shape((60,)))
    with pytest.raises(UsageError, match="classes"):
        finetune(family, replace(dataset, classes=("a", "b")))
