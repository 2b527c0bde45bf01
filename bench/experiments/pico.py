"""Counts the cycles of early exits on the Raspberry Pi Pico's emulator, beside the published milliseconds.

    python bench/experiments/pico.py [--out FILE]

The networks of De Leon and Atienza, "Depth pruning with auxiliary networks for tinyML", 2022, whole and left through
their head at the cut that they recommend; int8, with random weights, on which neither time nor size depends.
"""

import argparse
import json
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from untrained import untrained_network

from reds.emitting import emit, extract
from reds.files import write_atomically
from reds.inspecting import inspect
from reds.verifying import random_inputs
from reds_bench.batch import run_batch
from reds_bench.client import Bench
from reds_bench.emulator import RP2040JS_BOARDS, boot

MEGAHERTZ = 133
CALIBRATION_SAMPLES = 16


@dataclass(frozen=True)
class Published:
    """The paper's numbers of a network on the RP2040, int8."""

    milliseconds: float
    kilobytes: float


@dataclass(frozen=True)
class Network:
    """A network of the paper and its recommended cut."""

    name: str
    architecture: str
    tap: str
    whole: Published
    cut: Published


NETWORKS = (
    Network(
        "MobileNetV1 0.25, 96 x 96 grey, block 6",
        "mobilenet_v1_025_gray",
        "block6_pointwise",
        Published(904, 336),
        Published(551, 71),
    ),
    Network("DS-CNN S, block 2", "ds_cnn_s_log_mel", "block2_pointwise", Published(340, 54), Published(275, 43.7)),
)


@dataclass(frozen=True)
class Row:
    """One subnetwork."""

    network: str
    subnetwork: str
    macs: int
    cycles: dict[str, int]
    """Of one inference, by board: with flash as fast as SRAM, and with the cache in front of it."""
    milliseconds: dict[str, float]
    file_bytes: int
    """As a TFLite file of its own."""
    flash_bytes: int
    """Of the whole file, what this subnetwork reads."""
    arena_bytes: int
    published: Published


def measure(network: Network) -> Iterator[Row]:
    """Yields the whole network and the cut."""
    supernet = untrained_network(network.architecture, (network.tap,))
    shape = supernet.family.graph.input_shape
    samples = np.random.default_rng(0).standard_normal((CALIBRATION_SAMPLES, *shape), np.float32)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.tflite"
        emit(supernet, path, "int8", samples)
        cycles = [count(path, board) for board in RP2040JS_BOARDS]
        for row in inspect(path).subnetworks:
            by_board = {board: counts[row.id] for board, counts in zip(RP2040JS_BOARDS, cycles, strict=True)}
            yield Row(
                network.name,
                ("whole", "cut")[row.id],
                row.macs,
                by_board,
                {board: round(number / (MEGAHERTZ * 1000), 1) for board, number in by_board.items()},
                len(extract(path, row.id)),
                row.flash_bytes,
                row.arena_bytes,
                (network.whole, network.cut)[row.id],
            )


def count(path: Path, board: str) -> list[int]:
    """Cycles of each subnetwork's second inference, when the cache is as warm as it gets."""
    with boot(board, path) as url, Bench(url) as bench:
        inputs = random_inputs(path, 2)
        return [run_batch(bench, one.id, inputs).instructions or 0 for one in bench.subnetworks()]


def main() -> None:
    """Measures and writes the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"), metavar="FILE")
    arguments = parser.parse_args()
    rows = []
    for network in NETWORKS:
        for row in measure(network):
            print(row, flush=True)
            rows.append(asdict(row))
    write_atomically(arguments.out, (json.dumps({"megahertz": MEGAHERTZ, "rows": rows}, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
