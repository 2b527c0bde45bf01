"""Compares width, depth and both: python bench/experiments/depth.py RECORD.json [--out DIR] [options].

For every architecture and seed it trains a network and makes of it what each kind stands for, on real data (REDS_DATA):

- width, joint, width_labels, joint_labels: as `reds baseline` makes them; joint_compact with another head.
- depth: an exit behind every block too, but on the frozen network, as published; depth_dense and depth_compact with
  another head.
- depth_unfrozen, depth_unfrozen_labels: what `reds baseline` calls depth and depth_labels, with the network trained
  too; depth_compact_unfrozen with another head.

It records what libreds measures of every subnetwork on the test split and its instructions on a Cortex-M4, and means
and deviations over the seeds. What the record holds is not made again, and what an interruption left of the rest is in
DIR. The record is written after every result.
"""

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from comparison import Task, complete, means, reds, tasks

from reds.baselines.families import family_settings
from reds.baselines.table import budget_of
from reds.cli import options, output
from reds.cli.demo import EPOCHS, FINETUNE_EPOCHS
from reds.graph import Graph
from reds.heads import HeadKind
from reds.inspecting import inspect
from reds.pruning import PruneSettings, prune
from reds.run_folder import BASELINE_FILE, CANDIDATES_TABLE_FILE
from reds.tracing import trace

CORE = "cortex-m4"
BOARD = f"qemu:{CORE}"


@dataclass(frozen=True)
class Kind:
    """How a kind is made of a trained network."""

    family: str
    """A kind of `reds baseline`."""
    head: HeadKind = "auxiliary"
    frozen: bool = False
    """Whether its exits are trained behind the frozen network."""


KINDS = {
    "width": Kind("width"),
    "depth": Kind("depth", frozen=True),
    "depth_dense": Kind("depth", "dense", frozen=True),
    "depth_compact": Kind("depth", "compact", frozen=True),
    "depth_unfrozen": Kind("depth"),
    "depth_compact_unfrozen": Kind("depth", "compact"),
    "joint": Kind("joint"),
    "joint_compact": Kind("joint", "compact"),
    "width_labels": Kind("width_labels"),
    "depth_unfrozen_labels": Kind("depth_labels"),
    "joint_labels": Kind("joint_labels"),
}


@dataclass(frozen=True)
class Request:
    """What to compare, and for how long to train."""

    data: str
    architectures: tuple[str, ...]
    seeds: tuple[int, ...]
    kinds: tuple[str, ...]
    budgets: str
    metric: str
    training_epochs: int
    finetuning_epochs: int
    exit_epochs: int
    folder: Path

    def settings(self) -> dict[str, Any]:
        """What all results of one record have in common."""
        names = ("data", "budgets", "metric", "training_epochs", "finetuning_epochs", "exit_epochs")
        return {name: getattr(self, name) for name in names}


def main(arguments: Sequence[str] | None = None) -> None:
    """Makes what the record lacks."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("record", type=Path, metavar="RECORD.json")
    parser.add_argument("--data", default="speech_commands", metavar="NAME")
    parser.add_argument("--architectures", type=options.names, default=("ds_cnn_s",), metavar="NAME,...")
    parser.add_argument("--seeds", type=options.seeds, default=(0, 1, 2), metavar="S,...")
    parser.add_argument("--kinds", type=options.names, default=tuple(KINDS), metavar="KIND,...")
    parser.add_argument("--budgets", default="0.25,0.5,0.75", metavar="B,...")
    parser.add_argument("--metric", default="macs")
    parser.add_argument("--training-epochs", type=options.positive, default=EPOCHS)
    parser.add_argument("--finetuning-epochs", type=options.not_negative, default=FINETUNE_EPOCHS)
    parser.add_argument("--exit-epochs", type=options.not_negative, default=FINETUNE_EPOCHS)
    parser.add_argument("--out", type=Path, default=Path("runs/depth"), metavar="DIR", help="for the run folders")
    chosen = parser.parse_args(arguments)
    unknown = set(chosen.kinds) - set(KINDS)
    if unknown:
        parser.error(f"--kinds are among {', '.join(KINDS)}, not {', '.join(sorted(unknown))}")
    request = Request(
        chosen.data,
        chosen.architectures,
        chosen.seeds,
        chosen.kinds,
        chosen.budgets,
        chosen.metric,
        chosen.training_epochs,
        chosen.finetuning_epochs,
        chosen.exit_epochs,
        chosen.out,
    )
    wanted = tasks(request.architectures, request.seeds, request.kinds)
    complete(chosen.record, request.settings(), wanted, lambda task: _measured(task, request), _summary)


def _measured(task: Task, request: Request) -> dict[str, Any]:
    base = request.folder / f"{task.architecture}-{request.training_epochs}" / f"seed-{task.seed}"
    model, folder = base / BASELINE_FILE, base / f"{task.kind}-{request.finetuning_epochs}"
    if not model.exists():
        epochs = ("--epochs", request.training_epochs)
        reds("train", task.architecture, "--data", request.data, "--seed", task.seed, *epochs, "--out", base)
    network = options.load_keras_model(model)
    dataset = options.load_dataset(request.data, None, task.seed)
    emitted = prune(network, dataset, folder, _settings(task, request, trace(network)), output.Stages()).model
    reds("bench", emitted, "--board", BOARD, "--record")
    candidates = folder / CANDIDATES_TABLE_FILE
    found = json.loads(candidates.read_text(encoding="utf-8")) if candidates.exists() else []
    return {"subnetworks": _rows(emitted), "candidates": found}


def _settings(task: Task, request: Request, network: Graph) -> PruneSettings:
    """How a kind is made."""
    kind = KINDS[task.kind]
    settings = PruneSettings(
        budgets=options.budgets(request.budgets),
        metric=request.metric,
        head=kind.head,
        epochs=request.finetuning_epochs,
        exit_epochs=request.exit_epochs,
        seed=task.seed,
    )
    family = family_settings(kind.family, settings, network)
    return replace(family, exit_training="frozen") if kind.frozen else family


def _rows(emitted: Path) -> list[dict[str, Any]]:
    names = ("name", "exit", "widths", "macs", "parameters", "flash_bytes", "arena_bytes", "accuracy")
    return [
        {**{name: getattr(row, name) for name in names}, "instructions": row.targets[CORE].instructions}
        for row in inspect(emitted).subnetworks
    ]


def _summary(results: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Mean and sample standard deviation over the seeds: per subnetwork of a name, which in a joint search begins with
    its budget whatever exit it takes."""
    groups: dict[tuple[str, str, str], list[Mapping[str, Any]]] = {}
    for result in results:
        for row in result["subnetworks"]:
            groups.setdefault((result["architecture"], result["kind"], budget_of(row)), []).append(row)
    return [
        {
            **dict(zip(("architecture", "kind", "subnetwork"), key, strict=True)),
            "seeds": len(rows),
            "exits": sorted({row["exit"] for row in rows}),
            **means(rows),
        }
        for key, rows in sorted(groups.items())
    ]


if __name__ == "__main__":
    if not os.environ.get("REDS_DATA"):
        sys.exit("Set REDS_DATA to a folder that holds the data.")
    main()
