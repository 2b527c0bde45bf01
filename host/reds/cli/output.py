"""What commands print: tables for people, JSON for programs, and the stages of long work."""

import json
import sys
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from reds.inspecting import ModelReport, SubnetworkReport
    from reds.verifying import VerificationReport

LOG = Console(stderr=True, highlight=False)
"""Progress goes to stderr, so that stdout holds the result alone."""

FILE_WIDTH = 160
"""Columns of a table that goes to a file or a pipe."""

OUT = Console(highlight=False, width=None if sys.stdout.isatty() else FILE_WIDTH)


class Stages:
    """Prints each line of long work with the time since the start."""

    def __init__(self) -> None:
        self._start = time.monotonic()

    def __call__(self, line: str) -> None:
        """Prints a line."""
        LOG.print(f"[dim]{time.monotonic() - self._start:6.1f} s[/dim]  {line}", soft_wrap=True)

    @property
    def seconds(self) -> float:
        """Time since the start."""
        return time.monotonic() - self._start


def print_json(value: Any) -> None:
    """Prints a JSON document on stdout."""
    print(json.dumps(value, indent=2))


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]], title: str | None = None) -> None:
    """Prints a table; the first column is text, the others are numbers."""
    table = Table(title=title, title_justify="left", header_style="bold", box=SIMPLE_HEAD, pad_edge=False)
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index == 0 else "right", no_wrap=index > 0, overflow="fold")
    for row in rows:
        table.add_row(*row)
    OUT.print(table)


def print_model(report: "ModelReport", switch_instructions: int | None = None) -> None:
    """Prints a model's subnetworks."""
    units = {name: counted.unit for row in report.subnetworks for name, counted in row.targets.items()}
    targets = sorted(units)
    columns = ["subnetwork", "MACs", "parameters", "flash B", "arena B"]
    columns += [f"{target}\n{units[target]}" for target in targets]
    columns += [] if switch_instructions is None else [f"switch\n{units[targets[0]]}"]
    rows = [_row(row, targets, switch_instructions) for row in report.subnetworks]
    if any(row.threshold for row in report.subnetworks):
        columns.append("threshold")
        for cells, row in zip(rows, report.subnetworks, strict=True):
            cells.insert(-1, f"{row.threshold:.4f}" if row.threshold else "-")
    types = report.element_type
    if {report.input_type, report.output_type} != {types}:
        types += f" from {report.input_type} to {report.output_type}"
    title = f"{report.name}, {types}, {report.file_bytes:,} bytes"
    print_table([*columns, "accuracy"], rows, title)


def _row(row: "SubnetworkReport", targets: Sequence[str], switch_instructions: int | None) -> list[str]:
    counts = [f"{row.targets[name].instructions:,}" if name in row.targets else "-" for name in targets]
    switch = [] if switch_instructions is None else [str(switch_instructions)]
    accuracy = "-" if row.accuracy is None else f"{row.accuracy:.1%}"
    numbers = [f"{row.macs:,}", f"{row.parameters:,}", f"{row.flash_bytes:,}", f"{row.arena_bytes:,}"]
    return [f"{row.id}  {row.name}", *numbers, *counts, *switch, accuracy]


def print_baseline(table: Mapping[str, Any]) -> None:
    """Prints a baseline's table, accuracies with their deviation over the seeds."""
    rows = []
    for row in table["subnetworks"]:
        accuracy = f"{row['accuracy']:.1%}"
        if row["deviation"] is not None:
            accuracy += f" \N{PLUS-MINUS SIGN} {row['deviation']:.1%}"
        if len(row["accuracies"]) < len(table["seeds"]):
            accuracy += f" ({len(row['accuracies'])} of {len(table['seeds'])} seeds)"
        costs = [f"{row[name]:,}" for name in ("macs", "parameters", "flash_bytes", "arena_bytes")]
        if "nonzero_parameters" in row:
            costs[1] += f", {row['nonzero_parameters']:,} not zero"
        rows.append([f"{row['id']}  {row['name']}", *costs, accuracy])
    seeds = ", ".join(str(seed) for seed in table["seeds"])
    title = f"{table['kind']}, {table['epochs']} epochs, seed {seeds}"
    print_table(["subnetwork", "MACs", "parameters", "flash B", "arena B", "accuracy"], rows, title)


def print_verification(report: "VerificationReport") -> None:
    """Prints every comparison."""
    rows = [
        [
            f"{check.proof}  {check.what}",
            check.subnetwork,
            str(check.samples),
            "ok" if check.passed else "FAILED",
            check.detail,
        ]
        for check in report.checks
    ]
    print_table(["proof", "subnetwork", "samples", "result", "detail"], rows)
