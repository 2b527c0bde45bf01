"""The search for width and depth together."""

import itertools
import math
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers
from small_run import small_residual_model

from reds import cost
from reds.emitting import emit
from reds.errors import UsageError
from reds.exits import attach_exits
from reds.finetuning.statistics import estimate_batch_norms
from reds.finetuning.weights import weights_of
from reds.graph import Family, Ranked, Subnetwork, Supernet
from reds.shallow import subnetwork_network
from reds.solving import report, solve
from reds.solving.depth import candidate_cost, choose, pareto_front, solve_with_exits, with_subnetworks
from reds.solving.emitted import verify_limits
from reds.tracing import trace

TAPS = ("conv", "pw_1")

# Multiply-accumulates and accuracies with a frozen backbone (De Leon and Atienza, arXiv 2204.10546).
PUBLISHED = {
    "conv1": (3_096_608, 75.7),
    "block1": (4_313_120, 78.2),
    "block2": (2_552_864, 80.9),
    "block3": (3_308_576, 82.0),
    "block4": (2_921_504, 84.0),
    "block5": (3_594_272, 84.88),
    "block6": (3_634_592, 85.7),
    "block7": (4_265_888, 85.85),
    "block8": (4_897_184, 86.2),
    "block9": (5_528_480, 86.25),
}


@pytest.fixture(scope="module")
def ranked() -> Ranked:
    blocks = []
    for number, channels in enumerate((8, 6), start=1):
        blocks += [
            layers.DepthwiseConv2D(3, padding="same", activation="relu", name=f"dw_{number}"),
            layers.Conv2D(channels, 1, activation="relu", name=f"pw_{number}"),
        ]
    model = keras.Sequential(
        [
            layers.Input((8, 6, 2)),
            layers.Conv2D(8, 3, padding="same", activation="relu", name="conv"),
            *blocks,
            layers.GlobalAveragePooling2D(name="pool"),
            layers.Dense(3, activation="softmax", name="classes"),
        ]
    )
    graph = trace(model)
    generator = np.random.default_rng(0)
    importance = tuple(np.sort(generator.exponential(size=group.size))[::-1] for group in graph.groups)
    return attach_exits(Ranked(graph, importance, "random"), TAPS, head="compact")


def _value(importance: Sequence[np.ndarray], widths: Sequence[int]) -> float:
    kept = (values[:width].sum() / values.sum() for values, width in zip(importance, widths, strict=True))
    return sum(math.log(share) for share in kept)


def test_published_cuts_that_cost_more_than_better_ones_drop_out() -> None:
    names = list(PUBLISHED)
    costs, accuracies = zip(*PUBLISHED.values(), strict=True)
    front = [names[index] for index in pareto_front(costs, accuracies)]
    assert front == ["block2", "block4", "block5", "block6", "block7", "block8", "block9"]


@pytest.mark.parametrize("metric", ["macs", "flash", "arena", "cycles:cortex-m4"])
def test_each_exit_gets_the_best_widths_that_pay_for_its_head(ranked: Ranked, metric: str) -> None:
    full = Subnetwork("full", cost.full_widths(ranked.graph))
    whole = Family(ranked.graph, ranked.importance, ranked.exits, (full,))
    total = candidate_cost(whole, full, metric)
    budgets = [3 * total // 4, 9 * total // 10]
    family = solve_with_exits(ranked, budgets, metric, order="top_down", multiple=2)
    found = {(one.exit, one.solution.budget): one for one in family.subnetworks if one.solution is not None}
    largest = max(budgets)
    for exit in range(len(TAPS) + 1):
        network = subnetwork_network(family, Subnetwork("", full.widths, exit))
        importance = [ranked.importance[group] for group in network.groups]
        choices = [range(2, group.size + 1, 2) for group in network.graph.groups]
        values = [
            _value(importance, widths)
            for widths in itertools.product(*choices)
            if candidate_cost(family, Subnetwork("", network.widen(widths, full.widths), exit), metric) <= largest
        ]
        if not values:
            assert all(one.exit != exit for one in family.subnetworks[1:])
            continue
        best = max((one for one in found.values() if one.exit == exit), key=lambda one: one.solution.budget)
        assert candidate_cost(family, best, metric) <= best.solution.budget
        assert _value(importance, network.narrow(best.widths)) == pytest.approx(max(values))


def test_a_candidate_is_named_by_its_budget_and_its_exit(ranked: Ranked) -> None:
    family = solve_with_exits(ranked, (0.6, 0.9, 1.0))
    names = [one.name for one in family.subnetworks]
    assert names[0] == "100%"
    assert set(names) >= {"60%", "90%", "60%@exit_pw_1"}
    assert len(set(names)) == len(names)
    assert "100%@exit_conv" not in names, "a smaller budget holds all of it"


def test_a_budget_need_not_be_met_by_every_exit_but_by_one(ranked: Ranked) -> None:
    costs = {}
    for exit in range(len(TAPS) + 1):
        least = Subnetwork("", (1, 1, 1), exit)
        costs[exit] = candidate_cost(Family(ranked.graph, (), ranked.exits, (least,)), least, "macs")
    assert costs[0] < costs[1], "the head of the first exit costs more than what is behind it"
    family = solve_with_exits(ranked, (costs[0], costs[1]))
    assert {one.exit for one in family.subnetworks if one.name.startswith(f"macs={costs[0]}")} == {0}
    with pytest.raises(UsageError, match="cannot be met"):
        solve_with_exits(ranked, (costs[0] - 1, 0.9))
    with pytest.raises(UsageError, match="objective"):
        solve_with_exits(ranked, (0.5,), objective="difference")


def _supernet(family: Family) -> Supernet:
    x = np.random.default_rng(1).normal(size=(40, *family.graph.input_shape)).astype(np.float32)
    norms = []
    for one in family.subnetworks:
        network = subnetwork_network(family, one)
        widths = network.narrow(one.widths)
        norms.append(estimate_batch_norms(network.graph, [x], weights_of(network.graph), widths))
    return Supernet(family, tuple(norms))


@pytest.mark.parametrize("metric", ["macs", "flash", "arena", "cycles:cortex-m4", "nominal_macs"])
def test_emitted_plans_keep_the_budgets(ranked: Ranked, metric: str, tmp_path: Path) -> None:
    family = solve_with_exits(ranked, (0.7, 0.9), metric, limits={"arena": 0.95})
    assert {one.exit for one in family.subnetworks[1:]} >= {0, 2} or metric == "flash"
    samples = np.random.default_rng(2).normal(size=(30, *family.graph.input_shape)).astype(np.float32)
    used = with_subnetworks(_supernet(family), range(len(family.subnetworks)))
    path = emit(used, tmp_path / "model.tflite", "int8", samples)
    verify_limits(path, used.family)


def test_the_most_accurate_candidate_of_each_budget_is_kept(ranked: Ranked) -> None:
    family = solve_with_exits(ranked, (0.6, 0.75, 0.9))
    names = [one.name for one in family.subnetworks]
    accuracies = [0.5] * len(names)
    accuracies[names.index("60%@exit_pw_1")] = 0.8
    accuracies[names.index("75%")] = 0.7
    accuracies[names.index("90%")] = 0.9
    chosen = choose(family, accuracies)
    assert [one.name for one in chosen if one.kept] == ["100%", "90%", "60%@exit_pw_1"]
    left = with_subnetworks(_supernet(family), [index for index, one in enumerate(chosen) if one.kept])
    assert [leave.name for leave in left.family.exits] == ["exit_pw_1"]
    assert [one.exit for one in left.family.subnetworks] == [0, 0, 1]
    assert not any("exit_conv" in node for norms in left.batch_norms for node in norms)


@pytest.fixture(scope="module")
def residual() -> Ranked:
    graph = trace(small_residual_model())
    generator = np.random.default_rng(0)
    importance = tuple(np.sort(generator.exponential(size=group.size))[::-1] for group in graph.groups)
    return Ranked(graph, importance, "random")


@pytest.mark.parametrize("metric", ["macs", "flash", "arena", "cycles:cortex-m4"])
def test_each_set_of_skipped_blocks_gets_the_best_widths(residual: Ranked, metric: str) -> None:
    full = cost.full_widths(residual.graph)
    total = candidate_cost(Family(residual.graph, (), (), ()), Subnetwork("", full), metric)
    budgets = (4 * total // 10, 7 * total // 10)
    family = solve_with_exits(residual, budgets, metric, order="top_down", multiple=4, skip_blocks=("auto",))
    widest = {one.skips: one for one in family.subnetworks[:0:-1]}
    sets = [chosen for size in range(4) for chosen in itertools.combinations(("add_2b", "add_1b", "add_1a"), size)]
    assert len(sets) == 8
    for skips in sets:
        network = subnetwork_network(family, Subnetwork("", full, skips=skips))
        importance = [residual.importance[group] for group in network.groups]
        choices = [range(4, group.size + 1, 4) for group in network.graph.groups]
        values = [
            _value(importance, widths)
            for widths in itertools.product(*choices)
            if candidate_cost(family, Subnetwork("", network.widen(widths, full), skips=skips), metric) <= budgets[1]
        ]
        best = widest[skips]
        assert candidate_cost(family, best, metric) <= best.solution.budget
        assert _value(importance, network.narrow(best.widths)) == pytest.approx(max(values))
        same = solve(residual, (best.solution.budget,), metric, multiple=4, skip=skips)
        assert same.subnetworks[1].widths == best.widths


def test_candidates_are_named_by_what_they_skip_and_nested_among_themselves(residual: Ranked) -> None:
    family = solve_with_exits(residual, (0.3, 0.6, 1.0), skip_blocks=("add_1a", "add_2b"))
    assert [one.name for one in family.subnetworks[:3]] == ["100%", "60%", "30%"]
    assert family.subnetworks[3].name == "100%-add_1a", "no smaller budget holds all of it"
    assert {one.skips for one in family.subnetworks} == {(), ("add_1a",), ("add_2b",), ("add_1a", "add_2b")}
    for smaller, larger in itertools.pairwise(family.subnetworks[:0:-1]):
        if smaller.skips == larger.skips:
            assert np.less_equal(smaller.widths, larger.widths).all()
    table = choose(family, [0.5 + 0.01 * index for index in range(len(family.subnetworks))])
    assert table[3].skips == ("add_1a",)


def test_a_report_of_the_search_has_the_costs_without_the_blocks(residual: Ranked) -> None:
    family = solve(residual, (0.5,), skip=("add_1a",))
    row = report(family).budgets[0]
    assert row.skips == ("add_1a",)
    assert row.macs == row.cost == candidate_cost(family, family.subnetworks[1], "macs") <= row.budget
    assert row.budget == candidate_cost(family, family.subnetworks[0], "macs") // 2


@pytest.mark.parametrize("names", [("add_2a",), ("auto", "add_1a")])
def test_blocks_that_cannot_be_skipped_are_named(residual: Ranked, names: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match=rf"called '{names[0]}'\. Those that can: add_1a, add_1b, add_2b"):
        solve_with_exits(residual, skip_blocks=names)
