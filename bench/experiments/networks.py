"""Measures whole networks on every emulated core: instructions, arena, flash.

    python bench/experiments/networks.py [--boards qemu:cortex-m4,...]

Weights are random; none of the numbers depends on them by more than a few instructions. DS-CNN S is one file with all
channels of its groups and three, two and one quarter of them. Flash is what a firmware for the Cortex-M4 links of
libreds for one network, without what changes a running inference; models are weighed apart from it. The record is
`networks.json` beside this file.
"""

import argparse
import json
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from footprint import IN_FLIGHT, build, flash_alone
from untrained import narrowed_network

from reds import zoo
from reds.emitting import emit, write_operations
from reds.files import write_atomically
from reds.graph import Subnetwork
from reds.inspecting import inspect
from reds.tracing import trace
from reds_bench.client import Bench
from reds_bench.emulator import boot

RECORD = Path(__file__).with_suffix(".json")
CALIBRATION_SAMPLES = 16
FLASH_CORE = "cortex-m4"
QUARTERS = (4, 3, 2, 1)
"""Of the channels of every group, in the files with several widths."""

INT8_BOARDS = tuple(f"qemu:cortex-{core}" for core in ("m0plus", "m3", "m4", "m7", "m33", "m55"))
FLOAT32_BOARDS = tuple(f"qemu:cortex-{core}" for core in ("m4", "m7", "m33", "m55"))
"""Those with a floating point unit."""


@dataclass(frozen=True)
class Network:
    """What is measured."""

    architecture: str
    type: Literal["int8", "float32"]
    quarters: tuple[int, ...] = (4,)


NETWORKS = (
    Network("ds_cnn_s", "int8", QUARTERS),
    Network("mobilenet_v1_025", "int8"),
    Network("resnet_8", "int8"),
    Network("autoencoder", "int8"),
    Network("cnn_s", "int8"),
    Network("dnn_s", "int8"),
    Network("dnn_s", "float32"),
    Network("ds_cnn_s", "float32"),
)


@dataclass(frozen=True)
class Measurement:
    """One subnetwork."""

    architecture: str
    type: str
    quarters: int
    """Of the channels."""
    macs: int
    arena_bytes: int
    code_bytes: int
    """Code and tables of libreds that a firmware links."""
    model_bytes: int
    """Of the file, all subnetworks together."""
    instructions: dict[str, int]
    """Of one inference, per board."""


def write_model(network: Network, path: Path) -> None:
    """Emits it with fresh weights."""
    graph = trace(zoo.build(network.architecture, seed=0))
    samples = np.random.default_rng(0).standard_normal((CALIBRATION_SAMPLES, *graph.input_shape), np.float32)
    subnetworks = [
        Subnetwork(f"{quarters}/4", tuple(group.size * quarters // 4 for group in graph.groups))
        for quarters in network.quarters
    ]
    emit(narrowed_network(graph, subnetworks, samples), path, network.type, samples)


def instructions(model: Path, board: str) -> list[int]:
    """Per subnetwork."""
    counts = []
    with boot(board, model) as url, Bench(url) as bench:
        for subnetwork in bench.subnetworks():
            bench.select(subnetwork.id)
            bench.infer(warmup=0)
            counts.append(bench.stats().last_instructions)
    return counts


def measure(network: Network, boards: tuple[str, ...]) -> list[Measurement]:
    """A row per width."""
    supported = INT8_BOARDS if network.type == "int8" else FLOAT32_BOARDS
    archive = build("int8" if network.type == "int8" else "all")[FLASH_CORE]
    with tempfile.TemporaryDirectory() as folder:
        model, operations = Path(folder) / "model.tflite", Path(folder) / "operations.c"
        write_model(network, model)
        write_operations(model, operations)
        code = flash_alone(FLASH_CORE, archive, operations, IN_FLIGHT)
        counts = {board: instructions(model, board) for board in boards if board in supported}
        rows = inspect(model).subnetworks
        size = model.stat().st_size
    return [
        Measurement(
            network.architecture,
            network.type,
            quarters,
            row.macs,
            row.arena_bytes,
            code,
            size,
            {board: found[row.id] for board, found in counts.items()},
        )
        for quarters, row in zip(network.quarters, rows, strict=True)
    ]


def main() -> None:
    """Writes the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--boards", type=lambda names: tuple(names.split(",")), default=INT8_BOARDS)
    arguments = parser.parse_args()
    rows = []
    for network in NETWORKS:
        for row in measure(network, arguments.boards):
            rows.append(asdict(row))
            print(rows[-1])
    write_atomically(RECORD, (json.dumps({"networks": rows}, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
