"""Compares REDS with its baselines: python bench/experiments/baselines.py RECORD.json [--out DIR] [options].

For every architecture and seed it trains a network, makes its subnetworks and all baselines, on real speech clips
(REDS_DATA), and records what libreds measures on the test split: each result, and the mean and deviation over the seeds
for every (architecture, budget, kind). What the record holds is not made again, and what an interruption left of the
rest is in DIR. The record is written after every result.
"""

import argparse
import json
import os
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from comparison import Task, complete, reds, tasks

from reds.cli import options
from reds.cli.demo import EPOCHS, FINETUNE_EPOCHS

DATA = "speech_commands"
FAMILY = "reds"
"""The kind of the run itself."""

KINDS = (FAMILY, "alone", "uniform", "magnitude", "random")


@dataclass(frozen=True)
class Request:
    """What to compare, and for how long to train."""

    architectures: tuple[str, ...]
    seeds: tuple[int, ...]
    kinds: tuple[str, ...]
    budgets: str
    training_epochs: int
    finetuning_epochs: int
    folder: Path

    def settings(self) -> dict[str, Any]:
        """What all results of one record have in common."""
        return {
            "data": DATA,
            "budgets": self.budgets,
            "training_epochs": self.training_epochs,
            "finetuning_epochs": self.finetuning_epochs,
        }


def main(arguments: Sequence[str] | None = None) -> None:
    """Makes what the record lacks."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("record", type=Path, metavar="RECORD.json")
    parser.add_argument("--architectures", type=options.names, default=("ds_cnn_s",), metavar="NAME,...")
    parser.add_argument("--seeds", type=options.seeds, default=(0, 1, 2), metavar="S,...")
    parser.add_argument("--kinds", type=options.names, default=KINDS, metavar="KIND,...")
    parser.add_argument("--budgets", default="0.25,0.5,0.75", metavar="B,...")
    parser.add_argument("--training-epochs", type=options.positive, default=EPOCHS)
    parser.add_argument("--finetuning-epochs", type=options.not_negative, default=FINETUNE_EPOCHS)
    parser.add_argument("--out", type=Path, default=Path("runs/baselines"), metavar="DIR", help="for the run folders")
    chosen = parser.parse_args(arguments)
    request = Request(
        chosen.architectures,
        chosen.seeds,
        chosen.kinds,
        chosen.budgets,
        chosen.training_epochs,
        chosen.finetuning_epochs,
        chosen.out,
    )
    wanted = tasks(request.architectures, request.seeds, request.kinds)
    complete(chosen.record, request.settings(), wanted, lambda task: _measured(task, request), _summary)


def _measured(task: Task, request: Request) -> dict[str, Any]:
    folder = request.folder / f"{task.architecture}-{request.training_epochs}-{request.finetuning_epochs}"
    folder /= f"seed-{task.seed}"
    seed = ("--seed", str(task.seed))
    # The run is made first where it is missing; all of its stages are read again where it is not.
    if not (folder / "model.keras").exists():
        epochs = str(request.training_epochs)
        reds("train", task.architecture, "--data", DATA, "--epochs", epochs, *seed, "--out", folder)
    epochs = str(request.finetuning_epochs)
    prune = ("prune", folder / "model.keras", "--data", DATA, "--budgets", request.budgets, "--epochs", epochs)
    if task.kind == FAMILY:
        return _rows(reds(*prune, *seed, "--out", folder, "--json"))
    if not (folder / "table.json").exists():
        reds(*prune, *seed, "--out", folder, "--json")
    return _rows(reds("baseline", task.kind, "--run", folder, "--json"))


def _rows(output: str) -> dict[str, Any]:
    names = ("name", "widths", "macs", "parameters", "flash_bytes", "arena_bytes", "accuracy")
    return {"subnetworks": [{name: row[name] for name in names} for row in json.loads(output)["subnetworks"]]}


def _summary(results: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Mean and sample standard deviation of the accuracy over the seeds."""
    groups: dict[tuple[str, str, str], list[Mapping[str, Any]]] = {}
    for result in results:
        for row in result["subnetworks"]:
            groups.setdefault((result["architecture"], row["name"], result["kind"]), []).append(row)
    return [
        {
            **dict(zip(("architecture", "budget", "kind"), key, strict=True)),
            "seeds": len(rows),
            "macs": round(statistics.mean(row["macs"] for row in rows)),
            "accuracy": statistics.mean(row["accuracy"] for row in rows),
            "deviation": statistics.stdev(row["accuracy"] for row in rows) if len(rows) > 1 else None,
        }
        for key, rows in sorted(groups.items())
    ]


if __name__ == "__main__":
    if not os.environ.get("REDS_DATA"):
        sys.exit("Set REDS_DATA to a folder that holds Speech Commands.")
    main()
