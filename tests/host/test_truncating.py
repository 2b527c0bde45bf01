"""Files with some of the subnetworks of another file."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_networks import random_residual_supernet, random_supernet

from reds import cost, zoo
from reds.emitting import annotate, emit, encode, extract, truncate
from reds.errors import UsageError
from reds.exits import attach_exits
from reds.finetuning.statistics import narrow_batch_norms
from reds.finetuning.weights import weights_of
from reds.graph import BatchNormalization, Family, Graph, Ranked, Subnetwork, Supernet
from reds.inspecting import inspect
from reds.model_file import decode, read_model_file
from reds.plan import TargetCosts
from reds.quantizing import quantize
from reds.runtime import Runtime
from reds.tracing import trace
from reds.verifying import random_inputs, verify

SAMPLES = 4


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


def whole_file(seed: int, type: str, draw: Callable[[int], Supernet] = random_supernet) -> bytes:
    supernet = draw(seed)
    shape = (64, *supernet.family.graph.input_shape)
    return encode(quantize(supernet, type, np.random.default_rng(seed).standard_normal(shape, np.float32)))


def some_of(content: bytes, seed: int) -> tuple[list[int], bytes] | None:
    """A part of a file; None where the draw has no network for all of it."""
    count = len(inspect(content).subnetworks)
    generator = np.random.default_rng(seed)
    kept = generator.permutation(count)[: generator.integers(1, count + 1)].tolist()
    try:
        return kept, truncate(content, kept)
    except UsageError as error:
        assert "leaves out" in str(error)
        return None


def outputs(content: bytes, inputs: np.ndarray) -> dict[str, np.ndarray]:
    runtime = Runtime(content)
    answers = {}
    for subnetwork in runtime.subnetworks:
        runtime.select(subnetwork.id)
        answers[subnetwork.name] = runtime.invoke(inputs)
    return answers


@settings(derandomize=True, deadline=None, max_examples=60)
@given(st.integers(0, 2**32 - 1), st.sampled_from([random_supernet, random_residual_supernet]))
def test_a_part_gives_the_bytes_of_the_whole_and_is_a_file_as_good(
    folder: Path, seed: int, draw: Callable[[int], Supernet]
) -> None:
    content = whole_file(seed, "int8", draw)
    part = some_of(content, seed)
    if part is None:
        return
    kept, truncated = part
    inputs = random_inputs(content, SAMPLES, seed)
    expected = outputs(content, inputs)
    names = list(expected)
    for name, answer in outputs(truncated, inputs).items():
        np.testing.assert_array_equal(answer, expected[name])
    assert sorted(outputs(truncated, inputs)) == sorted(names[index] for index in kept)
    path = folder / "part.tflite"
    path.write_bytes(truncated)
    report = verify(path, inputs)
    assert report.passed, [check for check in report.checks if not check.passed]


@settings(derandomize=True, deadline=None, max_examples=20)
@given(st.integers(0, 2**32 - 1))
def test_a_part_in_float_gives_the_same_to_rounding(seed: int) -> None:
    content = whole_file(seed, "float32")
    part = some_of(content, seed)
    if part is None:
        return
    inputs = random_inputs(content, SAMPLES, seed)
    expected = outputs(content, inputs)
    for name, answer in outputs(part[1], inputs).items():
        np.testing.assert_allclose(answer, expected[name], atol=1e-5 * max(1.0, np.abs(expected[name]).max()))


@settings(derandomize=True, deadline=None, max_examples=30)
@given(st.integers(0, 2**32 - 1))
def test_a_part_has_nothing_that_it_does_not_run(seed: int) -> None:
    part = some_of(whole_file(seed, "int8"), seed)
    if part is None:
        return
    network = decode(read_model_file(part[1]))
    steps = [step for one in network.subnetworks for step in one.steps]
    for index, layer in enumerate(network.layers):
        own = [step for step in steps if step.layer == index]
        assert max(step.input_channels for step in own) == layer.input_shape[2]
        assert max(step.output_channels for step in own) == layer.output_shape[2]
    assert {one.exit for one in network.subnetworks} == set(range(len(network.exits)))


def family_of(graph: Graph, taps: list[str]) -> Family:
    exits = attach_exits(Ranked(graph, (), "random"), taps).exits
    full = cost.full_widths(graph)
    half = tuple(size // 2 for size in full)
    shallow = [Subnetwork(name, widths, 1) for name, widths in (("shallow", full), ("both", half))]
    return Family(graph, (), exits, (Subnetwork("full", full), Subnetwork("half", half), *shallow))


def with_any_statistics(family: Family) -> Supernet:
    """As after a training: no two channels of a batch normalisation have the same statistics."""
    generator = np.random.default_rng(0)

    def drawn(graph: Graph) -> Graph:
        nodes = (
            replace(node, weights={**node.weights, "moving_variance": generator.uniform(0.5, 2, node.output_shape[2])
                                   .astype(np.float32)})
            if isinstance(node.operation, BatchNormalization) else node
            for node in graph.nodes
        )  # fmt: skip
        return replace(graph, nodes=tuple(nodes))

    exits = tuple(replace(leave, head=drawn(leave.head)) for leave in family.exits)
    family = replace(family, graph=drawn(family.graph), exits=exits)
    norms = []
    for one in family.subnetworks:
        own = narrow_batch_norms(family.graph, _norms(family.graph), one.widths)
        active = cost.active_channels(family.graph, one.widths, family.graph.input_map[2])
        for leave in family.exits:
            head = cost.active_channels(leave.head, cost.full_widths(leave.head), active[leave.tap])
            places = {node.name: channels for node, channels in zip(leave.head.nodes, head, strict=True)}
            own |= {
                name: {key: value[: places[name]] for key, value in weights.items()}
                for name, weights in _norms(leave.head).items()
            }
        norms.append(own)
    return Supernet(family, tuple(norms))


def _norms(graph: Graph) -> dict:
    names = [node.name for node in graph.nodes if isinstance(node.operation, BatchNormalization)]
    return {name: weights_of(graph)[name] for name in names}


PUBLISHED = {
    ("mobilenet_v1_025", "block6_pointwise"): 71_000,
    ("ds_cnn_s", "block2_pointwise"): 43_700,
}
"""Bytes of the int8 files of these cuts, that of MobileNet with one channel of input (De Leon and Atienza, 2022)."""


@pytest.mark.parametrize(("name", "tap"), PUBLISHED)
def test_a_cut_network_is_smaller_than_the_published_file(folder: Path, name: str, tap: str) -> None:
    graph = trace(zoo.build(name))
    samples = np.random.default_rng(0).standard_normal((8, *graph.input_shape), np.float32)
    whole = emit(with_any_statistics(family_of(graph, [tap])), folder / f"{name}.tflite", "int8", samples)
    cut = truncate(whole, [2])
    assert len(cut) < PUBLISHED[name, tap] < whole.stat().st_size
    assert len(extract(cut, 0)) < len(cut)
    narrower = truncate(whole, [3])
    assert len(narrower) < 0.7 * len(cut)
    assert [row.name for row in inspect(truncate(whole, [3, 2])).subnetworks] == ["shallow", "both"]


def test_measurements_come_along_and_counts_become_estimates(folder: Path) -> None:
    path = folder / "measured.tflite"
    path.write_bytes(whole_file(4, "int8"))
    count = len(inspect(path).subnetworks)
    accuracy = tuple(0.5 + 0.1 * index for index in range(count))
    annotate(path, accuracy, (TargetCosts("cortex-m4", True, tuple(100 - index for index in range(count))),))
    rows = inspect(truncate(path, [2, 1])).subnetworks
    kept = [row for row in inspect(path).subnetworks if row.id in (1, 2)]
    order = {row.name: row for row in kept}
    for row in rows:
        assert row.accuracy == order[row.name].accuracy
        assert row.targets["cortex-m4"].instructions == order[row.name].targets["cortex-m4"].instructions
        assert not row.targets["cortex-m4"].measured


@pytest.mark.parametrize("kept", [[], [0, 0], [9], [-1]])
def test_subnetworks_that_are_not_there_are_refused(kept: list[int]) -> None:
    with pytest.raises(UsageError, match="different numbers from 0 to"):
        truncate(whole_file(1, "int8"), kept)
