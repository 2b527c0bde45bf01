"""Searches nested subnetworks within budgets, and proves how good they are."""

from reds.solve.family import solve
from reds.solve.problem import ChainProblem, CostTables
from reds.solve.report import BudgetReport, SolveReport, report

__all__ = ["BudgetReport", "ChainProblem", "CostTables", "SolveReport", "report", "solve"]
