"""Drives a board over its serial port: counts instructions, or plays a scenario in which the budget changes."""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from reds.cli import options, output
from reds.errors import UsageError

if TYPE_CHECKING:
    from reds_bench.client import Bench

RANDOM_SAMPLES = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options."""
    parser.add_argument("model", type=Path, metavar="MODEL.tflite", help="the model on the board")
    place = parser.add_mutually_exclusive_group(required=True)
    place.add_argument("--port", metavar="URL", help="a tty, socket://HOST:PORT or any URL of pyserial")
    place.add_argument("--board", metavar="BOARD", help="boot this emulated board, such as qemu:cortex-m4")
    parser.add_argument("--scenario", type=Path, metavar="FILE", help="play this budget trace")
    parser.add_argument("--input", type=Path, metavar="X.npy", help="samples in the model's own type; default random")
    parser.add_argument("--record", action="store_true", help="write the counted instructions into MODEL.tflite")
    parser.add_argument("--trace", action="store_true", help="print every line of the protocol")
    options.add_json(parser)


def run(arguments: argparse.Namespace) -> None:
    """Benches."""
    if arguments.record and not arguments.board:
        raise UsageError("`--record` needs `--board` with an emulated board, whose core's name is known.")
    from reds.measuring import measure_instructions
    from reds.verifying import random_inputs

    if arguments.input:
        inputs = options.load_inputs(arguments.input, arguments.model)
    else:
        inputs = random_inputs(arguments.model, RANDOM_SAMPLES)
    with _connect(arguments) as bench:
        if arguments.scenario:
            _play(bench, arguments, inputs)
        else:
            _measure(bench, arguments, inputs)
    if arguments.record:
        measure_instructions(arguments.model, arguments.board, inputs[0])


@contextmanager
def _connect(arguments: argparse.Namespace) -> "Iterator[Bench]":
    from reds_bench.client import Bench
    from reds_bench.emulator import boot

    trace = _print_line if arguments.trace else None
    if arguments.port:
        with Bench(arguments.port, trace=trace) as bench:
            yield bench
    else:
        with boot(arguments.board, arguments.model) as url, Bench(url, trace=trace) as bench:
            yield bench


def _print_line(direction: str, line: str) -> None:
    output.LOG.print(f"{direction} {line}", markup=False)


def _play(bench: "Bench", arguments: argparse.Namespace, inputs: NDArray) -> None:
    from reds.inspecting import inspect
    from reds_bench.scenario import load_scenario, play

    samples = [np.ascontiguousarray(sample).tobytes() for sample in inputs]
    output_type = inspect(arguments.model).output_type
    records = list(play(bench, load_scenario(arguments.scenario), samples, output_type))
    unit = bench.stats().unit
    if arguments.json:
        entries = [asdict(record) for record in records]
        output.print_json([{**entry, unit: entry.pop("instructions")} for entry in entries])
        return
    rows = [
        [
            str(record.step),
            "-" if record.budget.macs is None else f"{record.budget.macs:,}",
            str(record.subnetwork),
            str(record.predicted),
            f"{record.microseconds:,}",
            "-" if record.instructions is None else f"{record.instructions:,}",
        ]
        for record in records
    ]
    output.print_table(["step", "budget MACs", "subnetwork", "class", "us", unit], rows)


def _measure(bench: "Bench", arguments: argparse.Namespace, inputs: NDArray) -> None:
    from reds_bench.batch import run_batch

    rows = []
    for subnetwork in bench.subnetworks():
        result = run_batch(bench, subnetwork.id, inputs)
        rows.append({**asdict(subnetwork), "instructions": None, result.unit: result.instructions})
    stats = asdict(bench.stats())
    unit = stats["unit"]
    if arguments.json:
        output.print_json({"device": bench.name(), "subnetworks": rows, "stats": stats})
        return
    table = [
        [
            f"{row['id']}  {row['name']}",
            f"{row['macs']:,}",
            f"{row['arena_bytes']:,}",
            "-" if row[unit] is None else f"{row[unit]:,}",
        ]
        for row in rows
    ]
    output.print_table(["subnetwork", "MACs", "arena B", unit], table, bench.name())
    output.OUT.print(
        f"switch {stats['select_instructions']} {unit}, budget request {stats['budget_instructions']}, "
        f"open {stats['open_instructions']:,}"
    )
