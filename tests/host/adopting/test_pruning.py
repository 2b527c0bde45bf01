"""Subnetworks of adopted models: the model computes what it did, and TFLite Micro runs each subnetwork alone alike."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as tflite
from ai_edge_litert.interpreter import Interpreter as LiteRT
from ai_edge_litert.interpreter import OpResolverType
from converted_models import TYPES, converted
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from model_builder import LayerSpec, NetworkBuilder, network_with_views
from numpy.typing import NDArray
from random_networks import random_supernet

import reds
from reds import cost
from reds.adopting import AdoptPruning, with_plan
from reds.adopting.graph import graph_of
from reds.adopting.importance import Importance, fluctuations, magnitudes
from reds.adopting.network import read_network
from reds.adopting.pruning import over_maps
from reds.adopting.statistics import ActivationStatistics, measure_activations
from reds.compiled import EMITTED_TYPES, CompiledNetwork, ElementType
from reds.emitting import encode, extract
from reds.emitting.standard import pack_again
from reds.errors import UsageError
from reds.graph import Activation, Conv2D, Dense, DeviceOperation
from reds.inspecting import inspect
from reds.model_file import decode, read_foreign_model, read_model_file
from reds.quantizing import quantize
from reds.reference import run_litert, run_tflite_micro
from reds.runtime import Runtime
from reds.solving.metrics import cost_at
from reds.tensors import align
from reds.verifying import random_inputs, verify

SAMPLES = 10
ANY_WIDTH = AdoptPruning(multiple=1)

NARROWABLE = ["plain", "separable", "residual", "vectors", "series", "detector", "excited", "decoder", "enlarged"]
NARROWABLE += ["scaled"]
NOT_NARROWABLE = ["pairs", "sliced", "input_in_two_shapes", "normalized", "attention", "rearranged", "stacked"]


def check(tmp_path: Path, original: bytes, pruned: bytes) -> None:
    """Every proof holds, and what stock interpreters run gives the bytes of the original in int8."""
    path = tmp_path / "pruned.tflite"
    path.write_bytes(pruned)
    inputs = random_inputs(path, SAMPLES)
    verify(path, inputs).require()
    for run in (run_tflite_micro, run_litert):
        before, after = run(original, inputs), run(pruned, inputs)
        if before.dtype == np.int8:
            np.testing.assert_array_equal(after, before)
        else:
            np.testing.assert_allclose(after, before, rtol=1e-4, atol=1e-5 * np.abs(before).max())


@pytest.mark.parametrize("name", NARROWABLE)
@pytest.mark.parametrize("type", TYPES)
def test_every_proof_holds(tmp_path: Path, name: str, type: str) -> None:
    pruned = with_plan(converted(name, type), ANY_WIDTH)
    check(tmp_path, converted(name, type), pruned)
    check_costs(pruned)
    rows = inspect(pruned).subnetworks
    assert [row.name for row in rows] == ["100%", "75%", "50%", "25%"]
    assert [row.macs <= share * rows[0].macs for row, share in zip(rows, (1, 0.75, 0.5, 0.25), strict=True)] == [
        True
    ] * 4
    assert rows[0].macs > rows[1].macs > rows[2].macs > rows[3].macs


@pytest.mark.parametrize("name", ["plain", "separable", "vectors", "decoder"])
def test_one_weight_scale_for_all_channels(tmp_path: Path, name: str) -> None:
    original = converted(name, "int8", per_channel=False)
    check(tmp_path, original, with_plan(original, ANY_WIDTH))


@settings(derandomize=True, deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 2**32 - 1), st.sampled_from(TYPES))
def test_random_networks(tmp_path: Path, seed: int, type: str) -> None:
    supernet = random_supernet(seed)
    samples = np.random.default_rng(seed).standard_normal((32, *supernet.family.graph.input_shape), np.float32)
    original = extract(encode(quantize(supernet, type, samples)), 0)
    try:
        pruned = with_plan(original, AdoptPruning(budgets=(0.4, 0.8), multiple=1))
    except UsageError as error:
        assert "nothing to narrow" in str(error) or "cannot be met" in str(error)
        assume(False)
    check(tmp_path, original, pruned)
    check_costs(pruned)


def check_costs(pruned: bytes) -> None:
    """What the search counts with is what the plans cost."""
    network = decode(read_model_file(pruned))
    graph, size = graph_of(network), network.element_type.dtype.itemsize
    for row in inspect(pruned).subnetworks:
        assert cost_at("macs", graph, row.widths, size) == cost.macs(graph, row.widths) == row.macs
        assert cost_at("flash", graph, row.widths, size) == row.flash_bytes
        assert cost_at("arena", graph, row.widths, size) <= align(row.arena_bytes)


@pytest.mark.parametrize("importance", ["paths", "l1"])
def test_channels_are_sorted(importance: Importance) -> None:
    """The importance of a group's channels is that of before, in falling order."""
    content = converted("separable", "int8")
    before = network_of(content)
    pruning = AdoptPruning(multiple=1, importance=importance)
    after = decode(read_model_file(with_plan(content, pruning)))
    unsorted = magnitudes(graph_of(before), before, importance)
    for values, sorted_values in zip(unsorted, magnitudes(graph_of(after), after, importance), strict=True):
        np.testing.assert_allclose(sorted_values, np.sort(values)[::-1], rtol=1e-6)
    assert any(np.any(np.diff(values) > 0) for values in unsorted)


def network_of(content: bytes) -> CompiledNetwork:
    foreign = read_foreign_model(content)
    return over_maps(read_network(foreign.model, foreign.source).network)


def test_the_importance_of_a_channel() -> None:
    """Of the first group: a convolution and a depthwise one make it, a pointwise one reads it."""
    network = network_of(converted("separable", "int8"))
    steps = network.subnetworks[0].steps
    made, depthwise, read = (
        np.abs(layer.weights.astype(np.float64) * step.weight_scales.reshape(shape))
        for layer, step, shape in zip(network.layers, steps, ((-1, 1, 1, 1), (-1,), (-1, 1, 1, 1)), strict=False)
    )
    sums = [made.sum(axis=(1, 2, 3)), depthwise.sum(axis=(0, 1, 2)), read.sum(axis=(0, 1, 2))]
    np.testing.assert_allclose(magnitudes(graph_of(network), network, "l1")[0], sums[0] + sums[1], rtol=1e-6)
    paths = np.prod([values / values.mean() for values in sums], axis=0)
    np.testing.assert_allclose(magnitudes(graph_of(network), network, "paths")[0], paths, rtol=1e-6)


def test_an_arena_that_is_limited() -> None:
    full = inspect(with_plan(converted("separable", "int8"))).subnetworks[0].arena_bytes
    limit = int(0.6 * full)
    rows = inspect(with_plan(converted("separable", "int8"), AdoptPruning((0.9,), limits={"arena": limit}, multiple=1)))
    assert rows.subnetworks[1].arena_bytes <= limit < full


@pytest.mark.parametrize("metric", ["flash", "arena", "cycles:cortex-m4"])
def test_other_metrics(metric: str) -> None:
    """What the plans cost is compared with the limits when they are written."""
    report = inspect(with_plan(converted("separable", "int8"), AdoptPruning((0.8,), metric, multiple=1)))
    assert report.subnetworks[1].macs < report.subnetworks[0].macs


@pytest.mark.parametrize(
    "name", ["pairs", "sliced", "input_in_two_shapes", "normalized", "attention", "rearranged", "stacked"]
)
def test_nothing_to_narrow(name: str) -> None:
    with pytest.raises(UsageError, match=r"'model' has nothing to narrow: .*without `prune`"):
        with_plan(converted(name, "int8"), ANY_WIDTH)


def test_what_cannot_be_adopted_is_named(tmp_path: Path) -> None:
    (tmp_path / "foreign.tflite").write_bytes(converted("plain", "int8")[:900])
    with pytest.raises(UsageError, match=r"foreign\.tflite"):
        reds.adopt(tmp_path / "foreign.tflite", tmp_path / "out.tflite", ANY_WIDTH)


def test_models_in_int16_are_not_narrowed() -> None:
    with pytest.raises(UsageError, match=r"'model' computes in int16; `prune` narrows .*without `prune`"):
        with_plan(converted("summed", "int16"), ANY_WIDTH)


def test_models_of_several_samples_are_not_narrowed() -> None:
    with pytest.raises(UsageError, match=r"'model' takes 3 samples at a time; `prune` narrows .*without `prune`"):
        with_plan(converted("excited", "int8", batch=3), ANY_WIDTH)


def test_a_budget_that_cannot_be_met() -> None:
    with pytest.raises(UsageError, match=r"`budgets` cannot be met: no subnetwork needs less than \d+ macs"):
        with_plan(converted("functions", "int8"), ANY_WIDTH)


def test_other_shapes_fix_channels(tmp_path: Path) -> None:
    """What is read with other channels than it was written with keeps them; what is before and behind is narrowed."""
    network, _ = network_with_views(ElementType.INT8)
    with pytest.raises(UsageError, match="nothing to narrow"):
        with_plan(extract(encode(network), 0), ANY_WIDTH)
    builder = NetworkBuilder(ElementType.INT8, (4, 4, 2), seed=3)
    specs = [
        LayerSpec(Conv2D((3, 3), padding="same"), 8),
        LayerSpec(Conv2D((1, 1)), 6),
        LayerSpec(Conv2D((1, 1)), 7, reads=(4, 8, 3)),
        LayerSpec(Activation("relu")),
        LayerSpec(Dense(), 4, reads=(1, 1, 4 * 8 * 7)),
    ]
    original = extract(encode(builder.build(specs)), 0)
    pruned = with_plan(original, AdoptPruning((0.6,), multiple=1))
    check(tmp_path, original, pruned)
    steps = decode(read_model_file(pruned)).subnetworks[1].steps
    assert steps[0].output_channels < 8
    assert steps[1].output_channels == 6
    assert steps[2].output_channels == steps[4].input_channels < 7


def share(field: str) -> Callable[[tflite.ModelT, Sequence[int]], None]:
    """Makes two operators read one tensor, or two tensors have one buffer."""

    def change(model: tflite.ModelT, inputs: Sequence[int]) -> None:
        subgraph = model.subgraphs[0]
        first, second = (operator for operator in subgraph.operators if len(operator.inputs) == 3)
        for position in inputs:
            if field == "tensor":
                second.inputs = np.array(second.inputs)
                second.inputs[position] = first.inputs[position]
            else:
                tensors = subgraph.tensors
                tensors[second.inputs[position]].buffer = tensors[first.inputs[position]].buffer

    return change


@pytest.mark.parametrize("field", ["tensor", "buffer"])
@pytest.mark.parametrize("inputs", [(1,), (2,), (1, 2)])
def test_constants_that_layers_share(tmp_path: Path, field: str, inputs: Sequence[int]) -> None:
    """Two layers with the same weights or biases, whose channels are sorted in other orders."""
    operation: DeviceOperation = Conv2D((1, 1))
    builder = NetworkBuilder(ElementType.FLOAT32, (3, 3, 6), seed=1)
    model = tflite.ModelT.InitFromPackedBuf(
        extract(encode(builder.build([LayerSpec(operation, 6, "relu"), LayerSpec(operation, 6)])), 0)
    )
    share(field)(model, inputs)
    original = pack_again(model, b"")
    check(tmp_path, original, with_plan(original, AdoptPruning((0.7,), multiple=1)))


def test_a_file_that_was_pruned(tmp_path: Path) -> None:
    """By the public function, to the file that is named; an extracted subnetwork can be pruned again."""
    (tmp_path / "foreign.tflite").write_bytes(converted("separable", "int8"))
    lines: list[str] = []
    path = reds.adopt(tmp_path / "foreign.tflite", tmp_path / "out.tflite", ANY_WIDTH, lines.append)
    assert [line.split(":")[0] for line in lines] == ["25%", "50%", "75%"]
    narrow = extract(path, 2)
    check(tmp_path, narrow, with_plan(narrow, AdoptPruning((0.5,), multiple=1)))


def samples_for(content: bytes) -> NDArray[np.float32]:
    shape = inspect(with_plan(content)).input_shape[1:]
    return np.random.default_rng(1).standard_normal((12, *shape), np.float32)


@pytest.mark.parametrize("name", ["plain", "separable", "excited", "decoder", "series"])
@pytest.mark.parametrize("type", TYPES)
def test_every_proof_holds_with_samples(tmp_path: Path, name: str, type: str) -> None:
    original = converted(name, type)
    pruned = with_plan(original, AdoptPruning(multiple=1, samples=samples_for(original)))
    check(tmp_path, original, pruned)
    check_costs(pruned)


@pytest.mark.parametrize("type", EMITTED_TYPES)
@pytest.mark.parametrize("last", [Conv2D((1, 1)), Conv2D((3, 4)), Dense()])
def test_channels_that_never_change_are_not_missed(type: ElementType, last: DeviceOperation) -> None:
    """Three of six channels are constant. Without them, but with their means in the biases, outputs are the same."""
    builder = NetworkBuilder(type, (3, 4, 2), seed=2)
    reads = (1, 1, 72) if isinstance(last, Dense) else None
    network = builder.build([LayerSpec(Conv2D((1, 1)), 6, "relu"), LayerSpec(last, 5, reads=reads)])
    first = network.layers[0]
    assert first.weights is not None
    weights = first.weights.copy()
    weights[[0, 2, 3]] = 0
    network = replace(network, layers=(replace(first, weights=weights), *network.layers[1:]))
    original = extract(encode(network), 0)
    inputs = builder.input(20)
    pruned = with_plan(original, AdoptPruning((0.5,), multiple=3, samples=inputs))
    assert inspect(pruned).subnetworks[1].widths == (3,)
    runtime = Runtime(pruned)
    full, narrow = (outputs_of(runtime, index, inputs) for index in (0, 1))
    tolerance = 1 if type is ElementType.INT8 else 1e-5 * np.abs(full).max()
    assert np.abs(narrow - full).max() <= tolerance
    without = Runtime(with_plan(original, AdoptPruning((0.5,), multiple=3)))
    assert np.abs(outputs_of(without, 1, inputs) - full).max() > 4 * tolerance


def outputs_of(runtime: Runtime, subnetwork: int, inputs: NDArray) -> NDArray[np.float64]:
    runtime.select(subnetwork)
    return runtime.invoke(inputs).astype(np.float64)


def test_statistics_of_activations() -> None:
    """Against LiteRT's tensors, in real units."""
    content = converted("separable", "int8")
    adopted, samples = with_plan(content), samples_for(content)
    network = network_of(content)
    found = measure_activations(adopted, network, samples)
    interpreter = Interpreter(content, samples)
    for layer, mean, variance in zip(network.layers, found.means, found.variances, strict=True):
        values = interpreter.values(layer.name).reshape(len(samples), *layer.output_shape)
        np.testing.assert_allclose(mean, values.mean(axis=0), rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(variance, values.var(axis=(0, 1, 2)), rtol=1e-5, atol=1e-6)


class Interpreter:
    """All tensors of a model for all samples."""

    def __init__(self, content: bytes, samples: NDArray[np.float32]) -> None:
        interpreter = LiteRT(
            model_content=content,
            experimental_op_resolver_type=OpResolverType.BUILTIN_REF,
            experimental_preserve_all_tensors=True,
        )
        interpreter.allocate_tensors()
        self._details = {detail["name"]: detail for detail in interpreter.get_tensor_details()}
        self._values: dict[str, list[NDArray]] = {name: [] for name in self._details}
        source = interpreter.get_input_details()[0]
        for sample in Runtime(with_plan(content)).quantize(samples):
            interpreter.set_tensor(source["index"], sample[np.newaxis])
            interpreter.invoke()
            for name, detail in self._details.items():
                self._values[name].append(interpreter.get_tensor(detail["index"]))

    def values(self, name: str) -> NDArray[np.float64]:
        scale, zero_point = self._details[name]["quantization"]
        return (np.stack(self._values[name]).astype(np.float64) - zero_point) * scale


def test_fluctuation_counts_what_reads_a_channel() -> None:
    network = network_of(converted("plain", "int8"))
    dense, step = network.layers[-2], network.subnetworks[0].steps[-2]
    variances = tuple(np.arange(1.0, layer.output_shape[2] + 1) for layer in network.layers)
    means = tuple(np.zeros(layer.output_shape) for layer in network.layers)
    weights = dense.weights * step.weight_scales.reshape(-1, 1, 1, 1).astype(np.float64)
    expected = np.sqrt(np.square(weights).sum(axis=(0, 1, 2)) * variances[0])
    (found,) = fluctuations(graph_of(network), network, ActivationStatistics(means, variances))
    np.testing.assert_allclose(found, expected)


@pytest.mark.parametrize(
    "samples",
    [np.zeros((2, 20, 16), np.float32), np.zeros((0, 20, 16, 1), np.float32), np.zeros((2, 20, 16, 1), np.int16),
     np.full((2, 20, 16, 1), np.nan, np.float32)],
)  # fmt: skip
def test_samples_that_do_not_fit(samples: NDArray) -> None:
    with pytest.raises(UsageError, match=r"`samples` must hold inputs of shape \(20, 16, 1\)"):
        with_plan(converted("separable", "int8"), AdoptPruning(samples=samples))


@pytest.mark.parametrize("importance", ["fluctuation", "taylor"])
def test_importance_that_needs_more(importance: Importance) -> None:
    with pytest.raises(UsageError, match="`importance`"):
        with_plan(converted("separable", "int8"), AdoptPruning(importance=importance))
