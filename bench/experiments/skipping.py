"""Compares skipped blocks and width: python bench/experiments/skipping.py RECORD.json [--out DIR] [options].

A residual network with three blocks in each of three stages, as ResNet-20 has, but narrower and for grey images of
28 x 28 pixels, is trained on Fashion-MNIST (REDS_DATA). For every seed and kind subnetworks are made of it:

- width: the widths that meet each budget.
- blocks: all channels, and one block less each time, from the last to the first.
- both: of all widths and of all numbers of blocks within each budget those with the best validation accuracy.
- chosen: the same, trained again without the rest.

All are trained for as many epochs. It records what libreds measures of every subnetwork on the test split, its
instructions on a Cortex-M4, what those that may be chosen reach on the validation split, and means and deviations over
the seeds. What the record holds is not made again, and what an interruption left of the rest is in DIR. The record is
written after every result.
"""

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from comparison import Task, complete, means, reds, tasks

from reds import datasets, pruning
from reds.cli import options
from reds.graph import Family
from reds.inspecting import inspect
from reds.pruning import PrunedRun, PruneSettings
from reds.run_folder import CANDIDATES_FILE, CANDIDATES_TABLE_FILE
from reds.skipping import AUTO
from reds.store import load
from reds.training import train
from reds.zoo import FASHION_MNIST_SHAPE, IMAGE_CLASSES

if TYPE_CHECKING:
    import keras

ARCHITECTURE, DATA = "resnet_20_narrow", "fashion_mnist"
STAGES = (8, 16, 32)
"""Filters of each stage; the map halves from one to the next."""
BLOCKS = 3
"""Residual blocks of a stage."""

CORE = "cortex-m4"
BOARD = f"qemu:{CORE}"

NO_BUDGET = (1.0,)
"""Every network meets it, so nothing is narrowed."""


@dataclass(frozen=True)
class Request:
    """What to compare, and for how long to train."""

    seeds: tuple[int, ...]
    kinds: tuple[str, ...]
    budgets: tuple[float, ...]
    training_samples: int
    training_epochs: int
    finetuning_epochs: int
    folder: Path

    def settings(self) -> dict[str, Any]:
        """What all results of one record have in common."""
        names = ("training_samples", "training_epochs", "finetuning_epochs")
        return {"data": DATA, "budgets": list(self.budgets), **{name: getattr(self, name) for name in names}}


@dataclass(frozen=True)
class Kind:
    """How subnetworks are made of the trained network."""

    narrows: bool
    skips: bool
    alone: bool = False
    """Whether what was chosen among all that was found is trained again, without the rest, from the same network."""

    @property
    def chooses(self) -> bool:
        """Whether validation accuracy decides what is compared."""
        return self.narrows and self.skips

    def settings(self, request: Request, seed: int) -> PruneSettings:
        """Those of its run. All that is found is kept, so every kind is trained once for as many epochs."""
        return PruneSettings(
            budgets=request.budgets if self.narrows else NO_BUDGET,
            skip_blocks=AUTO if self.skips else (),
            keep_all=self.skips,
            epochs=request.finetuning_epochs,
            seed=seed,
        )


KINDS = {
    "width": Kind(narrows=True, skips=False),
    "blocks": Kind(narrows=False, skips=True),
    "both": Kind(narrows=True, skips=True),
    "chosen": Kind(narrows=True, skips=True, alone=True),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Makes what the record lacks."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("record", type=Path, metavar="RECORD.json")
    parser.add_argument("--seeds", type=options.seeds, default=(0, 1, 2), metavar="S,...")
    parser.add_argument("--kinds", type=options.names, default=tuple(KINDS), metavar="KIND,...")
    parser.add_argument("--budgets", type=options.budgets, default=(0.25, 0.5, 0.75), metavar="B,...")
    parser.add_argument("--training-samples", type=options.positive, default=20_000)
    parser.add_argument("--training-epochs", type=options.positive, default=14)
    parser.add_argument("--finetuning-epochs", type=options.not_negative, default=10)
    parser.add_argument("--out", type=Path, default=Path("runs/skipping"), metavar="DIR", help="for the run folders")
    chosen = parser.parse_args(arguments)
    unknown = set(chosen.kinds) - set(KINDS)
    if unknown:
        parser.error(f"--kinds are among {', '.join(KINDS)}, not {', '.join(sorted(unknown))}")
    request = Request(
        chosen.seeds,
        chosen.kinds,
        chosen.budgets,
        chosen.training_samples,
        chosen.training_epochs,
        chosen.finetuning_epochs,
        chosen.out,
    )
    wanted = tasks((ARCHITECTURE,), request.seeds, request.kinds)
    complete(chosen.record, request.settings(), wanted, lambda task: _measured(task, request), _summary)


def residual_network(seed: int) -> "keras.Model":
    """The network with fresh weights.

    The first block of a stage that is narrower than the stage has a convolution in its shortcut, so it cannot be
    skipped; all others can.
    """
    import keras
    from keras import layers

    keras.utils.set_random_seed(seed)
    inputs = keras.Input(FASHION_MNIST_SHAPE, name="input")
    x = layers.ReLU(name="stem_relu")(_convolution(inputs, "stem", STAGES[0], stride=2))
    for stage, filters in enumerate(STAGES, start=1):
        for block in range(1, BLOCKS + 1):
            x = _block(x, f"stage{stage}_block{block}", filters)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    x = layers.Dense(IMAGE_CLASSES, name="classifier")(x)
    return keras.Model(inputs, layers.Softmax(name="softmax")(x), name=ARCHITECTURE)


def _block(x: "keras.KerasTensor", name: str, filters: int) -> "keras.KerasTensor":
    from keras import layers

    stride = 1 if x.shape[-1] == filters else 2
    branch = layers.ReLU(name=f"{name}_conv1_relu")(_convolution(x, f"{name}_conv1", filters, stride))
    branch = _convolution(branch, f"{name}_conv2", filters)
    if stride > 1:
        x = layers.Conv2D(filters, 1, stride, "same", name=f"{name}_shortcut")(x)
    return layers.ReLU(name=f"{name}_relu")(layers.Add(name=name)([x, branch]))


def _convolution(x: "keras.KerasTensor", name: str, filters: int, stride: int = 1) -> "keras.KerasTensor":
    from keras import layers

    x = layers.Conv2D(filters, 3, stride, "same", use_bias=False, name=name)(x)
    return layers.BatchNormalization(name=f"{name}_bn")(x)


def _measured(task: Task, request: Request) -> dict[str, Any]:
    base = request.folder / f"{request.training_samples}-{request.training_epochs}" / f"seed-{task.seed}"
    dataset = _dataset(request.training_samples, task.seed)
    model = residual_network(task.seed)
    train(model, dataset, request.training_epochs, seed=task.seed, run_dir=base, on_epoch=_say)
    kind = KINDS[task.kind]
    settings = kind.settings(request, task.seed)
    folder = base / f"{task.kind}-{request.finetuning_epochs}"
    if kind.alone:
        searched = base / f"both-{request.finetuning_epochs}"
        run = _trained_alone(model, dataset, searched, folder, settings)
    else:
        run = pruning.prune(model, dataset, folder, settings, _say)
    reds("bench", run.model, "--board", BOARD, "--record")
    return {"subnetworks": _rows(run, kind)}


def _trained_alone(
    model: "keras.Model", dataset: datasets.Dataset, searched: Path, folder: Path, settings: PruneSettings
) -> PrunedRun:
    """Trains what was chosen in a search without the rest."""
    if not (searched / CANDIDATES_TABLE_FILE).exists():
        pruning.prune(model, dataset, searched, settings, _say)
    family = load(searched / CANDIDATES_FILE, Family)
    found = json.loads((searched / CANDIDATES_TABLE_FILE).read_text(encoding="utf-8"))
    kept = tuple(subnetwork for subnetwork, one in zip(family.subnetworks, found, strict=True) if one["kept"])
    return pruning.complete(replace(family, subnetworks=kept), dataset, folder, settings, _say)


def _dataset(training_samples: int, seed: int) -> datasets.Dataset:
    """Fashion-MNIST with some of its training samples, and all others."""
    dataset = datasets.load(DATA, seed=seed)
    chosen = np.random.default_rng(seed).permutation(len(dataset.train))[:training_samples]
    return replace(dataset, train=dataset.train.take(np.sort(chosen)))


def _say(what: object) -> None:
    print(what, file=sys.stderr, flush=True)


def _rows(run: PrunedRun, kind: Kind) -> list[dict[str, Any]]:
    names = ("name", "widths", "macs", "parameters", "flash_bytes", "arena_bytes", "accuracy")
    rows = [
        {
            **{name: getattr(row, name) for name in names},
            "skips": subnetwork.skips,
            "instructions": row.targets[CORE].instructions,
        }
        for row, subnetwork in zip(inspect(run.model).subnetworks, run.family.subnetworks, strict=True)
    ]
    if kind.alone or not kind.skips:
        return rows
    found = json.loads((run.folder / CANDIDATES_TABLE_FILE).read_text(encoding="utf-8"))
    return [
        {**row, "validation_accuracy": one["accuracy"], "kept": one["kept"] or not kind.chooses}
        for row, one in zip(rows, found, strict=True)
    ]


def _summary(results: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Mean and sample standard deviation over the seeds, per budget whatever blocks are skipped, or per blocks."""
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for result in results:
        for row in (one for one in result["subnetworks"] if one.get("kept", True)):
            budget = row["name"].partition("-")[0]
            name = row["name"] if result["kind"] == "blocks" else budget
            groups.setdefault((result["kind"], name), []).append(row)
    return [
        {
            **dict(zip(("kind", "subnetwork"), key, strict=True)),
            "seeds": len(rows),
            "skipped": sorted({len(row["skips"]) for row in rows}),
            **means(rows),
        }
        for key, rows in sorted(groups.items())
    ]


if __name__ == "__main__":
    if not os.environ.get("REDS_DATA"):
        sys.exit("Set REDS_DATA to a folder that holds Fashion-MNIST.")
    main()
