"""Subnetworks of one fraction of the channels in every layer, to compare the search with."""

from dataclasses import replace

import numpy as np

from reds.cost import full_widths
from reds.errors import UsageError
from reds.graph import Family, Ranked, Subnetwork
from reds.shallow import shallow_ranked
from reds.solving.formulation import Rules, formulate
from reds.solving.problem import Problem


def with_uniform_widths(family: Family, rules: Rules) -> Family:
    """Replaces each searched subnetwork by the widest one within its budget that narrows all layers alike.

    This is how slimmable networks are made (Yu et al., "Slimmable neural networks", 2019), with true costs: the
    fraction of the channels is the largest whose cost keeps the budget of the subnetwork that is replaced. Subnetworks
    that were not searched, such as the full network, stay.

    Args:
        family: what `solve` found.
        rules: which widths are allowed; a layer has the largest allowed width up to the fraction of its channels. The
            limits are those that each subnetwork was searched within.

    Returns:
        The family with other widths. They are nested, since a smaller budget gives a smaller fraction.

    Raises:
        UsageError: if no fraction keeps a budget.
    """
    return replace(family, subnetworks=tuple(_uniform(family, one, rules) for one in family.subnetworks))


def _uniform(family: Family, subnetwork: Subnetwork, rules: Rules) -> Subnetwork:
    solution = subnetwork.solution
    if solution is None:
        return subnetwork
    whole = Ranked(family.graph, family.importance, method="")
    leave = family.exits[subnetwork.exit - 1] if subnetwork.exit else None
    ranked, network = shallow_ranked(whole, leave, subnetwork.skips)
    problem = formulate(ranked, solution.metric, int(solution.budget), replace(rules, limits=solution.limits))
    widths = _widest(problem, [group.size for group in ranked.graph.groups])
    if widths is None:
        raise UsageError(
            f"No uniform width keeps the budget of '{subnetwork.name}', {solution.budget:.0f} {solution.metric}: "
            "raise the budget, or lower `multiple`."
        )
    return replace(subnetwork, widths=network.widen(widths, full_widths(family.graph)), solution=None)


def _widest(problem: Problem, sizes: list[int]) -> tuple[int, ...] | None:
    """The allowed widths of the largest fraction of all channels within the budget."""
    shares = [allowed / size for allowed, size in zip(problem.widths, sizes, strict=True)]
    for fraction in np.unique(np.concatenate(shares))[::-1]:
        choice = [int(np.searchsorted(share, fraction, side="right")) - 1 for share in shares]
        if min(choice) >= 0 and problem.is_feasible(choice):
            return problem.widths_of(choice)
    return None
