"""Searches nested subnetworks within budgets, and proves how good they are."""

from reds.solving.family import solve
from reds.solving.problem import ChainProblem, CostTables
from reds.solving.report import BudgetReport, SolveReport, report

__all__ = ["BudgetReport", "ChainProblem", "CostTables", "SolveReport", "report", "solve"]
