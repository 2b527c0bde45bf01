"""Subnetworks of adopted models: the model computes what it did, and TFLite Micro runs each subnetwork alone alike."""

from collections.abc import Callable, Sequence
from copy import copy
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as tflite
from converted_models import TYPES, converted
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from model_builder import LayerSpec, NetworkBuilder, network_with_views
from random_networks import random_supernet

import reds
from reds import cost
from reds.adopting import MagnitudePruning, with_plan
from reds.adopting.graph import graph_of, magnitudes
from reds.adopting.network import read_network
from reds.adopting.pruning import over_maps
from reds.compiled import ElementType
from reds.emitting import encode, extract
from reds.emitting.standard import pack_again
from reds.errors import UsageError
from reds.graph import Activation, Conv2D, Dense, DeviceOperation
from reds.inspecting import inspect
from reds.model_file import decode, read_foreign_model, read_model_file
from reds.quantizing import quantize
from reds.reference import run_litert, run_tflite_micro
from reds.solving.metrics import cost_at
from reds.tensors import align
from reds.verifying import random_inputs, verify

SAMPLES = 10
ANY_WIDTH = MagnitudePruning(multiple=1)

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
        pruned = with_plan(original, MagnitudePruning(budgets=(0.4, 0.8), multiple=1))
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


def test_channels_are_sorted_by_the_weight_that_makes_them() -> None:
    """The sums of a group are those of before, in another order: they fall, and each channel keeps its own."""
    before = network_of(converted("separable", "int8"))
    after = decode(read_model_file(with_plan(converted("separable", "int8"), ANY_WIDTH)))
    unsorted = magnitudes(graph_of(before), before)
    for values, sorted_values in zip(unsorted, magnitudes(graph_of(after), after), strict=True):
        np.testing.assert_allclose(sorted_values, np.sort(values)[::-1], rtol=1e-6)
    assert any(np.any(np.diff(values) > 0) for values in unsorted)


def network_of(content: bytes):
    foreign = read_foreign_model(content)
    return over_maps(read_network(foreign.model, foreign.source).network)


def test_the_weight_of_a_channel_is_real() -> None:
    """Sums of magnitudes in units of the scales, over everything that makes a channel."""
    network = network_of(converted("separable", "int8"))
    first, second, _ = magnitudes(graph_of(network), network)
    steps = network.subnetworks[0].steps
    weights = [
        np.abs(layer.weights.astype(np.float64) * step.weight_scales.reshape((-1, 1, 1, 1) if axis == 0 else (-1,)))
        for layer, step, axis in zip(network.layers[:3], steps, (0, 3, 0), strict=False)
    ]
    np.testing.assert_allclose(first, weights[0].sum(axis=(1, 2, 3)) + weights[1].sum(axis=(0, 1, 2)), rtol=1e-6)
    assert len(second) == 12


def test_an_arena_that_is_limited() -> None:
    full = inspect(with_plan(converted("separable", "int8"))).subnetworks[0].arena_bytes
    limit = int(0.6 * full)
    rows = inspect(
        with_plan(converted("separable", "int8"), MagnitudePruning((0.9,), limits={"arena": limit}, multiple=1))
    )
    assert rows.subnetworks[1].arena_bytes <= limit < full


@pytest.mark.parametrize("metric", ["flash", "arena", "cycles:cortex-m4"])
def test_other_metrics(metric: str) -> None:
    """What the plans cost is compared with the limits when they are written."""
    report = inspect(with_plan(converted("separable", "int8"), MagnitudePruning((0.8,), metric, multiple=1)))
    assert report.subnetworks[1].macs < report.subnetworks[0].macs


@pytest.mark.parametrize(
    "name", ["pairs", "sliced", "input_in_two_shapes", "normalized", "attention", "rearranged", "stacked"]
)
def test_nothing_to_narrow(name: str) -> None:
    with pytest.raises(UsageError, match=r"'model' has nothing to narrow: .*without `prune`"):
        with_plan(converted(name, "int8"), ANY_WIDTH)


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
    pruned = with_plan(original, MagnitudePruning((0.6,), multiple=1))
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
    check(tmp_path, original, with_plan(original, MagnitudePruning((0.7,), multiple=1)))


def test_a_file_that_was_pruned(tmp_path: Path) -> None:
    """By the public function, to the file that is named; an extracted subnetwork can be pruned again."""
    (tmp_path / "foreign.tflite").write_bytes(converted("separable", "int8"))
    lines: list[str] = []
    path = reds.adopt(tmp_path / "foreign.tflite", tmp_path / "out.tflite", copy(ANY_WIDTH), lines.append)
    assert [line.split(":")[0] for line in lines] == ["25%", "50%", "75%"]
    narrow = extract(path, 2)
    check(tmp_path, narrow, with_plan(narrow, MagnitudePruning((0.5,), multiple=1)))
