"""Solves a chain with the constraint solver OR-Tools CP-SAT; run as a program, it serves one request.

It has a process of its own (see `closing`): CP-SAT crashes in a process that has loaded TensorFlow first.
"""

import math
import pickle
import sys
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from ortools.sat.python import cp_model

from reds.solving.closing import Closing, Request
from reds.solving.lagrangian import ROUNDING
from reds.solving.problem import ChainProblem, FloatArray, IntArray

_VALUE_STEPS = 2**40
"""Resolution of the values as integers: the value of the best width of every group together."""


def close_gap(request: Request) -> Closing:
    """Searches for a choice better than the known one and for a proof that there is none.

    Values are rounded up to integers, so that the bound holds for the values themselves.

    Args:
        request: the chain, its known choice, and the effort allowed.

    Returns:
        The best choice found and the bound proven.
    """
    problem, incumbent = request.problem, request.incumbent
    largest = sum(float(values.max()) for values in problem.values)
    scale = _VALUE_STEPS / largest if largest > 0 else 1.0
    model = cp_model.CpModel()
    groups = [_add_group(model, widths) for widths in problem.widths]
    costs = [
        cp_model.LinearExpr.weighted_sum(group.chosen, unary.tolist())
        for group, unary in zip(groups, problem.costs.unary, strict=True)
    ]
    for index, (first, second) in enumerate(pairwise(groups)):
        _forbid_pairs(model, problem, index, first, second)
        costs.append(_edge_cost(model, problem, index, first, second))
    model.add(cp_model.LinearExpr.sum(costs) <= problem.budget - problem.costs.constant)
    values = [
        cp_model.LinearExpr.weighted_sum(group.chosen, _rounded_up(values, scale))
        for group, values in zip(groups, problem.values, strict=True)
    ]
    model.maximize(cp_model.LinearExpr.sum(values))
    for group, index in zip(groups, incumbent, strict=True):
        for position, literal in enumerate(group.chosen):
            model.add_hint(literal, position == index)
    solver = cp_model.CpSolver()
    solver.parameters.max_time_in_seconds = request.seconds
    solver.parameters.num_workers = request.workers
    solver.parameters.random_seed = request.seed
    status = solver.solve(model)
    if status not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
        return Closing(incumbent, math.inf)
    choice = tuple([solver.boolean_value(literal) for literal in group.chosen].index(True) for group in groups)
    return Closing(max(choice, incumbent, key=problem.value), solver.best_objective_bound / scale * (1 + ROUNDING))


@dataclass(frozen=True)
class _Group:
    width: cp_model.IntVar
    chosen: list[cp_model.IntVar]
    """One literal per allowed width."""


def _add_group(model: cp_model.CpModel, widths: IntArray) -> _Group:
    width = model.new_int_var_from_domain(cp_model.Domain.from_values(widths.tolist()), "")
    chosen = [model.new_bool_var("") for _ in widths]
    model.add_exactly_one(chosen)
    model.add(width == cp_model.LinearExpr.weighted_sum(chosen, widths.tolist()))
    return _Group(width, chosen)


def _forbid_pairs(model: cp_model.CpModel, problem: ChainProblem, index: int, first: _Group, second: _Group) -> None:
    for literal, row in zip(first.chosen, problem.allowed[index], strict=True):
        if not row.all():
            partners = cp_model.Domain.from_values(problem.widths[index + 1][row].tolist())
            model.add_linear_expression_in_domain(second.width, partners).only_enforce_if(literal)


def _edge_cost(
    model: cp_model.CpModel, problem: ChainProblem, index: int, first: _Group, second: _Group
) -> cp_model.LinearExpr:
    costs = problem.costs.edges[index]
    factor = _common_factor(costs, problem.widths[index], problem.widths[index + 1])
    if factor is None:
        return _table_cost(model, costs, first, second)
    largest = int(problem.widths[index][-1] * problem.widths[index + 1][-1])
    product = model.new_int_var(0, largest, "")
    model.add_multiplication_equality(product, [first.width, second.width])
    return factor * product


def _common_factor(costs: IntArray, first: IntArray, second: IntArray) -> int | None:
    """The factor with which the costs are products of the two widths; None where they are not."""
    products = np.multiply.outer(first, second)
    factor = int(costs[-1, -1] // products[-1, -1])
    return factor if np.array_equal(costs, factor * products) else None


def _table_cost(model: cp_model.CpModel, costs: IntArray, first: _Group, second: _Group) -> cp_model.LinearExpr:
    """One literal per pair of widths: the linear relaxation is as tight as the Lagrangian bound."""
    pairs = [[model.new_bool_var("") for _ in second.chosen] for _ in first.chosen]
    for literal, row in zip(first.chosen, pairs, strict=True):
        model.add_exactly_one([*row, literal.negated()])
    for literal, column in zip(second.chosen, zip(*pairs, strict=True), strict=True):
        model.add_exactly_one([*column, literal.negated()])
    return cp_model.LinearExpr.weighted_sum([literal for row in pairs for literal in row], costs.ravel().tolist())


def _rounded_up(values: FloatArray, scale: float) -> list[int]:
    return [math.ceil(value * scale) for value in values.tolist()]


if __name__ == "__main__":
    pickle.dump(close_gap(pickle.load(sys.stdin.buffer)), sys.stdout.buffer)
