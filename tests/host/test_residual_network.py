"""Residual networks from end to end, on every implementation: ResNet-8 with random weights at three nested widths, and
networks of more blocks without some of these."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_networks import random_residual_supernet
from small_run import small_residual_model

from reds import cost, zoo
from reds.emitting import emit, encode
from reds.exits import attach_exits
from reds.finetuning import evaluate
from reds.finetuning.statistics import estimate_batch_norms
from reds.finetuning.weights import weights_of
from reds.graph import BatchNormalization, BatchNormWeights, Family, Graph, Ranked, Subnetwork, Supernet
from reds.inspecting import inspect
from reds.model_file import decode, read_model_file
from reds.quantizing import quantize
from reds.ranking import permute
from reds.runtime import Runtime
from reds.shallow import subnetwork_network
from reds.solving.depth import candidate_cost
from reds.tracing import trace
from reds.verifying import random_inputs, verify
from reds_bench.emulator import QEMU

BOARDS = ("qemu:cortex-m4",) if shutil.which(QEMU) else ()
SAMPLES = 4
BOARD_SAMPLES = 2


def randomized() -> Graph:
    """The architecture with random batch normalisation and biases, its channels in a random order."""
    generator = np.random.default_rng(0)
    model = zoo.build("resnet_8")
    for variable in model.weights:
        if variable.name != "kernel":
            lowest = 0.5 if variable.name in ("gamma", "moving_variance") else -0.3
            variable.assign(generator.uniform(lowest, 1.0, variable.shape))
    graph = trace(model)
    return permute(graph, [generator.permutation(group.size) for group in graph.groups])


def batch_norms(graph: Graph, subnetwork: Subnetwork) -> BatchNormWeights:
    return {
        node.name: {key: value[: subnetwork.widths[node.output_group]] for key, value in node.weights.items()}
        for node in graph.nodes
        if isinstance(node.operation, BatchNormalization) and node.output_group is not None
    }


@pytest.fixture(scope="module")
def family() -> Family:
    graph = randomized()
    full = cost.full_widths(graph)
    importance = tuple(np.ones(size) for size in full)
    exits = attach_exits(Ranked(graph, importance, "random"), "auto").exits
    subnetworks = (
        Subnetwork("full", full),
        Subnetwork("middle", (12, 9, 20, 17, 40, 33)),
        Subnetwork("narrow", (5, 4, 8, 7, 16, 15)),
        Subnetwork("shallow", full, exit=1),
    )
    return Family(graph, importance, exits, subnetworks)


def test_each_stack_shares_one_width_over_its_sums(family: Family) -> None:
    graph = family.graph
    assert [(group.name, group.size) for group in graph.groups] == [
        ("conv1", 16),
        ("block1_conv1", 16),
        ("block2_shortcut", 32),
        ("block2_conv1", 32),
        ("block3_shortcut", 64),
        ("block3_conv1", 64),
    ]
    groups = {node.name: (node.input_group, node.output_group) for node in graph.nodes}
    assert groups["block1_add"] == (0, 0)
    assert groups["block2_conv2"] == (3, 2)
    assert groups["classifier"] == (4, None)


def test_the_automatic_exit_is_behind_a_whole_block(family: Family) -> None:
    assert family.graph.nodes[family.exits[0].tap].name == "block1_relu"


def test_costs_are_those_of_the_emitted_file_and_of_every_implementation(family: Family, tmp_path: Path) -> None:
    supernet = Supernet(
        family,
        tuple(
            {**batch_norms(family.graph, subnetwork), **head_batch_norms(family)} for subnetwork in family.subnetworks
        ),
    )
    samples = np.random.default_rng(1).standard_normal((32, *family.graph.input_shape), np.float32)
    path = emit(supernet, tmp_path / "resnet.tflite", "int8", samples)

    rows = inspect(path).subnetworks
    for row, subnetwork in zip(rows, family.subnetworks, strict=True):
        leave = family.exits[0] if subnetwork.exit else None
        assert row.macs == cost.macs(family.graph, subnetwork.widths, leave)
        assert row.arena_bytes <= cost.peak_activation_bytes(family.graph, subnetwork.widths, leave=leave)
    # Two maps, and what a convolution of three rows, by three positions of slack, stays before its input.
    assert (rows[0].macs, rows[0].arena_bytes) == (12_501_632, 2 * 32 * 32 * 16 + (2 * 32 + 3) * 16)

    report = verify(path, random_inputs(path, SAMPLES), BOARDS, BOARD_SAMPLES)
    assert report.passed, [check for check in report.checks if not check.passed]


def head_batch_norms(family: Family) -> BatchNormWeights:
    nodes = (node for exit in family.exits for node in exit.head.nodes)
    return {node.name: node.weights for node in nodes if isinstance(node.operation, BatchNormalization)}


def skipping_family() -> Family:
    """Two stages of three blocks each, of which two can be skipped in the second and three in the first."""
    graph = trace(small_residual_model(blocks=3))
    full = cost.full_widths(graph)
    exits = attach_exits(Ranked(graph, (), "random"), ["add_1c"], head="compact").exits
    subnetworks = (
        Subnetwork("full", full),
        Subnetwork("first", full, skips=("add_1a",)),
        Subnetwork("narrow", tuple(size // 2 for size in full), skips=("add_1b", "add_2b")),
        Subnetwork("few", full, skips=("add_1c", "add_1b", "add_1a", "add_2c", "add_2b")),
        Subnetwork("shallow", full, exit=1, skips=("add_1c", "add_1a")),
    )
    return Family(graph, tuple(np.ones(size) for size in full), exits, subnetworks)


def measured(family: Family) -> Supernet:
    """The family with the statistics that each subnetwork sees."""
    x = np.random.default_rng(3).standard_normal((64, *family.graph.input_shape), np.float32)
    norms = []
    for one in family.subnetworks:
        network = subnetwork_network(family, one)
        widths = network.narrow(one.widths)
        norms.append(estimate_batch_norms(network.graph, [x], weights_of(network.graph), widths))
    return Supernet(family, tuple(norms))


def test_skipped_blocks_are_not_on_the_run_list_and_cost_nothing(tmp_path: Path) -> None:
    supernet = measured(skipping_family())
    family = supernet.family
    samples = np.random.default_rng(1).standard_normal((32, *family.graph.input_shape), np.float32)
    path = emit(supernet, tmp_path / "residual.tflite", "int8", samples)

    stem, classes = 48 * 9 * 8, 12 * 3
    first, second = 2 * 48 * 9 * 8 * 8, 2 * 12 * 9 * 12 * 12
    down = 12 * 9 * 8 * 12 + 12 * 9 * 12 * 12 + 12 * 8 * 12
    narrow_down = 12 * 9 * 4 * 6 + 12 * 9 * 6 * 6 + 12 * 4 * 6
    rows = inspect(path).subnetworks
    assert [row.macs for row in rows[:4]] == [
        stem + 3 * first + down + 2 * second + classes,
        stem + 2 * first + down + 2 * second + classes,
        stem // 2 + 2 * first // 4 + narrow_down + second // 4 + 6 * 3,
        stem + down + classes,
    ]
    network = decode(read_model_file(path))
    names = [[network.layers[step.layer].name for step in one.steps] for one in network.subnetworks]
    assert not {"conv_1a1", "conv_1a2", "add_1a"}.intersection(names[1])
    assert names[3] == [
        "conv_stem",
        "shortcut_2a",
        "conv_2a1",
        "conv_2a2",
        "add_2a",
        "pool",
        "classes",
        "classes/softmax",
    ]
    assert names[4][:4] == ["conv_stem", "conv_1b1", "conv_1b2", "add_1b"]
    for row, subnetwork in zip(rows, family.subnetworks, strict=True):
        assert row.flash_bytes == candidate_cost(family, subnetwork, "flash")
        assert row.arena_bytes <= candidate_cost(family, subnetwork, "arena")

    report = verify(path, random_inputs(path, SAMPLES), BOARDS, BOARD_SAMPLES)
    assert report.passed, [check for check in report.checks if not check.passed]


@settings(derandomize=True, deadline=None, max_examples=25)
@given(st.integers(0, 2**32 - 1))
def test_any_blocks_can_be_skipped_as_in_stock_interpreters(
    tmp_path_factory: pytest.TempPathFactory, seed: int
) -> None:
    supernet = random_residual_supernet(seed)
    generator = np.random.default_rng(seed)
    samples = generator.standard_normal((32, *supernet.family.graph.input_shape), np.float32)
    path = tmp_path_factory.mktemp("models") / "model.tflite"
    for type in ("int8", "float32"):
        compiled = quantize(supernet, type, samples)
        path.write_bytes(encode(compiled))
        decoded = decode(read_model_file(path))
        assert [one.stand_ins for one in decoded.subnetworks] == [one.stand_ins for one in compiled.subnetworks]
        report = verify(path, random_inputs(path, SAMPLES))
        assert report.passed, [check for check in report.checks if not check.passed]
    runtime = Runtime(path)
    for index, subnetwork in enumerate(supernet.family.subnetworks):
        runtime.select(index)
        expected = evaluate(supernet, index, samples)
        np.testing.assert_allclose(runtime.invoke(samples), expected, atol=1e-4, err_msg=str(subnetwork.skips))
