"""Searches width and depth together: per exit and set of skipped blocks the widths that meet each budget, and what is
left of them once measured.

What a subnetwork keeps of the importance cannot be compared between networks of other layers. So the search gives one
candidate per budget, exit and set of blocks, each the best of its layers, and measured accuracy decides between them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from reds import cost
from reds.errors import UsageError
from reds.graph import FULL_NAME, Exit, Family, Ranked, Subnetwork, Supernet
from reds.shallow import shallow_ranked, subnetwork_network
from reds.skipping import sets_to_skip
from reds.solving.family import amount, budget_name, solve
from reds.solving.metrics import ARENA, cost_at

Progress = Callable[[str], None]


def solve_with_exits(
    ranked: Ranked,
    budgets: Sequence[float] = (0.25, 0.5, 0.75),
    metric: str = "macs",
    limits: Mapping[str, float] | None = None,
    max_arena: int | None = None,
    element_bytes: int = 1,
    progress: Progress | None = None,
    skip_blocks: Sequence[str] = (),
    **search: Any,
) -> Family:
    """Searches one candidate per budget, exit and set of skipped blocks: the widths that keep the most importance, the
    exit's head paid for.

    Each exit and each set is a network of its own, of which all costs are known exactly: multiply-accumulates, the
    flash of a file with no other exit, the arena, instructions. Its candidates are nested; those of different networks
    need not be. Of up to three blocks all sets are tried; of more, only the first ones named, from none to all.

    Args:
        ranked: the network with its exits.
        budgets: see `solve`; fractions are of the full network's cost.
        metric: see `solve`.
        limits: see `solve`; fractions are of the full network's cost.
        max_arena: the same as `limits={"arena": max_arena}`.
        element_bytes: see `solve`.
        progress: called with a line per candidate.
        skip_blocks: names of residual blocks that candidates may skip, see `reds.skipping`; ("auto",) stands for all,
            the last one first.
        **search: the other arguments of `solve`.

    Returns:
        The full network, the candidates of all of its layers as `solve` names them, and the others, named
        "BUDGET@EXIT", "BUDGET-BLOCK" and "BUDGET@EXIT-BLOCK-BLOCK". One that is the best for several budgets is named
        by the smallest. Exits that meet no budget are left out.

    Raises:
        UsageError: see `solve`; but a budget need only be met by one of the networks. Or if a block cannot be skipped.
    """
    solve(ranked, (), metric, element_bytes=element_bytes, **search)
    given = dict(limits or {}) | ({} if max_arena is None else {ARENA: max_arena})
    most = {name: amount(ranked, name, limit, element_bytes, "limits") for name, limit in given.items()}
    wanted = {amount(ranked, metric, one, element_bytes, "budgets"): budget_name(metric, one) for one in budgets}
    settings = {**search, "metric": metric, "limits": most, "element_bytes": element_bytes, "progress": progress}
    found: list[Subnetwork] = []
    for number, leave in enumerate((None, *ranked.exits)):
        for skips in sets_to_skip(ranked.graph, skip_blocks, leave):
            found += _candidates(ranked, _Layers(number, leave, skips), wanted, settings)
    met = {one.solution.budget for one in found if one.solution is not None}
    if wanted and min(wanted) < min(met, default=max(wanted) + 1):
        # Says what the network itself needs, in the words of the plain search.
        solve(ranked, budgets, metric, limits=most, element_bytes=element_bytes, **search)
    full = Subnetwork(FULL_NAME, cost.full_widths(ranked.graph))
    return with_taken_exits(Family(ranked.graph, ranked.importance, ranked.exits, (full, *found)))


@dataclass(frozen=True)
class _Layers:
    """Where a subnetwork leaves the network, and what it leaves out."""

    exit: int
    leave: Exit | None
    skips: tuple[str, ...]

    @property
    def suffix(self) -> str:
        """Of the names of their subnetworks; empty where they are the whole network."""
        return ("" if self.leave is None else f"@{self.leave.name}") + "".join(f"-{name}" for name in self.skips)

    @property
    def words(self) -> str:
        """What they are, for people."""
        exit_ = [] if self.leave is None else [self.leave.name]
        return " ".join(exit_ + ([f"without {', '.join(self.skips)}"] if self.skips else []))


def _candidates(
    ranked: Ranked, layers: _Layers, wanted: Mapping[int, str], settings: Mapping[str, Any]
) -> list[Subnetwork]:
    """What some layers have for the budgets that they can meet, by falling budget."""
    full = cost.full_widths(ranked.graph)
    own, network = shallow_ranked(ranked, layers.leave, layers.skips)
    minimum = settings.get("minimum", 1)
    if isinstance(minimum, Mapping):
        names = [group.name for group in own.graph.groups]
        minimum = {name: smallest for name, smallest in minimum.items() if name in names}
    progress = settings["progress"]
    if progress is not None and layers.words:
        settings = {**settings, "progress": lambda line: progress(f"{layers.words}: {line}")}
    searched = _search(own, sorted(wanted), {**settings, "minimum": minimum})
    by_widths = {network.widen(one.widths, full): one for one in searched}
    if not layers.suffix:
        by_widths.pop(full, None)
    return [
        replace(one, name=_name(wanted, one) + layers.suffix, widths=widths, exit=layers.exit, skips=layers.skips)
        for widths, one in by_widths.items()
    ]


def _search(ranked: Ranked, rising: Sequence[int], settings: Mapping[str, Any]) -> Sequence[Subnetwork]:
    """The subnetworks of the largest budgets that a network can meet, by falling budget."""
    for first in range(len(rising)):
        try:
            return solve(ranked, rising[first:], **settings).subnetworks[1:]
        except UsageError:
            continue
    return ()


def _name(wanted: Mapping[int, str], subnetwork: Subnetwork) -> str:
    assert subnetwork.solution is not None
    return wanted[int(subnetwork.solution.budget)]


@dataclass(frozen=True)
class Candidate:
    """A subnetwork that was measured."""

    name: str
    exit: str
    """Name of its exit; "output" for the network's own."""
    skips: tuple[str, ...]
    """Names of the residual blocks that it skips."""
    cost: int
    """In units of the metric that was searched by."""
    accuracy: float
    """On validation data, in [0, 1], after the last training that it took part in."""
    kept: bool
    contends: bool = True
    """Whether it was trained on to the end."""


def choose(family: Family, accuracies: Sequence[float], element_bytes: int = 1) -> tuple[Candidate, ...]:
    """Decides which candidates are kept: for each budget the most accurate one within it, of several the cheapest.

    So what is kept lies on the Pareto front of cost and accuracy, and a budget for which nothing is better than what a
    smaller one has gets nothing of its own.

    Args:
        family: what `solve_with_exits` found, trained.
        accuracies: of each subnetwork, on data that it was not trained with.
        element_bytes: bytes of one weight or activation.

    Returns:
        Per subnetwork of the family what was measured and whether it is kept. The full network always is.
    """
    solutions = [one.solution for one in family.subnetworks[1:]]
    metric = next((solution.metric for solution in solutions if solution is not None), "macs")
    costs = [candidate_cost(family, one, metric, element_bytes) for one in family.subnetworks]
    kept = {0}
    for budget in {solution.budget for solution in solutions if solution is not None}:
        within = [index for index in range(1, len(costs)) if costs[index] <= budget]
        kept.add(max(within, key=lambda index: (accuracies[index], -costs[index])))
    return tuple(
        Candidate(
            one.name,
            family.exits[one.exit - 1].name if one.exit else "output",
            one.skips,
            costs[index],
            accuracies[index],
            index in kept,
        )
        for index, one in enumerate(family.subnetworks)
    )


def contenders(family: Family, accuracies: Sequence[float], element_bytes: int = 1) -> tuple[int, ...]:
    """The candidates to train on: the best of each budget, and those that have all layers of the network.

    Where all candidates share a training, the deep and narrow ones are behind for longest, so those that a search for
    width alone would have found stay to the end.

    Args:
        family: what `solve_with_exits` found, trained.
        accuracies: of each subnetwork, on data that it was not trained with.
        element_bytes: bytes of one weight or activation.

    Returns:
        Indices in rising order.
    """
    table = choose(family, accuracies, element_bytes)
    return tuple(
        index for index, one in enumerate(family.subnetworks) if table[index].kept or not (one.exit or one.skips)
    )


def candidate_cost(family: Family, subnetwork: Subnetwork, metric: str, element_bytes: int = 1) -> int:
    """What a subnetwork costs by a metric, its exit's head included and the blocks that it skips left out."""
    network = subnetwork_network(family, subnetwork)
    return cost_at(metric, network.graph, network.narrow(subnetwork.widths), element_bytes)


def pareto_front(costs: Sequence[float], qualities: Sequence[float]) -> tuple[int, ...]:
    """The points than which no other is both cheaper and better, or one of both and as good in the other.

    Args:
        costs: of each point.
        qualities: of each point, for example its accuracy.

    Returns:
        Indices by rising cost; of equal points the first.
    """
    front: list[int] = []
    for index in sorted(range(len(costs)), key=lambda one: (costs[one], -qualities[one])):
        if not front or qualities[index] > qualities[front[-1]]:
            front.append(index)
    return tuple(front)


def with_subnetworks(supernet: Supernet, kept: Sequence[int]) -> Supernet:
    """The trained family with some of its subnetworks, and with the exits that they take.

    Args:
        supernet: the family.
        kept: indices of subnetworks, 0 first.
    """
    family = with_taken_exits(replace(supernet.family, subnetworks=_chosen(supernet.family, kept)))
    heads = {node.name for one in family.exits for node in one.head.nodes}
    known = {node.name for node in family.graph.nodes} | heads
    norms = tuple(
        {name: weights for name, weights in supernet.batch_norms[index].items() if name in known} for index in kept
    )
    return Supernet(family, norms)


def with_taken_exits(family: Family) -> Family:
    """The family without the exits that no subnetwork takes."""
    taken = sorted({one.exit for one in family.subnetworks} - {0})
    numbers = {0: 0, **{exit: number for number, exit in enumerate(taken, start=1)}}
    return replace(
        family,
        exits=tuple(family.exits[exit - 1] for exit in taken),
        subnetworks=tuple(replace(one, exit=numbers[one.exit]) for one in family.subnetworks),
    )


def _chosen(family: Family, kept: Sequence[int]) -> tuple[Subnetwork, ...]:
    return tuple(family.subnetworks[index] for index in kept)
