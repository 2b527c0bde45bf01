"""Compares a core's cost table with what an emulated board counts for whole networks that it was not fitted to.

    python bench/experiments/cost_table.py [--board qemu:cortex-m4] [--out FILE]

Each network is a fresh one of the zoo, at its full and at random widths. The record is `cost_table.json` beside this
file.
"""

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from reds import zoo
from reds.calibrating import measure
from reds.files import write_atomically
from reds.targets import Target, load_target
from reds.tracing import trace
from reds_bench.emulator import counting_target

ARCHITECTURES = ("dnn_s", "cnn_s", "ds_cnn_s", "resnet_8")


@dataclass(frozen=True)
class Comparison:
    """One architecture: relative errors of the estimate of whole inferences."""

    architecture: str
    instructions: int
    """Counted at full width."""
    estimate: int
    mean_error: float
    """Over all widths."""
    largest_error: float


def compare(architecture: str, board: str, target: Target) -> Comparison:
    """Counts a network at its full and at random widths and estimates the same."""
    counts = measure(board, trace(zoo.build(architecture)))
    inferences = len(counts.overheads)
    estimates = [
        float(target.instructions(one.layer, one.input_channels, one.output_channels)) for one in counts.operations
    ]
    estimated = np.reshape(estimates, (inferences, -1)).sum(axis=1) + target.inference
    operations = np.reshape([one.instructions for one in counts.operations], (inferences, -1)).sum(axis=1)
    counted = operations + counts.overheads
    errors = np.abs(estimated / counted - 1)
    return Comparison(
        architecture,
        int(counted[0]),
        round(float(estimated[0])),
        round(float(errors.mean()), 4),
        round(float(errors.max()), 4),
    )


def comparisons(board: str) -> Iterator[Comparison]:
    """All of them, printed as they come."""
    target = load_target(counting_target(board))
    for architecture in ARCHITECTURES:
        comparison = compare(architecture, board, target)
        print(comparison, flush=True)
        yield comparison


def main() -> None:
    """Compares and writes the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--board", default="qemu:cortex-m4")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"), metavar="FILE")
    arguments = parser.parse_args()
    rows = [asdict(comparison) for comparison in comparisons(arguments.board)]
    content = {"board": arguments.board, "networks": rows}
    write_atomically(arguments.out, (json.dumps(content, indent=2) + "\n").encode())


if __name__ == "__main__":
    main()
