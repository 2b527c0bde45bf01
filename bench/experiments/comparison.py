"""One result for every architecture, seed and kind of network, in a record that is written after each."""

import json
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from reds.files import write_atomically


@dataclass(frozen=True)
class Task:
    """One result to make."""

    architecture: str
    seed: int
    kind: str


def tasks(architectures: Sequence[str], seeds: Sequence[int], kinds: Sequence[str]) -> Iterator[Task]:
    """All results; one seed of everything comes first, so that an unfinished record can be read early."""
    for seed in seeds:
        for architecture in architectures:
            for kind in kinds:
                yield Task(architecture, seed, kind)


def complete(
    path: Path,
    settings: Mapping[str, Any],
    wanted: Iterable[Task],
    measured: Callable[[Task], Mapping[str, Any]],
    summary: Callable[[Sequence[Mapping[str, Any]]], list[dict[str, Any]]],
) -> None:
    """Makes what a record lacks.

    Args:
        path: the record.
        settings: what all results of the record have in common.
        wanted: the results.
        measured: makes a result.
        summary: of all results.
    """
    results = _recorded(path, settings)
    known = {Task(one["architecture"], one["seed"], one["kind"]) for one in results}
    for task in wanted:
        if task not in known:
            results.append({**asdict(task), **measured(task)})
            record = {"settings": settings, "summary": summary(results), "results": results}
            write_atomically(path, (json.dumps(record, indent=1) + "\n").encode())


def _recorded(path: Path, settings: Mapping[str, Any]) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    record = json.loads(path.read_text(encoding="utf-8"))
    if record["settings"] != settings:
        sys.exit(f"{path} holds results of other settings, {record['settings']}: name another record.")
    results: list[dict[str, Any]] = record["results"]
    return results


def means(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Mean costs and accuracy of rows of several seeds, and the accuracy's sample standard deviation."""
    accuracies = [row["accuracy"] for row in rows]
    return {
        **{name: round(statistics.mean(row[name] for row in rows)) for name in ("macs", "instructions", "arena_bytes")},
        "accuracy": statistics.mean(accuracies),
        "deviation": statistics.stdev(accuracies) if len(rows) > 1 else None,
    }


def reds(*command: object) -> str:
    """What a command prints on stdout; how far it is goes to stderr."""
    program = [sys.executable, "-c", "import sys; from reds.cli import program; sys.exit(program())"]
    words = [str(word) for word in command]
    return subprocess.run([*program, *words], check=True, stdout=subprocess.PIPE, text=True).stdout
