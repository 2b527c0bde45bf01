"""What a search found and what it took, ready for JSON."""

import json
import resource
import sys
from dataclasses import asdict, dataclass

from reds import cost
from reds.graph import Family, Subnetwork


@dataclass(frozen=True)
class BudgetReport:
    """One subnetwork and its proof."""

    name: str
    budget: float
    """Limit in units of the metric."""
    value: float
    """Importance kept."""
    bound: float
    """Proven upper limit of the importance that any subnetwork within the budget can keep."""
    gap: float
    """(bound - value) / bound."""
    widths: tuple[int, ...]
    macs: int
    arena_bytes: int


@dataclass(frozen=True)
class SolveReport:
    """A whole search."""

    budgets: tuple[BudgetReport, ...]
    """By rising budget."""
    seconds: float
    """Time of all searches together."""
    peak_memory_bytes: int
    """Largest memory a process of the search has had so far, its libraries included."""

    def to_json(self) -> str:
        """The report as a JSON object."""
        return json.dumps(asdict(self), indent=2)


def report(family: Family, element_bytes: int = 1) -> SolveReport:
    """Collects what `solve` found.

    Args:
        family: the result of `solve`.
        element_bytes: bytes of one activation: 1 for int8, 4 for float32.

    Returns:
        The report; subnetworks that were not searched, such as the full network, are left out.
    """
    budgets = tuple(
        _budget_report(family, subnetwork, element_bytes)
        for subnetwork in reversed(family.subnetworks)
        if subnetwork.solution is not None
    )
    seconds = sum(one.solution.seconds for one in family.subnetworks if one.solution is not None)
    return SolveReport(budgets, seconds, peak_memory_bytes())


def peak_memory_bytes() -> int:
    """Largest resident memory that this process, or one that it ran, has had so far."""
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return peak if sys.platform == "darwin" else peak * 1024


def _budget_report(family: Family, subnetwork: Subnetwork, element_bytes: int) -> BudgetReport:
    solution = subnetwork.solution
    assert solution is not None
    return BudgetReport(
        name=subnetwork.name,
        budget=solution.budget,
        value=solution.value,
        bound=solution.bound,
        gap=solution.gap,
        widths=subnetwork.widths,
        macs=int(cost.macs(family.graph, subnetwork.widths)),
        arena_bytes=int(cost.peak_activation_bytes(family.graph, subnetwork.widths, element_bytes)),
    )
