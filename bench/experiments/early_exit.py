"""Asks subnetworks in turn until one is sure enough: accuracy and instructions for several allowed losses.

    python bench/experiments/early_exit.py RECORD.json DATA RUNS --asked KIND[,KIND] --rivals KIND[,KIND]
        [--board qemu:cortex-m4]

RUNS is a folder that `depth.py` made for one network, with `seed-N/KIND/model.tflite`. In each file of the kinds to
ask, of every seed that has it, subnetworks and their thresholds are chosen on the validation split, as `reds
thresholds` does; everything in the record is of the test split. Each choice is compared with two single subnetworks of
any of the seed's files, all without thresholds. One was chosen on the validation split, too: it takes the fewest
instructions of those that lose no more against the file's largest, with the same certainty. The other one is chosen
with hindsight: of those that answer no fewer samples of the test split right the one with the fewest instructions or,
where there is none, the most accurate one.
"""

import argparse
import json
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from reds.confidence import Answers, calibrate_cascade, run_cascade
from reds.datasets import Dataset, load
from reds.files import write_atomically
from reds.inspecting import inspect
from reds.measuring import measure_accuracy, measure_instructions
from reds.runtime import Runtime

LOSSES = (0.0, 0.005, 0.01, 0.02, 0.03, 0.05)


@dataclass(frozen=True)
class Single:
    """A subnetwork that answers alone."""

    kind: str
    name: str
    accuracy: float
    instructions: int
    validated: NDArray[np.bool_] = field(repr=False)
    """Per sample of the validation split whether it answers right."""

    def record(self) -> dict:
        """What is written of it."""
        return {"kind": self.kind, "name": self.name, "accuracy": self.accuracy, "instructions": self.instructions}


def singles(path: Path, board: str, dataset: Dataset) -> list[Single]:
    """All subnetworks of a file, measured."""
    runtime = Runtime(path)
    x, labels = dataset.test.with_input_shape(runtime.input.shape).features()
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(shutil.copy(path, folder))
        accuracies = measure_accuracy(copy, x, labels)
        counts = measure_instructions(copy, board, runtime.quantize(x[0])).instructions
    names = [info.name for info in runtime.subnetworks]
    validated = right_on_validation(runtime, dataset)
    return [Single(path.parent.name, *row) for row in zip(names, accuracies, counts, validated, strict=True)]


def right_on_validation(runtime: Runtime, dataset: Dataset) -> list[NDArray[np.bool_]]:
    """Per subnetwork and sample."""
    x, labels = dataset.validation.with_input_shape(runtime.input.shape).features()
    inputs = runtime.quantize(x)
    found = []
    for subnetwork in range(len(runtime.subnetworks)):
        runtime.select(subnetwork)
        found.append(runtime.invoke(inputs).reshape(len(x), -1).argmax(axis=1) == labels)
    return found


def chosen_alike(candidates: Sequence[Single], reference: Single, loss: float) -> Single:
    """The cheapest that on the validation split likely loses no more than is allowed."""

    def likely_loss(one: Single) -> float:
        is_right = np.array([one.validated, reference.validated])
        return Answers(np.zeros(is_right.shape), is_right, alone=1).likely_loss((0,), ())

    return min((one for one in candidates if likely_loss(one) <= loss), key=lambda one: one.instructions)


def rival(candidates: Sequence[Single], accuracy: float) -> Single:
    """The cheapest that on the test split is at least so accurate, or the most accurate one."""
    good = [one for one in candidates if one.accuracy >= accuracy]
    if not good:
        return max(candidates, key=lambda one: (one.accuracy, -one.instructions))
    return min(good, key=lambda one: one.instructions)


def cascade(path: Path, loss: float, board: str, dataset: Dataset) -> dict:
    """What is chosen on the validation split, on the test split."""
    shape = Runtime(path).input.shape
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(shutil.copy(path, folder))
        chosen = calibrate_cascade(copy, *dataset.validation.with_input_shape(shape).features(), loss, board)
        asked = [stop.subnetwork for stop in chosen.stops]
        found = run_cascade(copy, asked, *dataset.test.with_input_shape(shape).features(), board)
        infos = Runtime(copy).subnetworks
    return {
        "loss": loss,
        **asdict(found),
        "names": [infos[one].name for one in asked],
        "mean_cost": found.mean_cost,
        "worst_cost": found.worst_cost,
        "arena_bytes": max(infos[one].arena_bytes for one in asked),
    }


def measure(seed: Path, asked: Sequence[str], rivals: Sequence[str], board: str, dataset: Dataset) -> list[dict]:
    """The rows of one seed: per file that is there and per loss."""
    paths = [seed / kind / "model.tflite" for kind in asked]
    paths = [path for path in paths if path.exists()]
    files = dict.fromkeys([*paths, *(seed / kind / "model.tflite" for kind in rivals)])
    alone = [one for path in files for one in singles(path, board, dataset)]
    rows = []
    for path in paths:
        for loss in LOSSES:
            found = cascade(path, loss, board, dataset)
            largest = [one for one in alone if one.kind == path.parent.name][found["alone"]]
            against = {"chosen": chosen_alike(alone, largest, loss), "rival": rival(alone, found["accuracy"])}
            records = {name: single.record() for name, single in against.items()}
            rows.append({"seed": seed.name, "kind": path.parent.name, **found, **records})
            print(seed.name, path.parent.name, loss, found["names"], found["accuracy"], found["mean_cost"], records)
    return rows


def main() -> None:
    """Writes the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("record", type=Path)
    parser.add_argument("data")
    parser.add_argument("runs", type=Path)
    parser.add_argument("--asked", required=True, type=lambda kinds: kinds.split(","))
    parser.add_argument("--rivals", required=True, type=lambda kinds: kinds.split(","))
    parser.add_argument("--board", default="qemu:cortex-m4")
    arguments = parser.parse_args()
    dataset = load(arguments.data)
    seeds = sorted(arguments.runs.glob("seed-*"))
    rows = [row for seed in seeds for row in measure(seed, arguments.asked, arguments.rivals, arguments.board, dataset)]
    record = {
        "data": arguments.data,
        "network": inspect(seeds[0] / arguments.asked[0] / "model.tflite").name,
        "run": arguments.runs.name,
        "asked": arguments.asked,
        "rivals": arguments.rivals,
        "samples": len(dataset.test),
        "validation_samples": len(dataset.validation),
        "board": arguments.board,
        "rows": rows,
    }
    write_atomically(arguments.record, (json.dumps(record, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
