"""Searches subnetworks of every architecture of the zoo and records what was found and what it took.

    python bench/experiments/solver.py [--out FILE]

Each search is a `reds solve` in a process of its own, so that its peak memory is its own. The record is
`solver.json` beside this file. Exit code 1: a search missed one of the limits below.
"""

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from reds import zoo

IMPORTANCE = ("l1", "random")
"""Those that need no data."""
OTHER_SEARCHES = (
    ("mobilenet_v1_100", ("--limit", "arena=200000")),
    ("mobilenet_v1_100", ("--limit", "arena=100000")),
    ("mobilenet_v1_100", ("--limit", "arena=100000", "--limit", "flash=1000000")),
    ("mobilenet_v1_025", ("--kernels", "--objective", "sum")),
    ("ds_cnn_s", ("--metric", "cycles:cortex-m4")),
    ("ds_cnn_l", ("--metric", "flash", "--limit", "macs=0.5")),
    ("dnn_s", ("--order", "joint", "--metric", "nominal_macs", "--objective", "sum")),
    ("ds_cnn_s", ("--order", "joint")),
    ("ds_cnn_l", ("--order", "joint", "--objective", "sum")),
    ("mobilenet_v1_025", ("--order", "joint")),
)
"""Limits on memory, of which full widths keep the first, other metrics, and all budgets at once."""

LARGEST_GAP = 1e-4
LARGEST_SECONDS = 60.0
LARGEST_MEMORY_BYTES = 1_000_000_000

RUN_REDS = "import sys; from reds.cli import program; sys.exit(program())"


@dataclass(frozen=True)
class Search:
    """What is searched."""

    architecture: str
    importance: str
    options: tuple[str, ...] = ()
    """Others of `reds solve`."""

    @property
    def arguments(self) -> list[str]:
        """The command line after `reds`."""
        return ["solve", self.architecture, "--importance", self.importance, *self.options, "--json"]


@dataclass(frozen=True)
class Record:
    """A search and what came of it."""

    search: Search
    process_seconds: float
    """Of the whole process, with the start of its libraries, building the network and ranking."""
    report: dict
    """What `reds solve --json` printed."""

    @property
    def largest_gap(self) -> float:
        """That of all budgets together where they were searched at once, else the largest of them."""
        joint = self.report["joint"]
        return joint["gap"] if joint else max(budget["gap"] for budget in self.report["budgets"])

    @property
    def keeps_limits(self) -> bool:
        """Whether gap, time and memory are within the limits."""
        return (
            self.largest_gap <= LARGEST_GAP
            and self.process_seconds <= LARGEST_SECONDS
            and self.report["peak_memory_bytes"] <= LARGEST_MEMORY_BYTES
        )

    def as_dict(self) -> dict:
        """For JSON."""
        return {**asdict(self.search), "process_seconds": round(self.process_seconds, 2), **self.report}


def searches() -> Iterator[Search]:
    """Every architecture, and some of them in other ways."""
    for importance in IMPORTANCE:
        for architecture in zoo.ARCHITECTURES:
            yield Search(architecture, importance)
        for architecture, options in OTHER_SEARCHES:
            yield Search(architecture, importance, options)


def run(search: Search) -> Record:
    """Runs one search in a process of its own."""
    start = time.perf_counter()
    command = [sys.executable, "-c", RUN_REDS, *search.arguments]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    finished = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
    return Record(search, time.perf_counter() - start, json.loads(finished.stdout))


def to_json(records: Sequence[Record]) -> str:
    """The record of all searches, lists of numbers on one line."""
    machine = {"processor": _processor(), "cores": os.cpu_count(), "python": platform.python_version()}
    content = {"machine": machine, "searches": [record.as_dict() for record in records]}
    text = json.dumps(content, indent=2)
    return re.sub(r"\[[\d,\s]+\]", lambda numbers: json.dumps(json.loads(numbers[0])), text) + "\n"


def summary(record: Record) -> str:
    """One line for the terminal."""
    report = record.report
    return (
        f"{' '.join(record.search.arguments[1:-1])}: gap {record.largest_gap:.4%}, search {report['seconds']:.2f} s, "
        f"process {record.process_seconds:.1f} s, {report['peak_memory_bytes'] / 1e6:.0f} MB"
        f"{'' if record.keeps_limits else '  EXCEEDS A LIMIT'}"
    )


def _processor() -> str:
    """The processor's name where Linux tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def main() -> int:
    """Runs all searches and writes the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"), metavar="FILE")
    out = parser.parse_args().out
    records = []
    for search in searches():
        record = run(search)
        records.append(record)
        print(summary(record), flush=True)
    out.write_text(to_json(records))
    return 0 if all(record.keeps_limits for record in records) else 1


if __name__ == "__main__":
    sys.exit(main())
