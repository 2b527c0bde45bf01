"""Leaves at an exit where its answer is sure enough: accuracy and mean instructions for several allowed losses.

    python bench/experiments/early_exit.py MODEL.tflite DATA [--board qemu:cortex-m4]

Thresholds are chosen on the validation split, as `reds thresholds` does; everything in the record is of the test split.
An inference that is not sure at the exit goes on in the full network from the features that it has.
"""

import argparse
import json
import shutil
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from reds.confidence import CalibratedExit, calibrate_exits
from reds.datasets import load
from reds.files import write_atomically
from reds.runtime import Runtime
from reds_bench.client import Bench
from reds_bench.emulator import boot

RECORD = Path(__file__).with_suffix(".json")
LOSSES = (0.0, 0.01, 0.02, 0.05)
FULL = 0


@dataclass(frozen=True)
class Row:
    """One threshold on the test split."""

    loss: float
    """Allowed on the validation split."""
    threshold: float
    left_early: float
    accuracy: float
    instructions: float
    """Mean of an inference."""


@dataclass(frozen=True)
class Costs:
    """Instructions on the board."""

    full: int
    """Of the full network."""
    shallow: int
    """From the input to the exit."""
    going_on: int
    """From the exit to the network's own output, the change included."""


def count(board: str, path: Path, calibrated: CalibratedExit, sample: bytes) -> Costs:
    """What the parts of an inference cost; the counts hardly depend on the sample."""
    with boot(board, path) as url, Bench(url) as bench:
        bench.upload(sample)
        counts = []
        operations = []
        for subnetwork in (FULL, calibrated.subnetwork):
            bench.select(subnetwork)
            bench.infer()
            counts.append(bench.stats().last_instructions)
            operations.append(bench.operations())
        shared = sum(one.layer == other.layer for one, other in zip(*operations, strict=False))
        change = bench.continue_in(calibrated.deeper, len(operations[1]))
        rest = sum(cost.instructions for cost in operations[0][shared:])
    return Costs(counts[0], counts[1], change + rest)


def answer(path: Path, calibrated: CalibratedExit, inputs: NDArray) -> tuple[NDArray, NDArray]:
    """The classes that libreds answers, and which inferences left early."""
    runtime = Runtime(path)
    runtime.select(calibrated.subnetwork)
    classes, early = [], []
    for sample in inputs:
        runtime.invoke(sample)
        early.append(runtime.is_confident)
        if not runtime.is_confident:
            runtime.continue_in(calibrated.deeper)
            while runtime.step():
                pass
        classes.append(int(runtime.output.argmax()))
    return np.array(classes), np.array(early)


def measure(model: Path, data: str, board: str) -> dict:
    """The record of a model with one exit."""
    dataset = load(data)
    x, labels = dataset.test.features()
    runtime = Runtime(model)
    inputs = runtime.quantize(x)
    runtime.select(FULL)
    full = runtime.invoke(inputs).argmax(axis=1)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.tflite"
        for loss in LOSSES:
            shutil.copy(model, path)
            (calibrated,) = calibrate_exits(path, *dataset.validation.features(), loss)
            costs = count(board, path, calibrated, inputs[0].tobytes())
            classes, early = answer(path, calibrated, inputs)
            mean = costs.shallow + float(np.mean(~early)) * costs.going_on
            rows.append(Row(loss, calibrated.threshold, float(early.mean()), float(np.mean(classes == labels)), mean))
            print(rows[-1], flush=True)
        arenas = [info.arena_bytes for info in Runtime(path).subnetworks]
    return {
        "data": data,
        "samples": len(inputs),
        "board": board,
        "exit": calibrated.exit,
        "full_accuracy": float(np.mean(full == labels)),
        "instructions": asdict(costs),
        "arena_bytes": {"full": arenas[FULL], "shallow": arenas[calibrated.subnetwork]},
        "rows": [asdict(row) for row in rows],
    }


def main() -> None:
    """Writes the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("data")
    parser.add_argument("--board", default="qemu:cortex-m4")
    arguments = parser.parse_args()
    record = measure(arguments.model, arguments.data, arguments.board)
    write_atomically(RECORD, (json.dumps(record, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
