"""What the search believes a subnetwork costs is what the emitted plan says it costs."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_networks import random_supernet

from reds import cost, zoo
from reds.emitting import encode
from reds.errors import UsageError
from reds.graph import Graph
from reds.inspecting import inspect
from reds.quantizing import quantize
from reds.schema.conventions import TENSOR_ALIGNMENT
from reds.shallow import subnetwork_network
from reds.solving.metrics import ARENA, arena_rules, cost_at, cost_model, metric_names, planned_arenas
from reds.tracing import trace

SUMS = [name for name in metric_names() if name != ARENA]


@settings(max_examples=60, derandomize=True, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["int8", "float32"]))
def test_costs_are_those_of_the_emitted_plan(seed: int, element_type: str) -> None:
    supernet = random_supernet(seed)
    graph = supernet.family.graph
    calibration = np.random.default_rng(seed).normal(size=(4, *graph.input_shape)).astype(np.float32)
    plan = inspect(encode(quantize(supernet, element_type, calibration)))
    element_bytes = np.dtype(element_type).itemsize
    for subnetwork, row in zip(supernet.family.subnetworks, plan.subnetworks, strict=True):
        if not supernet.family.exits:
            planned = planned_arenas(graph, [one.widths for one in supernet.family.subnetworks], element_bytes)
            assert planned[row.id] == row.arena_bytes
            least = int(cost.peak_activation_bytes(graph, subnetwork.widths, element_bytes))
            assert least <= cost_at(ARENA, graph, subnetwork.widths, element_bytes)
            assert least - row.arena_bytes < TENSOR_ALIGNMENT
        network = subnetwork_network(supernet.family, subnetwork)
        widths = network.narrow(subnetwork.widths)
        assert cost_at("macs", network.graph, widths, element_bytes) == row.macs
        assert cost_at("flash", network.graph, widths, element_bytes) == row.flash_bytes


@pytest.mark.parametrize("name", ["ds_cnn_s", "mobilenet_v1_025", "resnet_8", "dnn_l", "cnn_s"])
@pytest.mark.parametrize("element_bytes", [1, 4])
def test_the_planner_finds_the_arenas_of_known_networks(name: str, element_bytes: int) -> None:
    graph = trace(zoo.build(name))
    full = cost.full_widths(graph)
    family = [full, *([max(1, width // part) for width in full] for part in (2, 3, 4))]
    planned = planned_arenas(graph, family, element_bytes)
    for arena, widths in zip(planned, family, strict=True):
        assert 0 <= cost_at(ARENA, graph, widths, element_bytes) - arena < TENSOR_ALIGNMENT


@settings(max_examples=100, derandomize=True, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(SUMS), st.sampled_from([1, 4]))
def test_tables_hold_the_cost_of_every_choice(seed: int, metric: str, element_bytes: int) -> None:
    graph = random_supernet(seed).family.graph
    generator = np.random.default_rng(seed)
    widths = [np.arange(1, group.size + 1) for group in graph.groups]
    model = cost_model(metric, graph, element_bytes)
    tables = model.tables(widths)
    for _ in range(5):
        choice = [int(generator.integers(len(allowed))) for allowed in widths]
        assert tables.of(choice) == model.at([index + 1 for index in choice])


@settings(max_examples=100, derandomize=True, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.2, 1.1))
def test_arena_rules_allow_what_fits(seed: int, part: float) -> None:
    graph = random_supernet(seed).family.graph
    generator = np.random.default_rng(seed)
    widths = [np.arange(1, group.size + 1) for group in graph.groups]
    budget = int(part * cost_at(ARENA, graph, cost.full_widths(graph)))
    rules = arena_rules(graph, widths, budget, 1)
    for _ in range(5):
        choice = [int(generator.integers(len(allowed))) for allowed in widths]
        allowed = all(bool(keep[index]) for keep, index in zip(rules.keep, choice, strict=True)) and all(
            bool(table[choice[first], choice[second]]) for (first, second), table in rules.allowed.items()
        )
        allowed = allowed and all(limit.is_kept(choice) for limit in rules.limits)
        if choice:
            assert allowed == (cost_at(ARENA, graph, [index + 1 for index in choice]) <= budget)


@pytest.fixture(scope="module")
def graphs() -> dict[str, Graph]:
    return {name: trace(zoo.build(name)) for name in ("dnn_s", "dnn_l", "cnn_s", "ds_cnn_s")}


@pytest.mark.parametrize(
    ("name", "widths", "fraction", "macs"),
    [
        ("dnn_s", (15, 75, 33), 0.25, 7_746),
        ("dnn_s", (51, 116, 63), 0.5, 26_730),
        ("dnn_s", (99, 132, 99), 0.75, 52_074),
        ("dnn_l", (302, 88, 19), 0.25, 103_976),
        ("dnn_l", (416, 244, 78), 0.5, 225_472),
        ("dnn_l", (436, 356, 235), 0.75, 350_696),
    ],
)
def test_published_dense_networks_fill_their_nominal_budgets(
    graphs: dict[str, Graph], name: str, widths: tuple[int, ...], fraction: float, macs: int
) -> None:
    """The widths that the REDS paper's program holds, and the true costs that follow from them."""
    graph = graphs[name]
    nominal = cost_at("nominal_macs", graph, widths)
    total = cost_at("nominal_macs", graph, cost.full_widths(graph))
    assert 0.97 * fraction * total < nominal <= fraction * total
    assert cost_at("macs", graph, widths) == macs


@pytest.mark.parametrize(
    ("name", "full", "widths", "macs"),
    [("cnn_s", 2_464_000, (22, 4), 479_000), ("ds_cnn_s", 2_656_000, (9, 22, 48, 12, 63), 471_000)],
)
def test_published_convolutional_networks_keep_their_nominal_budgets(
    graphs: dict[str, Graph], name: str, full: int, widths: tuple[int, ...], macs: int
) -> None:
    graph = graphs[name]
    widths = (*widths, *cost.full_widths(graph)[len(widths) :])
    assert cost_at("nominal_macs", graph, cost.full_widths(graph)) == full
    assert cost_at("nominal_macs", graph, widths) <= full / 4
    assert cost_at("macs", graph, widths) == pytest.approx(macs, rel=2e-3)


def test_unknown_metrics_and_targets_are_refused(graphs: dict[str, Graph], tmp_path: Path) -> None:
    for metric, words in (
        ("joules", "macs, nominal_macs, flash, arena"),
        ("cycles:z80", "no target 'z80'"),
        (f"cycles:{tmp_path}", "no target"),
    ):
        with pytest.raises(UsageError, match=words):
            cost_at(metric, graphs["dnn_s"], (1, 1, 1))
