"""Counts what each operation of an int8 model costs on an emulated core, in instructions per multiply-accumulate.

    python bench/experiments/kernel_instructions.py MODEL.tflite [--board qemu:cortex-m4] [--subnetwork I]
                                                    [--record FILE]

The numbers are retired instructions, requantisation included, and the same in every run. A record keeps a list of
rows for each board.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from reds.compiled import CompiledLayer, CompiledNetwork, CompiledStep
from reds.files import write_atomically
from reds.graph import Conv2D, DepthwiseConv2D
from reds.model_file import decode, read_model_file
from reds_bench.client import Bench, OperationCost
from reds_bench.emulator import boot


@dataclass(frozen=True)
class OperationRow:
    """One operation of one subnetwork."""

    subnetwork: str
    operation: str
    macs: int
    """0 for an operation without weights."""
    instructions: int

    def __str__(self) -> str:
        per_mac = f"{self.instructions / self.macs:6.2f}" if self.macs else " " * 6
        return f"{self.subnetwork:12} {self.operation:44} {self.macs:10,} {self.instructions:11,} {per_mac}"


def measure(model: Path, board: str, subnetworks: tuple[int, ...] | None = None) -> Iterator[OperationRow]:
    """Runs one inference per subnetwork with a random input.

    Args:
        model: an int8 .tflite file with its plan.
        board: a board of `reds_bench.emulator.boards()` that counts instructions.
        subnetworks: which to run; None for all.

    Yields:
        A row per operation, then one with their sum, for each subnetwork.
    """
    network = decode(read_model_file(model))
    sample = np.random.default_rng(0).integers(-128, 128, network.input_shape, np.int8)
    with boot(board, model) as url, Bench(url) as bench:
        bench.upload(sample.tobytes())
        for index in range(len(network.subnetworks)) if subnetworks is None else subnetworks:
            bench.select(index)
            rows = list(_rows(network, index, bench.operations()))
            yield from rows
            name = network.subnetworks[index].name
            yield OperationRow(name, "sum", sum(row.macs for row in rows), sum(row.instructions for row in rows))


def _rows(network: CompiledNetwork, index: int, costs: tuple[OperationCost, ...]) -> Iterator[OperationRow]:
    subnetwork = network.subnetworks[index]
    for step, cost in zip(subnetwork.steps, costs, strict=True):
        layer = network.layers[step.layer]
        yield OperationRow(
            subnetwork.name,
            _description(layer, step),
            layer.macs(step.input_channels, step.output_channels),
            cost.instructions,
        )


def _description(layer: CompiledLayer, step: CompiledStep) -> str:
    operation = layer.operation
    window = ""
    if isinstance(operation, Conv2D | DepthwiseConv2D):
        window = "x".join(str(size) for size in operation.kernel_size) + " "
    positions = "x".join(str(size) for size in layer.output_shape[:2])
    return f"{type(operation).__name__} {window}{step.input_channels}->{step.output_channels} at {positions}"


def record(path: Path, board: str, rows: Sequence[OperationRow]) -> None:
    """Writes a board's rows into a record, beside those of other boards."""
    boards = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    boards[board] = [asdict(row) for row in rows]
    write_atomically(path, (json.dumps(boards, indent=1) + "\n").encode())


def main() -> None:
    """Prints the rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--board", default="qemu:cortex-m4")
    parser.add_argument("--subnetwork", type=int, action="append", help="may be given several times; all if not given")
    parser.add_argument("--record", type=Path, metavar="FILE", help="JSON file to write the board's rows into")
    arguments = parser.parse_args()
    print(f"{'subnetwork':12} {'operation':44} {'MACs':>10} {'instructions':>11}  /MAC")
    rows = []
    for row in measure(arguments.model, arguments.board, arguments.subnetwork and tuple(arguments.subnetwork)):
        print(row)
        rows.append(row)
    if arguments.record is not None:
        record(arguments.record, arguments.board, rows)


if __name__ == "__main__":
    main()
