"""How far the subnetworks of one kind lead those of another at the same cost, in the results of `depth.py`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, stdev
from typing import Any

from reds.solving import pareto_front


@dataclass(frozen=True)
class Lead:
    """How much more accurate the best of one kind is that costs no more than a subnetwork of another, over seeds."""

    name: str
    """Of the other kind's subnetwork."""
    cost: float
    """Its mean cost."""
    accuracy: float
    """Its mean accuracy."""
    difference: float
    """Mean over the seeds, in points."""
    deviation: float | None
    """Sample standard deviation over the seeds, in points; None for one seed."""
    seeds: int

    @property
    def holds(self) -> bool:
        """Whether it is behind by no more than the deviation."""
        return self.difference >= -(self.deviation or 0.0)


def leads(results: Sequence[Mapping[str, Any]], kind: str, other: str, metric: str) -> list[Lead]:
    """Of each subnetwork on the other kind's front in at least half of the seeds, the cheapest first.

    The front of a seed is that of `pareto_front`. A subnetwork that costs less than all of `kind` has no lead.
    """
    compared: dict[str, list[tuple[float, float, float]]] = {}
    seeds = sorted({result["seed"] for result in results})
    for seed in seeds:
        mine, theirs = (_rows(results, one, seed) for one in (kind, other))
        for row in _front(theirs, metric):
            rivals = [one["accuracy"] for one in mine if one[metric] <= row[metric]]
            if rivals:
                difference = 100 * (max(rivals) - row["accuracy"])
                compared.setdefault(row["name"], []).append((row[metric], row["accuracy"], difference))
    found = [_lead(name, rows) for name, rows in compared.items() if 2 * len(rows) >= len(seeds)]
    return sorted(found, key=lambda one: one.cost)


def _rows(results: Sequence[Mapping[str, Any]], kind: str, seed: int) -> list[Mapping[str, Any]]:
    return [
        row for result in results if (result["kind"], result["seed"]) == (kind, seed) for row in result["subnetworks"]
    ]


def _front(rows: Sequence[Mapping[str, Any]], metric: str) -> list[Mapping[str, Any]]:
    found = pareto_front([row[metric] for row in rows], [row["accuracy"] for row in rows])
    return [rows[index] for index in found]


def _lead(name: str, rows: Sequence[tuple[float, float, float]]) -> Lead:
    costs, accuracies, differences = zip(*rows, strict=True)
    deviation = stdev(differences) if len(differences) > 1 else None
    return Lead(name, mean(costs), mean(accuracies), mean(differences), deviation, len(differences))
