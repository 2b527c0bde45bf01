import json
from itertools import product
from typing import get_args

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers

from reds import cost, zoo
from reds.errors import UsageError
from reds.graph import Family, KernelImportance, Ranked
from reds.ranking import rank
from reds.solving import report, solve
from reds.solving.family import Order
from reds.solving.metrics import cost_at
from reds.tracing import trace


def small_ranked(seed: int = 0) -> Ranked:
    model = keras.Sequential(
        [
            layers.Input((6, 5, 1)),
            layers.Conv2D(6, 3, activation="relu"),
            layers.DepthwiseConv2D(3, padding="same"),
            layers.Conv2D(5, 1),
            layers.BatchNormalization(),
            layers.Flatten(),
            layers.Dense(4),
            layers.Dense(3),
        ]
    )
    return rank(model, method="random", seed=seed)


@pytest.fixture(scope="module")
def small() -> Ranked:
    return small_ranked()


@pytest.fixture(scope="module")
def ds_cnn_l() -> Ranked:
    return rank(zoo.build("ds_cnn_l"), method="l1")


def kept(ranked: Ranked, widths: tuple[int, ...], objective: str) -> float:
    kept = [values[:width].sum() for values, width in zip(ranked.importance, widths, strict=True)]
    if objective == "sum":
        return float(sum(kept))
    return float(sum(np.log(value / values[0]) for value, values in zip(kept, ranked.importance, strict=True)))


@settings(max_examples=60, derandomize=True, deadline=None)
@given(
    seed=st.integers(0, 1000),
    budget=st.floats(0.2, 0.95),
    arena=st.sampled_from([None, 90, 120, 150]),
    multiple=st.integers(1, 3),
    objective=st.sampled_from(["product", "sum"]),
)
def test_one_budget_equals_brute_force_over_the_plain_costs(small, seed, budget, arena, multiple, objective) -> None:
    generator = np.random.default_rng(seed)
    ranked = Ranked(
        small.graph,
        tuple(np.sort(generator.random(group.size))[::-1] for group in small.graph.groups),
        "random",
    )
    sizes = cost.full_widths(small.graph)
    limit = int(budget * cost.macs(small.graph, sizes))
    choices = product(*({*range(multiple, size + 1, multiple), size} for size in sizes))
    best = max(
        (
            kept(ranked, widths, objective)
            for widths in choices
            if cost.macs(small.graph, widths) <= limit
            and (arena is None or cost.peak_activation_bytes(small.graph, widths) <= arena)
        ),
        default=None,
    )
    if best is None:
        with pytest.raises(UsageError, match="cannot be met"):
            solve(ranked, [budget], max_arena=arena, multiple=multiple)
        return
    family = solve(ranked, [budget], max_arena=arena, multiple=multiple, objective=objective)
    solution = family.subnetworks[1].solution
    assert solution is not None
    assert solution.value == pytest.approx(best, rel=1e-9)
    assert solution.value == pytest.approx(kept(ranked, family.subnetworks[1].widths, objective), rel=1e-9)
    assert solution.gap <= 1e-9


def check_nested(family: Family) -> None:
    widths = np.array([subnetwork.widths for subnetwork in family.subnetworks])
    assert np.all(np.diff(widths, axis=0) <= 0)


@pytest.mark.parametrize("order", ["bottom_up", "top_down"])
@pytest.mark.parametrize("multiple", [1, 4])
def test_large_network_is_solved_to_the_optimum_in_nested_steps(ds_cnn_l: Ranked, order: Order, multiple: int) -> None:
    lines: list[str] = []
    family = solve(ds_cnn_l, order=order, multiple=multiple, progress=lines.append)

    assert [subnetwork.name for subnetwork in family.subnetworks] == ["100%", "75%", "50%", "25%"]
    assert family.subnetworks[0].widths == (276,) * 6
    check_nested(family)
    total = cost.macs(ds_cnn_l.graph, (276,) * 6)
    for subnetwork, fraction in zip(family.subnetworks[1:], (0.75, 0.5, 0.25), strict=True):
        assert 0.97 * fraction * total < cost.macs(ds_cnn_l.graph, subnetwork.widths) <= fraction * total
        assert subnetwork.solution is not None and subnetwork.solution.gap <= 1e-4
        assert all(width % multiple == 0 for width in subnetwork.widths)
    assert len(lines) == 3


def test_first_of_the_order_is_the_best_alone(ds_cnn_l: Ranked) -> None:
    alone = solve(ds_cnn_l, [0.25]).subnetworks[1]
    bottom_up = solve(ds_cnn_l, [0.25, 0.5]).subnetworks[2]
    top_down = solve(ds_cnn_l, [0.25, 0.5], order="top_down").subnetworks[2]
    assert bottom_up.widths == alone.widths
    assert top_down.solution.value <= alone.solution.value


def test_budgets_may_be_whole_numbers_in_any_order(small: Ranked) -> None:
    assert cost.macs(small.graph, (6, 5, 4)) == 1908
    family = solve(small, [1000, 0.75, 1200.0])
    assert [subnetwork.name for subnetwork in family.subnetworks] == ["100%", "75%", "macs=1200", "macs=1000"]
    check_nested(family)


def test_memory_alone_can_be_the_limit(small: Ranked) -> None:
    family = solve(small, [1.0], max_arena=100)
    assert [subnetwork.name for subnetwork in family.subnetworks] == ["100%", "arena=100"]
    assert cost.peak_activation_bytes(small.graph, family.subnetworks[1].widths) <= 100


@pytest.mark.parametrize("metric", ["flash", "arena", "nominal_macs", "cycles:cortex-m4"])
@pytest.mark.parametrize("order", ["bottom_up", "top_down", "joint"])
def test_every_metric_can_be_budgeted_in_every_order(small: Ranked, metric: str, order: Order) -> None:
    family = solve(small, [0.8, 0.9], metric=metric, order=order)
    check_nested(family)
    total = cost_at(metric, small.graph, cost.full_widths(small.graph))
    for subnetwork, fraction in zip(family.subnetworks[1:], (0.9, 0.8), strict=True):
        assert cost_at(metric, small.graph, subnetwork.widths) <= fraction * total
        assert subnetwork.solution is not None
        assert subnetwork.solution.metric == metric
        if order != "joint":
            assert subnetwork.solution.gap <= 1e-4


@settings(max_examples=40, derandomize=True, deadline=None)
@given(
    seed=st.integers(0, 1000),
    metric=st.sampled_from(["macs", "nominal_macs", "flash", "arena", "cycles:cortex-m4"]),
    budget=st.floats(0.4, 1.0, exclude_max=True),
    other=st.sampled_from(["macs", "nominal_macs", "arena"]),
    limit=st.floats(0.4, 0.95),
    kernels=st.booleans(),
    objective=st.sampled_from(["product", "sum"]),
)
def test_two_limits_equal_brute_force_over_the_plain_costs(
    small, seed, metric, budget, other, limit, kernels, objective
) -> None:
    graph = small.graph
    generator = np.random.default_rng(seed)
    scores = {"conv2d_1": generator.random((6, 5))}
    units = tuple(np.sort(generator.random(group.size))[::-1] for group in graph.groups)
    name = next(node.name for node in graph.nodes if getattr(node.operation, "kernel_size", None) == (1, 1))
    ranked = Ranked(graph, units, "random", kernels=KernelImportance(units, {name: scores["conv2d_1"]}))
    sizes = cost.full_widths(graph)
    most = {
        metric: int(budget * cost_at(metric, graph, sizes)),
        other: int(min(limit, budget if other == metric else 1) * cost_at(other, graph, sizes)),
    }

    def value(widths: tuple[int, ...]) -> float:
        result = kept(ranked, widths, objective)
        if not kernels:
            return result
        block = scores["conv2d_1"][: widths[0], : widths[1]].sum()
        return result + (block if objective == "sum" else float(np.log(block / scores["conv2d_1"][0, 0])))

    choices = product(*(range(1, size + 1) for size in sizes))
    best = max(
        (value(widths) for widths in choices if all(cost_at(m, graph, widths) <= most[m] for m in most)), default=None
    )
    arguments = {"metric": metric, "limits": {other: limit}, "kernels": kernels, "objective": objective}
    if best is None:
        with pytest.raises(UsageError, match="cannot be met"):
            solve(ranked, [budget], **arguments)
        return
    solution = solve(ranked, [budget], **arguments).subnetworks[1].solution
    assert solution is not None
    assert solution.value == pytest.approx(best, rel=1e-9)
    assert solution.gap <= 1e-4


def test_joint_order_is_no_worse_than_the_others(ds_cnn_l: Ranked) -> None:
    families = {order: solve(ds_cnn_l, [0.2, 0.5], order=order, objective="sum") for order in get_args(Order)}
    values = {
        order: sum(one.solution.value for one in family.subnetworks[1:] if one.solution is not None)
        for order, family in families.items()
    }
    joint = families["joint"].joint
    assert joint is not None
    assert joint.value == pytest.approx(values["joint"])
    assert max(values.values()) <= joint.value * (1 + 1e-12) <= joint.bound * (1 + 1e-9)
    assert joint.gap <= 1e-4


def test_weights_decide_between_budgets(small: Ranked) -> None:
    for weights in ([100.0, 1.0], [1.0, 100.0]):
        family = solve(small, [0.4, 0.8], order="joint", weights=weights)
        heavy = family.subnetworks[2 - weights.index(100.0)]
        alone = solve(small, [0.4 if weights[0] > 1 else 0.8]).subnetworks[1]
        assert heavy.solution is not None and alone.solution is not None
        assert heavy.solution.value == pytest.approx(alone.solution.value)


def test_minimum_can_be_given_per_group(small: Ranked) -> None:
    name = small.graph.groups[1].name
    assert solve(small, [0.5], minimum={name: 4}).subnetworks[1].widths[1] >= 4
    assert solve(small, [0.5], minimum={name: 0.9}).subnetworks[1].widths[1] == 5


def test_minimum_is_a_number_or_a_fraction_of_channels(small: Ranked) -> None:
    assert min(solve(small, [0.6], minimum=3).subnetworks[1].widths) >= 3
    assert solve(small, [0.6], minimum=0.5).subnetworks[1].widths >= (3, 3, 2)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"budgets": [0.0]}, "`budgets` must be"),
        ({"budgets": [1.5]}, "`budgets` must be"),
        ({"budgets": [0.01]}, "no subnetwork needs less than 2"),
        ({"max_arena": 10}, "no subnetwork needs less than 36 bytes"),
        ({"metric": "joules"}, "`metric`"),
        ({"order": "sideways"}, "`order`"),
        ({"multiple": 0}, "`multiple`"),
        ({"minimum": 0}, "`minimum`"),
        ({"minimum": {"nowhere": 2}}, "channel groups"),
        ({"limits": {"joules": 3}}, "`metric`"),
        ({"limits": {"flash": 1.5}}, "`limits` must be"),
        ({"limits": {"flash": 100}}, "no subnetwork needs less than"),
        ({"weights": [1.0]}, "`weights`"),
        ({"kernels": True}, "`kernels`"),
    ],
)
def test_bad_arguments_are_refused(small: Ranked, arguments, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        solve(small, **arguments)


def test_a_network_without_channels_to_narrow_is_refused() -> None:
    graph = trace(keras.Sequential([layers.Input((4,)), layers.Dense(3)]))
    with pytest.raises(UsageError, match="can be narrowed"):
        solve(Ranked(graph, (), "random"))


def test_report_holds_every_budget_and_what_the_search_took(small: Ranked) -> None:
    family = solve(small)
    parsed = json.loads(report(family).to_json())

    assert [one["name"] for one in parsed["budgets"]] == ["25%", "50%", "75%"]
    for one, subnetwork in zip(parsed["budgets"], family.subnetworks[:0:-1], strict=True):
        assert tuple(one["widths"]) == subnetwork.widths
        assert one["macs"] == cost.macs(small.graph, subnetwork.widths) <= one["budget"]
        assert one["arena_bytes"] == cost.peak_activation_bytes(small.graph, subnetwork.widths)
        assert one["value"] <= one["bound"] and one["gap"] == 0
    assert 0 < parsed["seconds"] < 10
    assert parsed["peak_memory_bytes"] > 1_000_000
