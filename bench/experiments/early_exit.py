"""Asks exits in turn until one is sure enough: accuracy and instructions for several allowed losses.

    python bench/experiments/early_exit.py RECORD.json DATA MODEL.tflite [OTHER.tflite ...] [--board qemu:cortex-m4]

The files are those of runs of `depth.py`. Exits of MODEL and their thresholds are chosen on the validation split, as
`reds thresholds` does; everything in the record is of the test split. Each is compared with the single subnetwork of
any of the files, all without thresholds, that takes the fewest instructions and answers no fewer samples right.
"""

import argparse
import json
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from numpy.typing import NDArray

from reds.confidence import Cascade, calibrate_exits, run_cascade
from reds.datasets import load
from reds.files import write_atomically
from reds.inspecting import inspect
from reds.measuring import measure_accuracy, measure_instructions
from reds.runtime import Runtime
from reds.stop_costs import count_stops

LOSSES = (0.0, 0.005, 0.01, 0.02, 0.03, 0.05)


@dataclass(frozen=True)
class Single:
    """A subnetwork that answers alone."""

    file: str
    name: str
    accuracy: float
    instructions: int


def singles(path: Path, board: str, x: NDArray, labels: NDArray) -> list[Single]:
    """All subnetworks of a file, measured."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(shutil.copy(path, folder))
        accuracies = measure_accuracy(copy, x, labels)
        runtime = Runtime(copy)
        counts = measure_instructions(copy, board, runtime.quantize(x[0])).instructions
    names = [info.name for info in runtime.subnetworks]
    return [Single(path.parent.name, *row) for row in zip(names, accuracies, counts, strict=True)]


def rival(candidates: Sequence[Single], accuracy: float) -> Single | None:
    """The cheapest that is at least so accurate."""
    good = [one for one in candidates if one.accuracy >= accuracy]
    return min(good, key=lambda one: one.instructions, default=None)


def cascade_on_test(path: Path, chosen: Cascade, board: str, x: NDArray, labels: NDArray) -> Cascade:
    """What was chosen on the validation split, on the test split."""
    subnetworks = [stop.subnetwork for stop in chosen.stops]
    costs = count_stops(path, board, subnetworks, Runtime(path).quantize(x[0]))
    return run_cascade(path, subnetworks, x, labels, costs)


def measure(data: str, model: Path, others: Sequence[Path], board: str) -> dict:
    """The record."""
    dataset = load(data)
    shape = Runtime(model).input.shape
    x, labels = dataset.test.with_input_shape(shape).features()
    validation = dataset.validation.with_input_shape(shape).features()
    alone = [one for path in (model, *others) for one in singles(path, board, x, labels)]
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for loss in LOSSES:
            path = Path(shutil.copy(model, folder))
            chosen = calibrate_exits(path, *validation, loss, board)
            found = cascade_on_test(path, chosen, board, x, labels)
            best = rival(alone, found.accuracy)
            costs = {"mean_cost": found.mean_cost, "worst_cost": found.worst_cost}
            arena = max(Runtime(path).subnetworks[stop.subnetwork].arena_bytes for stop in found.stops)
            rows.append({"loss": loss, **asdict(found), **costs, "arena_bytes": arena, "rival": best and asdict(best)})
            print(
                loss, [(stop.exit, round(stop.share, 3)) for stop in found.stops], found.accuracy, found.mean_cost, best
            )
    return {
        "data": data,
        "network": inspect(model).name,
        "run": "/".join(model.parts[-4:-2]),
        "kinds": [path.parent.name for path in (model, *others)],
        "samples": len(x),
        "validation_samples": len(validation[0]),
        "board": board,
        "singles": [asdict(one) for one in alone],
        "rows": rows,
    }


def main() -> None:
    """Writes the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("record", type=Path)
    parser.add_argument("data")
    parser.add_argument("model", type=Path)
    parser.add_argument("others", type=Path, nargs="*")
    parser.add_argument("--board", default="qemu:cortex-m4")
    arguments = parser.parse_args()
    record = measure(arguments.data, arguments.model, arguments.others, arguments.board)
    write_atomically(arguments.record, (json.dumps(record, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
