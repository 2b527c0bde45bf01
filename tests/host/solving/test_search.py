import multiprocessing
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_problems import SHAPES, brute_force, choices, problems, random_problem, solve_here

from reds.solving.closing import Request
from reds.solving.closing import close_gap as closing_in_own_process
from reds.solving.cp_sat import close_gap
from reds.solving.joint import search_jointly
from reds.solving.lagrangian import promising, solve_dual
from reds.solving.nesting import bound_nested
from reds.solving.problem import Limit, Problem, Terms
from reds.solving.search import Best, Effort, search

EFFORT = Effort(20.0)
CP_SAT_ONLY = Effort(20.0, labels=0)
NO_DYNAMIC_PROGRAM = Effort(20.0, sweep=0)


@pytest.fixture(scope="module")
def solver_process() -> Iterator[Executor]:
    """OR-Tools must not run in a process that has loaded TensorFlow, as the one of the tests may have."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn, initializer=solve_here) as executor:
        yield executor


def check(problem: Problem, best: Best | None) -> None:
    expected = brute_force(problem)
    if expected is None or best is None:
        assert best is None and expected is None
        return
    choice = problem.choice_of(best.widths)
    assert problem.widths_of(choice) == best.widths
    assert problem.is_feasible(choice)
    assert best.costs == tuple(limit.costs.of(choice) for limit in problem.limits)
    assert best.value == pytest.approx(problem.values.of(choice), rel=1e-12)
    assert best.value == pytest.approx(expected, rel=1e-9)
    assert best.value <= best.bound <= expected * (1 + 1e-9)


@pytest.mark.parametrize("shape", SHAPES)
def test_search_equals_brute_force(shape: str) -> None:
    @settings(max_examples=400, derandomize=True, deadline=None)
    @given(problems(shape=shape))
    def equals(problem: Problem) -> None:
        check(problem, search(problem, EFFORT))

    equals()


@settings(max_examples=200, derandomize=True, deadline=None)
@given(st.sampled_from([2, 3]).flatmap(lambda limits: problems(limits=limits)))
def test_search_within_several_limits_equals_brute_force(solver_process: Executor, problem: Problem) -> None:
    check(problem, solver_process.submit(search, problem, EFFORT).result())


@settings(max_examples=60, derandomize=True, deadline=None)
@given(problems(), st.sampled_from([CP_SAT_ONLY, NO_DYNAMIC_PROGRAM]))
def test_search_without_its_exact_parts_equals_brute_force(
    solver_process: Executor, problem: Problem, effort: Effort
) -> None:
    check(problem, solver_process.submit(search, problem, effort).result())


@settings(max_examples=100, derandomize=True, deadline=None)
@given(problems())
def test_cp_sat_alone_equals_brute_force(solver_process: Executor, problem: Problem) -> None:
    expected = brute_force(problem)
    worst = min(filter(problem.is_feasible, choices(problem)), key=problem.values.of, default=None)
    closing = solver_process.submit(close_gap, Request(problem, worst, EFFORT.seconds)).result()
    if expected is None:
        assert closing.choice is None and closing.bound == -np.inf
        return
    assert problem.is_feasible(closing.choice)
    assert problem.values.of(closing.choice) == pytest.approx(expected, rel=1e-9)
    assert expected <= closing.bound <= expected + 1e-6


@settings(max_examples=300, derandomize=True, deadline=None)
@given(problems())
def test_bound_holds_and_no_width_of_a_best_choice_is_ruled_out(problem: Problem) -> None:
    expected = brute_force(problem)
    if expected is None:
        return
    dual = solve_dual(problem)
    assert dual.bound >= expected
    keep = promising(problem, dual.prices, expected)
    assert brute_force(problem.restrict(keep)) == pytest.approx(expected, rel=1e-12)


def falling_budgets(seed: int, shape: str, pair_values: bool, limits: int) -> list[Problem]:
    """The same network under smaller and smaller budgets."""
    generator = np.random.default_rng(seed)
    groups = int(generator.integers(1, 4))
    largest = random_problem(generator, shape, groups, limits, pair_values=pair_values)
    return [
        replace(largest, limits=tuple(replace(one, budget=int(one.budget * part)) for one in largest.limits))
        for part in (1.0, 0.7, 0.4)
    ]


@settings(max_examples=150, derandomize=True, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from(SHAPES), st.booleans())
def test_prices_on_the_nesting_bound_it_and_rule_out_no_best_choice(seed: int, shape: str, pair_values: bool) -> None:
    levels = falling_budgets(seed, shape, pair_values, limits=1)
    if any(brute_force(level) is None for level in levels):
        return
    weights = [1.0] * len(levels)
    expected = nested_brute_force(levels, weights)
    bounds = bound_nested(levels, expected)
    assert all(one.bound >= expected for one in bounds)
    assert nested_brute_force(list(bounds[-1].restrict(levels, expected)), [1.0] * len(levels)) == pytest.approx(
        expected
    )


@settings(max_examples=100, derandomize=True, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from(SHAPES), st.booleans(), st.integers(1, 2))
def test_joint_search_equals_brute_force(
    solver_process: Executor, seed: int, shape: str, pair_values: bool, limits: int
) -> None:
    levels = falling_budgets(seed, shape, pair_values, limits)
    weights = [1.0, 2.0, 0.5]
    alone = [solver_process.submit(search, level, EFFORT).result() for level in levels]
    if None in alone:
        return
    joint = solver_process.submit(search_jointly, levels, alone, weights, EFFORT).result()
    expected = nested_brute_force(levels, weights)
    assert joint.value == pytest.approx(expected, rel=1e-9)
    assert joint.value <= joint.bound <= expected * (1 + 1e-6)
    for level, best in zip(levels, joint.bests, strict=True):
        assert level.is_feasible(level.choice_of(best.widths))
    for larger, smaller in pairwise(joint.bests):
        assert all(np.greater_equal(larger.widths, smaller.widths))


def nested_brute_force(levels: list[Problem], weights: list[float]) -> float:
    """Largest weighted sum of values of nested choices, by falling budget."""
    best = {(0,) * len(levels[0]): 0.0}
    for level, weight in reversed(list(zip(levels, weights, strict=True))):
        own = {}
        for choice in filter(level.is_feasible, choices(level)):
            widths = level.widths_of(choice)
            smaller = [value for other, value in best.items() if all(np.less_equal(other, widths))]
            own[widths] = weight * level.values.of(choice) + max(smaller, default=-np.inf)
        best = own
    return max(best.values())


def test_cp_sat_runs_beside_tensorflow() -> None:
    import tensorflow

    assert tensorflow.constant(1.0) is not None
    problem = knapsack([3, 4, 5], [3.0, 4.0, 6.0], 8)
    closing = closing_in_own_process(Request(problem, (0, 0, 0), EFFORT.seconds))
    assert closing.choice == (1, 0, 1)
    assert closing.bound == pytest.approx(9.0)


def published_size(importance: list[np.ndarray], fraction: float) -> Problem:
    """The chain of DS-CNN L: 6 groups of 276 channels."""
    widths = np.arange(1, 277)
    unary = [10_585 * widths, *[585 * widths] * 4, 12 * widths]
    costs = Terms(tuple(unary), {edge: 65 * np.multiply.outer(widths, widths) for edge in pairwise(range(6))})
    values = Terms(tuple(np.cumsum(np.sort(values)[::-1]) for values in importance), {})
    return Problem((widths,) * 6, values, (Limit("macs", costs, int(fraction * costs.largest())),), {})


@pytest.mark.parametrize("fraction", [0.25, 0.5, 0.75])
def test_published_size_is_solved_to_proven_optimality(fraction: float) -> None:
    generator = np.random.default_rng(0)
    problem = published_size([generator.random(276) for _ in range(6)], fraction)
    by_labels = search(problem, EFFORT)
    by_cp_sat = search(problem, CP_SAT_ONLY)
    assert by_labels is not None and by_cp_sat is not None
    assert by_labels.bound == by_labels.value
    assert by_cp_sat.value == pytest.approx(by_labels.value, rel=1e-9)
    assert by_cp_sat.bound == pytest.approx(by_labels.value, rel=1e-6)


def knapsack(weights: list[int], profits: list[float], capacity: int) -> Problem:
    """Independent items as groups of width 0 or 1."""
    zero_one = np.array([0, 1])
    costs = Terms(tuple(weight * zero_one for weight in weights), {})
    values = Terms(tuple(np.array([0.0, profit]) for profit in profits), {})
    return Problem((zero_one,) * len(weights), values, (Limit("weight", costs, capacity),), {})


def solved(problem: Problem) -> Best:
    best = search(problem, EFFORT)
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
