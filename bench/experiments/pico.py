"""Counts the cycles of early exits on the Raspberry Pi Pico's emulator, beside the published milliseconds.

    python bench/experiments/pico.py [--out FILE]

The networks of De Leon and Atienza, "Depth pruning with auxiliary networks for tinyML", 2022, whole and left through
their head at the cut that they recommend; int8, with fresh weights, on which neither time nor size depends.
"""

import argparse
import json
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import keras
import numpy as np

from reds import zoo
from reds.cost import full_widths
from reds.emitting import emit, extract
from reds.exits import attach_exits
from reds.files import write_atomically
from reds.finetuning.weights import weights_of
from reds.graph import BatchNormalization, Family, Graph, Ranked, Subnetwork, Supernet
from reds.inspecting import inspect
from reds.tracing import trace
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
    input_shape: tuple[int, int, int]
    tap: str
    whole: Published
    cut: Published


NETWORKS = (
    Network(
        "MobileNetV1 0.25, 96 x 96 grey, block 6",
        "mobilenet_v1_025",
        (96, 96, 1),
        "block6_pointwise",
        Published(904, 336),
        Published(551, 71),
    ),
    Network("DS-CNN S, block 2", "ds_cnn_s", (49, 10, 1), "block2_pointwise", Published(340, 54), Published(275, 43.7)),
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


def network_with_exit(network: Network) -> Supernet:
    """The network with fresh weights, and its exit."""
    model = zoo.build(network.architecture)
    graph = trace(keras.models.clone_model(model, input_tensors=keras.Input(network.input_shape)))
    importance = tuple(np.ones(group.size) for group in graph.groups)
    exits = attach_exits(Ranked(graph, importance, "random"), (network.tap,)).exits
    full = full_widths(graph)
    family = Family(graph, importance, exits, (Subnetwork("whole", full), Subnetwork("cut", full, exit=1)))
    whole, head = batch_norms(graph), batch_norms(exits[0].head)
    kept = {node.name for node in graph.nodes[: exits[0].tap + 1]}
    return Supernet(family, (whole, {name: whole[name] for name in whole if name in kept} | head))


def batch_norms(graph: Graph) -> dict[str, dict[str, np.ndarray]]:
    """The batch normalisations of a graph as they are."""
    weights = weights_of(graph)
    return {
        node.name: dict(weights[node.name]) for node in graph.nodes if isinstance(node.operation, BatchNormalization)
    }


def measure(network: Network) -> Iterator[Row]:
    """Yields the whole network and the cut."""
    samples = np.random.default_rng(0).standard_normal((CALIBRATION_SAMPLES, *network.input_shape), np.float32)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.tflite"
        emit(network_with_exit(network), path, "int8", samples)
        cycles = [count(path, board) for board in RP2040JS_BOARDS]
        for row in inspect(path).subnetworks:
            by_board = {board: counts[row.id] for board, counts in zip(RP2040JS_BOARDS, cycles, strict=True)}
            yield Row(
                network.name,
                row.name,
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
