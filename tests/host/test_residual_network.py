"""A residual network from end to end: ResNet-8 with random weights, at three nested widths, on every implementation."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from reds import cost, zoo
from reds.emitting import emit
from reds.exits import attach_exits
from reds.graph import BatchNormalization, BatchNormWeights, Family, Graph, Ranked, Subnetwork, Supernet
from reds.inspecting import inspect
from reds.ranking import permute
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
