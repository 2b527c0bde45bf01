"""Solves a problem with the constraint solver OR-Tools CP-SAT; run as a program, it serves one request.

It has a process of its own (see `closing`): CP-SAT crashes in a process that has loaded TensorFlow first.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from ortools.sat.python import cp_model

from reds.own_process import answer
from reds.solving.closing import Closing, Request
from reds.solving.lagrangian import ROUNDING
from reds.solving.problem import Choice, Edge, FloatArray, IntArray, Limit, Problem

_VALUE_STEPS = 2**40
"""Resolution of the values as integers: the largest values of all groups and pairs together."""


def close_gap(request: Request) -> Closing:
    """Searches for a choice better than the known one and for a proof that there is none.

    Values are rounded up to integers, so that the bound holds for the values themselves.

    Args:
        request: the problem, its known choice, and the effort allowed.

    Returns:
        The best choice found and the bound proven.
    """
    problem = request.problem
    largest = problem.values.largest()
    scale = _VALUE_STEPS / largest if largest > 0 else 1.0
    network = _Network(problem)
    for limit in problem.limits:
        network.keep(limit)
    network.maximize(scale)
    if request.incumbent is not None:
        network.hint(request.incumbent)
    solver = cp_model.CpSolver()
    solver.parameters.max_time_in_seconds = request.seconds
    solver.parameters.num_workers = request.workers
    solver.parameters.random_seed = request.seed
    status = solver.solve(network.model)
    if status == cp_model.INFEASIBLE:
        return Closing(None, -math.inf)
    if status not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
        return Closing(request.incumbent, math.inf)
    known = [network.choice(solver)] + ([] if request.incumbent is None else [request.incumbent])
    return Closing(max(known, key=problem.values.of), solver.best_objective_bound / scale * (1 + ROUNDING))


@dataclass(frozen=True)
class _Group:
    width: cp_model.IntVar
    chosen: list[cp_model.IntVar]
    """One literal per allowed width."""


class _Network:
    """The problem as a model of CP-SAT."""

    def __init__(self, problem: Problem) -> None:
        self.model = cp_model.CpModel()
        self._problem = problem
        self._groups = [self._add_group(widths) for widths in problem.widths]
        self._products: dict[Edge, cp_model.IntVar] = {}
        self._pairs: dict[Edge, list[cp_model.IntVar]] = {}
        for edge in problem.allowed:
            self._forbid_pairs(edge)

    def keep(self, limit: Limit) -> None:
        """Adds a limit."""
        costs = self._sum(limit.costs.unary)
        for edge, table in limit.costs.pairs.items():
            factor = _common_factor(table, self._problem.widths[edge[0]], self._problem.widths[edge[1]])
            costs.append(self._sum_of_pairs(edge, table) if factor is None else factor * self._product(edge))
        self.model.add(cp_model.LinearExpr.sum(costs) <= limit.budget - limit.costs.constant)

    def maximize(self, scale: float) -> None:
        """Sets the objective, in steps of 1 / scale."""
        values = self._sum([_rounded_up(table, scale) for table in self._problem.values.unary])
        for edge, table in self._problem.values.pairs.items():
            values.append(self._sum_of_pairs(edge, _rounded_up(table, scale)))
        self.model.maximize(cp_model.LinearExpr.sum(values))

    def hint(self, choice: Choice) -> None:
        """Names a choice to start from."""
        for group, index in zip(self._groups, choice, strict=True):
            for position, literal in enumerate(group.chosen):
                self.model.add_hint(literal, position == index)

    def choice(self, solver: cp_model.CpSolver) -> Choice:
        """What the solver chose."""
        return tuple([solver.boolean_value(literal) for literal in group.chosen].index(True) for group in self._groups)

    def _add_group(self, widths: IntArray) -> _Group:
        width = self.model.new_int_var_from_domain(cp_model.Domain.from_values(widths.tolist()), "")
        chosen = [self.model.new_bool_var("") for _ in widths]
        self.model.add_exactly_one(chosen)
        self.model.add(width == cp_model.LinearExpr.weighted_sum(chosen, widths.tolist()))
        return _Group(width, chosen)

    def _forbid_pairs(self, edge: Edge) -> None:
        first, second = (self._groups[group] for group in edge)
        widths = self._problem.widths[edge[1]]
        for literal, row in zip(first.chosen, self._problem.allowed[edge], strict=True):
            if not row.all():
                partners = cp_model.Domain.from_values(widths[row].tolist())
                self.model.add_linear_expression_in_domain(second.width, partners).only_enforce_if(literal)

    def _sum(self, tables: Sequence[IntArray]) -> list[cp_model.LinearExpr]:
        return [
            cp_model.LinearExpr.weighted_sum(group.chosen, table.tolist())
            for group, table in zip(self._groups, tables, strict=True)
        ]

    def _product(self, edge: Edge) -> cp_model.IntVar:
        """The product of two widths."""
        if edge not in self._products:
            first, second = (self._problem.widths[group] for group in edge)
            product = self.model.new_int_var(0, int(first[-1] * second[-1]), "")
            self.model.add_multiplication_equality(product, [self._groups[group].width for group in edge])
            self._products[edge] = product
        return self._products[edge]

    def _sum_of_pairs(self, edge: Edge, table: IntArray) -> cp_model.LinearExpr:
        """One literal per pair of widths: the linear relaxation is as tight as the Lagrangian bound."""
        if edge not in self._pairs:
            self._pairs[edge] = self._add_pairs(*(self._groups[group] for group in edge))
        return cp_model.LinearExpr.weighted_sum(self._pairs[edge], table.ravel().tolist())

    def _add_pairs(self, first: _Group, second: _Group) -> list[cp_model.IntVar]:
        pairs = [[self.model.new_bool_var("") for _ in second.chosen] for _ in first.chosen]
        for literal, row in zip(first.chosen, pairs, strict=True):
            self.model.add_exactly_one([*row, literal.negated()])
        for literal, column in zip(second.chosen, zip(*pairs, strict=True), strict=True):
            self.model.add_exactly_one([*column, literal.negated()])
        return [literal for row in pairs for literal in row]


def _common_factor(costs: IntArray, first: IntArray, second: IntArray) -> int | None:
    """The factor with which the costs are products of the two widths; None where they are not."""
    products = np.multiply.outer(first, second)
    factor = int(costs[-1, -1] // max(1, products[-1, -1]))
    return factor if np.array_equal(costs, factor * products) else None


def _rounded_up(values: FloatArray, scale: float) -> IntArray:
    return np.ceil(values * scale).astype(np.int64)


if __name__ == "__main__":
    answer(close_gap)
