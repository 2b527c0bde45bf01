"""Changes inferences in flight: what narrowing after each operation does to the accuracy, and what the change costs.

    python bench/experiments/change_in_flight.py MODEL.tflite DATA [--board qemu:cortex-m4]

Every inference of the test split begins in the full network and goes on in a narrower subnetwork after an operation,
for each subnetwork of the same exit and each operation. The board counts the instructions of the change alone.
"""

import argparse
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from reds.datasets import load
from reds.files import write_atomically
from reds.model_file import decode, read_model_file
from reds.runtime import Runtime
from reds_bench.client import Bench
from reds_bench.emulator import boot

RECORD = Path(__file__).with_suffix(".json")
FULL = 0


@dataclass(frozen=True)
class Change:
    """Inferences that go on in another subnetwork."""

    subnetwork: str
    operations: int
    """How many of the full network run before."""
    accuracy: float
    instructions: int
    """Of the change."""


@dataclass(frozen=True)
class Operation:
    """One operation of the full network."""

    name: str
    instructions: int


def accuracy(runtime: Runtime, wanted: int, operations: int, inputs: NDArray, labels: NDArray) -> float:
    """Fraction answered right where each inference goes on in another subnetwork after so many operations.

    Args:
        runtime: the model; its full network is selected.
        wanted: the other subnetwork.
        operations: how many of the full network run before.
        inputs: (samples, *input shape) in the model's own type.
        labels: (samples,) right answers.
    """
    right = 0
    for sample, label in zip(inputs, labels, strict=True):
        runtime.input[...] = sample
        for _ in range(operations):
            runtime.step()
        runtime.continue_in(wanted)
        while runtime.step():
            pass
        right += int(runtime.output.argmax() == label)
    return right / len(inputs)


def measure(model: Path, data: str, board: str) -> dict:
    """The record of a model on the test split of a data set."""
    network = decode(read_model_file(model))
    x, labels = load(data).test.features()
    runtime = Runtime(model)
    runtime.select(FULL)
    inputs = runtime.quantize(x)
    changes = []
    with boot(board, model) as url, Bench(url) as bench:
        bench.select(FULL)
        bench.upload(inputs[0].tobytes())
        steps = network.subnetworks[FULL].steps
        costs = bench.operations()
        operations = [
            Operation(network.layers[step.layer].name, cost.instructions)
            for step, cost in zip(steps, costs, strict=True)
        ]
        for info in runtime.subnetworks[1:]:
            if info.exit != runtime.subnetworks[FULL].exit:
                continue
            for done in range(1, len(steps)):
                right = accuracy(runtime, info.id, done, inputs, labels)
                changes.append(Change(info.name, done, right, bench.continue_in(info.id, done)))
                print(changes[-1], flush=True)
    return {
        "data": data,
        "samples": len(inputs),
        "board": board,
        "subnetworks": [_subnetwork(runtime, index, inputs, labels) for index in range(len(runtime.subnetworks))],
        "operations": [asdict(operation) for operation in operations],
        "changes": [asdict(change) for change in changes],
    }


def _subnetwork(runtime: Runtime, index: int, inputs: NDArray, labels: NDArray) -> dict:
    runtime.select(index)
    answers = runtime.invoke(inputs).reshape(len(inputs), -1).argmax(axis=1)
    return {"name": runtime.subnetworks[index].name, "accuracy": float(np.mean(answers == labels))}


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
