"""What a search found and what it took, ready for JSON."""

import json
import resource
import sys
from dataclasses import asdict, dataclass

from reds.graph import Family, Subnetwork
from reds.solving.depth import candidate_cost
from reds.solving.metrics import ARENA


@dataclass(frozen=True)
class BudgetReport:
    """One subnetwork and its proof."""

    name: str
    metric: str
    """What its budget limits."""
    budget: float
    """In units of the metric."""
    cost: int
    """In units of the metric."""
    limits: dict[str, int]
    """By metric, what it may cost besides."""
    value: float
    """Importance kept."""
    bound: float
    """Proven upper limit of the importance that any subnetwork within the budget can keep."""
    gap: float
    """(bound - value) / bound."""
    widths: tuple[int, ...]
    """Per channel group; the full width where a subnetwork has none of its layers."""
    skips: tuple[str, ...]
    """Names of the residual blocks that it skips."""
    macs: int
    flash_bytes: int
    arena_bytes: int


@dataclass(frozen=True)
class JointReport:
    """How good all subnetworks are together, where they were searched at once."""

    value: float
    """Sum of their values, each times its weight."""
    bound: float
    """Proven upper limit of that sum."""
    gap: float
    """(bound - value) / bound."""


@dataclass(frozen=True)
class SolveReport:
    """A whole search."""

    budgets: tuple[BudgetReport, ...]
    """By rising budget."""
    seconds: float
    """Time of all searches together."""
    peak_memory_bytes: int
    """Largest memory a process of the search has had so far, its libraries included."""
    joint: JointReport | None = None

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
    joint = family.joint
    together = None if joint is None else JointReport(joint.value, joint.bound, joint.gap)
    return SolveReport(budgets, seconds, peak_memory_bytes(), together)


def peak_memory_bytes() -> int:
    """Largest resident memory that this process, or one that it ran, has had so far."""
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return peak if sys.platform == "darwin" else peak * 1024


def _budget_report(family: Family, subnetwork: Subnetwork, element_bytes: int) -> BudgetReport:
    solution = subnetwork.solution
    assert solution is not None
    costs = {
        metric: candidate_cost(family, subnetwork, metric, element_bytes)
        for metric in {solution.metric, "macs", "flash", ARENA}
    }
    return BudgetReport(
        name=subnetwork.name,
        metric=solution.metric,
        budget=solution.budget,
        cost=costs[solution.metric],
        limits=dict(solution.limits),
        value=solution.value,
        bound=solution.bound,
        gap=solution.gap,
        widths=subnetwork.widths,
        skips=subnetwork.skips,
        macs=costs["macs"],
        flash_bytes=costs["flash"],
        arena_bytes=costs[ARENA],
    )
