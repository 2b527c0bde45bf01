"""Has OR-Tools do its part of a search, in a process of its own."""

from dataclasses import dataclass

from reds.own_process import ask
from reds.solving.lagrangian import Dual
from reds.solving.problem import Choice, Problem


@dataclass(frozen=True)
class Request:
    """What CP-SAT is asked."""

    problem: Problem
    """Best with few widths per group."""
    incumbent: Choice | None
    """A choice within the limits, where one is known."""
    seconds: float
    """Time limit of the search."""
    workers: int = 1
    """Threads; one and the same seed give the same answer where the time suffices."""
    seed: int = 0


@dataclass(frozen=True)
class Closing:
    """What CP-SAT found."""

    choice: Choice | None
    """Within the limits, and no worse than the incumbent."""
    bound: float
    """No choice within the limits has a larger value; minus infinity where there is no choice."""


def close_gap(request: Request) -> Closing:
    """Runs CP-SAT; see `cp_sat.close_gap`.

    Args:
        request: the problem, its known choice, and the effort allowed.

    Returns:
        The best choice found and the bound proven.

    Raises:
        subprocess.CalledProcessError: if the solver's process fails.
    """
    closing = ask("reds.solving.cp_sat", request)
    assert isinstance(closing, Closing)
    return closing


def solve_dual(problem: Problem) -> Dual:
    """Finds the best prices of several limits; see `pricing.solve_dual`.

    Raises:
        subprocess.CalledProcessError: if the solver's process fails.
    """
    dual = ask("reds.solving.pricing", problem)
    assert isinstance(dual, Dual)
    return dual
