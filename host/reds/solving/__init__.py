"""Searches nested subnetworks within budgets, and proves how good they are."""

from reds.solving.depth import choose, pareto_front, solve_with_exits
from reds.solving.family import solve
from reds.solving.problem import Limit, Problem, Terms
from reds.solving.report import BudgetReport, SolveReport, report

__all__ = [
    "BudgetReport",
    "Limit",
    "Problem",
    "SolveReport",
    "Terms",
    "choose",
    "pareto_front",
    "report",
    "solve",
    "solve_with_exits",
]
