"""Compares width, depth and both: python bench/experiments/depth.py RECORD.json [--out DIR] [options].

For every architecture and seed it trains a network and makes of it what each kind stands for, on real data (REDS_DATA):

- width: the widths that meet each budget, no exits.
- depth: an exit with an auxiliary head behind every block, on the frozen network; depth_dense and depth_compact with
  another head, depth_unfrozen and depth_compact_unfrozen with the network trained too.
- joint: the most accurate exit and widths of each budget; joint_compact with another head.
- width_labels, depth_unfrozen_labels, joint_labels: the same without distillation.

It records what libreds measures of every subnetwork on the test split and its instructions on a Cortex-M4, and means
and deviations over the seeds. What the record holds is not made again, and what an interruption left of the rest is in
DIR. The record is written after every result.
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
from reds.inspecting import inspect

CORE = "cortex-m4"
BOARD = f"qemu:{CORE}"

NO_BUDGET = "1"
"""Only the full network meets it, so nothing is narrowed."""

UNFROZEN = ("--exit-training", "joint")
LABELS_ONLY = ("--loss", "weighted")


@dataclass(frozen=True)
class Kind:
    """How a kind is made of a trained network."""

    exits: str | None
    """"blocks": one behind every block; "auto": those worth training; None: no exits."""
    narrows: bool
    """Whether the budgets are searched for."""
    options: tuple[str, ...] = ()


KINDS = {
    "width": Kind(None, narrows=True),
    "depth": Kind("blocks", narrows=False),
    "depth_dense": Kind("blocks", narrows=False, options=("--head", "dense")),
    "depth_compact": Kind("blocks", narrows=False, options=("--head", "compact")),
    "depth_unfrozen": Kind("blocks", narrows=False, options=UNFROZEN),
    "depth_compact_unfrozen": Kind("blocks", narrows=False, options=("--head", "compact", *UNFROZEN)),
    "joint": Kind("auto", narrows=True, options=("--joint",)),
    "joint_compact": Kind("auto", narrows=True, options=("--joint", "--head", "compact")),
    "width_labels": Kind(None, narrows=True, options=LABELS_ONLY),
    "depth_unfrozen_labels": Kind("blocks", narrows=False, options=(*UNFROZEN, *LABELS_ONLY)),
    "joint_labels": Kind("auto", narrows=True, options=("--joint", *LABELS_ONLY)),
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
    model, folder = base / "model.keras", base / f"{task.kind}-{request.finetuning_epochs}"
    common = ("--data", request.data, "--seed", str(task.seed))
    if not model.exists():
        reds("train", task.architecture, *common, "--epochs", request.training_epochs, "--out", base)
    emitted = folder / "model.tflite"
    reds(*_prune(task, request, model), *common, "--out", folder)
    reds("bench", emitted, "--board", BOARD, "--record")
    candidates = folder / "candidates.json"
    found = json.loads(candidates.read_text(encoding="utf-8")) if candidates.exists() else []
    return {"subnetworks": _rows(emitted), "candidates": found}


def _prune(task: Task, request: Request, model: Path) -> tuple[object, ...]:
    """The command that makes a kind."""
    kind = KINDS[task.kind]
    exits: tuple[str, ...] = ()
    if kind.exits is not None:
        exits = ("--exits", _blocks(task.architecture) if kind.exits == "blocks" else kind.exits)
    budgets = request.budgets if kind.narrows else NO_BUDGET
    epochs = ("--epochs", request.finetuning_epochs, "--exit-epochs", request.exit_epochs)
    return ("prune", model, "--budgets", budgets, "--metric", request.metric, *epochs, *exits, *kind.options)


def _blocks(architecture: str) -> str:
    """The names of the layers that end a block."""
    from reds import zoo
    from reds.exits import possible_taps
    from reds.tracing import trace

    taps = possible_taps(trace(zoo.build(architecture)))
    return ",".join(tap for tap in taps if tap == "conv1" or tap.endswith("_pointwise"))


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
            budget = row["name"].partition("@")[0]
            groups.setdefault((result["architecture"], result["kind"], budget), []).append(row)
    return [
        {
            **dict(zip(("architecture", "kind", "subnetwork"), key, strict=True)),
            "seeds": len(rows),
            "exits": sorted({row["exit"] for row in rows}),
            "macs": round(statistics.mean(row["macs"] for row in rows)),
            "instructions": round(statistics.mean(row["instructions"] for row in rows)),
            "arena_bytes": round(statistics.mean(row["arena_bytes"] for row in rows)),
            "accuracy": statistics.mean(row["accuracy"] for row in rows),
            "deviation": statistics.stdev(row["accuracy"] for row in rows) if len(rows) > 1 else None,
        }
        for key, rows in sorted(groups.items())
    ]


if __name__ == "__main__":
    if not os.environ.get("REDS_DATA"):
        sys.exit("Set REDS_DATA to a folder that holds the data.")
    main()
