"""Tables in the form of a run's own table."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from reds.graph import Family
from reds.inspecting import ModelReport

COSTS = ("macs", "parameters", "flash_bytes", "arena_bytes")


def merged_table(reports: Sequence[ModelReport], family: Family) -> dict[str, Any]:
    """One table of networks that have a file each.

    Args:
        reports: one per subnetwork of the family, each of a file with one subnetwork.
        family: the subnetworks that they stand for.

    Returns:
        As `ModelReport.as_dict`; `file_bytes` is the sum of all files.
    """
    table = reports[0].as_dict() | {"file_bytes": sum(report.file_bytes for report in reports)}
    exits = (reports[0].subnetworks[0].exit, *(exit_.name for exit_ in family.exits))
    table["subnetworks"] = [
        report.as_dict()["subnetworks"][0] | {"id": index, "exit": exits[chosen.exit], "widths": chosen.widths}
        for index, (report, chosen) in enumerate(zip(reports, family.subnetworks, strict=True))
    ]
    return table


def name_of(row: Mapping[str, Any]) -> str:
    """What a subnetwork is called."""
    return str(row["name"])


def budget_of(row: Mapping[str, Any]) -> str:
    """The budget that a subnetwork of a joint search is named after, whatever exit it takes; else its name."""
    return name_of(row).removesuffix(f"@{row['exit']}")


def mean_table(
    tables: Sequence[Mapping[str, Any]], same: Callable[[Mapping[str, Any]], str] = name_of
) -> dict[str, Any]:
    """One table for several seeds.

    Args:
        tables: one per seed.
        same: what rows of different seeds have in common that are one row of the result.

    Returns:
        The first one's form with the means of costs and accuracies; each subnetwork also has the `accuracies` of the
        seeds that have it, and their sample standard deviation, `deviation`, which is None for one seed. Widths are
        those of the first seed; where names differ, the name is what they have in common, and all exits are named.
    """
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for table in tables:
        for row in table["subnetworks"]:
            groups.setdefault(same(row), []).append(row)
    rows = [_mean_row(common, index, rows) for index, (common, rows) in enumerate(groups.items())]
    return {**tables[0], "subnetworks": rows}


def _mean_row(common: str, index: int, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    accuracies = [row["accuracy"] for row in rows]
    costs = {cost: round(statistics.mean(row[cost] for row in rows)) for cost in COSTS}
    names = {name_of(row) for row in rows}
    return {
        **rows[0],
        **costs,
        "id": index,
        "name": common if len(names) > 1 else rows[0]["name"],
        "exit": ", ".join(sorted({row["exit"] for row in rows})),
        "targets": {name: _mean_target([row["targets"][name] for row in rows]) for name in _common_targets(rows)},
        "accuracy": statistics.mean(accuracies),
        "accuracies": accuracies,
        "deviation": statistics.stdev(accuracies) if len(accuracies) > 1 else None,
    }


def _common_targets(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    return [name for name in rows[0]["targets"] if all(name in row["targets"] for row in rows)]


def _mean_target(counts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {**counts[0], "instructions": round(statistics.mean(one["instructions"] for one in counts))}
