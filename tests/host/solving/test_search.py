import multiprocessing
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reds.solving.closing import Request
from reds.solving.closing import close_gap as closing_in_own_process
from reds.solving.cp_sat import close_gap
from reds.solving.lagrangian import promising, solve_dual
from reds.solving.problem import ChainProblem, CostTables
from reds.solving.search import Best, search

CP_SAT_ONLY = 0
"""Labels per group that leave everything to CP-SAT."""

SECONDS = 20.0


@st.composite
def chains(draw: st.DrawFn, product_costs: bool = True) -> ChainProblem:
    """Small chains: costs as of layers or arbitrary tables, ties in value and cost, forbidden pairs."""
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    groups = draw(st.integers(1, 4))
    sizes = [draw(st.integers(1, 5)) for _ in range(groups)]
    widths = tuple(np.sort(generator.choice(np.arange(1, 9), size, replace=False)) for size in sizes)
    whole = draw(st.booleans())
    values = tuple(
        np.cumsum(generator.integers(0, 4, size) if whole else generator.random(size)).astype(np.float64)
        for size in sizes
    )
    unary = tuple(generator.integers(0, 5) * allowed for allowed in widths)
    edges = tuple(
        generator.integers(0, 4) * np.multiply.outer(widths[i], widths[i + 1])
        if product_costs
        else generator.integers(0, 40, (sizes[i], sizes[i + 1]))
        for i in range(groups - 1)
    )
    allowed = tuple(
        generator.random((sizes[i], sizes[i + 1])) < draw(st.sampled_from([0.6, 1.0])) for i in range(groups - 1)
    )
    costs = CostTables(int(generator.integers(0, 10)), unary, edges)
    return ChainProblem(widths, values, costs, allowed, draw(st.integers(0, 250)))


def brute_force(problem: ChainProblem) -> float | None:
    """Value of the best choice."""
    choices = product(*(range(len(widths)) for widths in problem.widths))
    return max((problem.value(choice) for choice in choices if problem.is_feasible(choice)), default=None)


def check(problem: ChainProblem, best: Best | None) -> None:
    expected = brute_force(problem)
    if expected is None or best is None:
        assert best is None and expected is None
        return
    choice = problem.choice_of(best.widths)
    assert problem.widths_of(choice) == best.widths
    assert problem.is_feasible(choice)
    assert best.cost == problem.cost(choice)
    assert best.value == pytest.approx(problem.value(choice), rel=1e-12)
    assert best.value == pytest.approx(expected, rel=1e-9)
    assert best.value <= best.bound <= expected * (1 + 1e-9)


@settings(max_examples=400, derandomize=True, deadline=None)
@given(st.one_of(chains(), chains(product_costs=False)))
def test_search_equals_brute_force(problem: ChainProblem) -> None:
    check(problem, search(problem, SECONDS))


@pytest.fixture(scope="module")
def solver_process() -> Iterator[Executor]:
    """CP-SAT must not run in a process that has loaded TensorFlow, as the one of the tests may have."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as executor:
        yield executor


@settings(max_examples=80, derandomize=True, deadline=None)
@given(st.one_of(chains(), chains(product_costs=False)))
def test_cp_sat_alone_equals_brute_force(solver_process: Executor, problem: ChainProblem) -> None:
    expected = brute_force(problem)
    if expected is None:
        return
    choices = product(*(range(len(widths)) for widths in problem.widths))
    worst = min(filter(problem.is_feasible, choices), key=problem.value)
    closing = solver_process.submit(close_gap, Request(problem, worst, SECONDS)).result()
    assert problem.is_feasible(closing.choice)
    assert problem.value(closing.choice) == pytest.approx(expected, rel=1e-9)
    assert expected <= closing.bound <= expected + 1e-6


@settings(max_examples=200, derandomize=True, deadline=None)
@given(st.one_of(chains(), chains(product_costs=False)))
def test_bound_holds_and_no_width_of_a_best_choice_is_ruled_out(problem: ChainProblem) -> None:
    expected = brute_force(problem)
    if expected is None:
        return
    dual = solve_dual(problem)
    assert dual.bound >= expected
    keep = promising(problem, dual.multiplier, expected)
    assert brute_force(problem.restrict(keep)) == pytest.approx(expected, rel=1e-12)


def test_cp_sat_runs_beside_tensorflow() -> None:
    import tensorflow

    assert tensorflow.constant(1.0) is not None
    problem = knapsack([3, 4, 5], [3.0, 4.0, 6.0], 8)
    closing = closing_in_own_process(Request(problem, (0, 0, 0), SECONDS))
    assert closing.choice == (1, 0, 1)
    assert closing.bound == pytest.approx(9.0)


def published_size(importance: list[np.ndarray], fraction: float) -> ChainProblem:
    """The chain of DS-CNN L: 6 groups of 276 channels."""
    widths = np.arange(1, 277)
    unary = [10_585 * widths, *[585 * widths] * 4, 12 * widths]
    edges = tuple(65 * np.multiply.outer(widths, widths) for _ in range(5))
    total = sum(int(costs[-1]) for costs in unary) + sum(int(costs[-1, -1]) for costs in edges)
    return ChainProblem(
        (widths,) * 6,
        tuple(np.cumsum(np.sort(values)[::-1]) for values in importance),
        CostTables(0, tuple(unary), edges),
        tuple(np.ones((276, 276), np.bool_) for _ in range(5)),
        int(fraction * total),
    )


@pytest.mark.parametrize("fraction", [0.25, 0.5, 0.75])
def test_published_size_is_solved_to_proven_optimality(fraction: float) -> None:
    generator = np.random.default_rng(0)
    problem = published_size([generator.random(276) for _ in range(6)], fraction)
    by_labels = search(problem, SECONDS)
    by_cp_sat = search(problem, SECONDS, labels=CP_SAT_ONLY)
    assert by_labels is not None and by_cp_sat is not None
    assert by_labels.bound == by_labels.value
    assert by_cp_sat.value == pytest.approx(by_labels.value, rel=1e-9)
    assert by_cp_sat.bound == pytest.approx(by_labels.value, rel=1e-6)


def knapsack(weights: list[int], profits: list[float], capacity: int) -> ChainProblem:
    """Independent items as groups of width 0 or 1."""
    count = len(weights)
    zero_one = np.array([0, 1])
    return ChainProblem(
        (zero_one,) * count,
        tuple(np.array([0.0, profit]) for profit in profits),
        CostTables(0, tuple(weight * zero_one for weight in weights), (np.zeros((2, 2), np.int64),) * (count - 1)),
        (np.ones((2, 2), np.bool_),) * (count - 1),
        capacity,
    )


def solved(problem: ChainProblem) -> Best:
    best = search(problem, SECONDS)
    assert best is not None
    return best


def bottom_up(weights: list[int], profits: list[float], capacity: int) -> float:
    """Value at the capacity after the best choice for half of it was fixed."""
    half = solved(knapsack(weights, profits, capacity // 2))
    problem = knapsack(weights, profits, capacity)
    return solved(problem.between(half.widths, (1,) * len(weights))).value


def top_down(weights: list[int], profits: list[float], capacity: int) -> float:
    """Value at half of the capacity among the items of the best choice for all of it."""
    whole = solved(knapsack(weights, profits, capacity))
    return solved(knapsack(weights, profits, capacity // 2).between((0,) * len(weights), whole.widths)).value


def test_tight_instance_of_bottom_up_loses_a_third() -> None:
    weights, profits = [101, 100, 100, 100], [10.01, 10.0, 10.0, 10.0]
    assert solved(knapsack(weights, profits, 300)).value == pytest.approx(30.0)
    assert bottom_up(weights, profits, 300) == pytest.approx(20.01)


def test_tight_instance_of_top_down_loses_half() -> None:
    weights, profits = [100, 100, 100, 150], [10.01, 10.01, 10.01, 20.0]
    assert solved(knapsack(weights, profits, 150)).value == pytest.approx(20.0)
    assert top_down(weights, profits, 300) == pytest.approx(10.01)


@settings(max_examples=100, derandomize=True, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 50), st.integers(1, 20)), min_size=1, max_size=7))
def test_orders_keep_their_guarantees(items: list[tuple[int, int]]) -> None:
    """Corti et al. 2023: 2/3 bottom-up and 1/2 top-down where no item weighs more than half of the capacity."""
    weights = [weight for weight, _ in items]
    profits = [float(profit) for _, profit in items]
    best = solved(knapsack(weights, profits, 100)).value
    best_half = solved(knapsack(weights, profits, 50)).value
    assert bottom_up(weights, profits, 100) >= best * 2 / 3 - 1e-9
    assert top_down(weights, profits, 100) >= best_half / 2 - 1e-9
