"""Chooses on validation data which subnetworks to ask and how sure each must be, and writes that into the file."""

import argparse
from dataclasses import asdict
from pathlib import Path

from reds.cli import options, output


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options."""
    parser.add_argument(
        "model", type=Path, metavar="MODEL.tflite", help="a file with several subnetworks; it is replaced"
    )
    parser.add_argument(
        "--loss",
        type=options.fraction,
        default=0.01,
        metavar="L",
        help="how much lower the accuracy may be than that of the largest subnetwork, from 0 to 1; default 0.01",
    )
    parser.add_argument("--board", metavar="BOARD", help="count on this emulated board; default multiply-accumulates")
    parser.add_argument(
        "--max-arena",
        type=options.positive,
        metavar="BYTES",
        help="ask no subnetwork that needs more arena with what it keeps for going on",
    )
    options.add_data(parser, required=True)
    options.add_seed(parser)
    options.add_json(parser)


def run(arguments: argparse.Namespace) -> None:
    """Calibrates."""
    from reds.confidence import calibrate_cascade
    from reds.runtime import Runtime

    shape = Runtime(arguments.model).input.shape
    dataset = options.load_dataset(arguments.data, arguments.data_dir, arguments.seed, arguments.download)
    x, y = dataset.validation.with_input_shape(shape).features()
    cascade = calibrate_cascade(arguments.model, x, y, arguments.loss, arguments.board, arguments.max_arena)
    if arguments.json:
        costs = {"mean_cost": cascade.mean_cost, "worst_cost": cascade.worst_cost}
        output.print_json({**asdict(cascade), **costs})
        return
    subnetworks = Runtime(arguments.model).subnetworks
    rows = [
        [
            subnetworks[stop.subnetwork].name,
            "input" if stop.runs_again or not place else "features",
            f"{stop.threshold:.4f}" if stop.threshold else "-",
            f"{stop.share:.1%}",
            f"{stop.cost:,}",
            f"{subnetworks[stop.subnetwork].arena_bytes:,}",
        ]
        for place, stop in enumerate(cascade.stops)
    ]
    columns = ["asked in turn", "from the", "threshold", "stop there", cascade.unit, "arena B"]
    output.print_table(columns, rows, f"{arguments.model}: on {len(x)} validation samples")
    output.OUT.print(
        f"Accuracy {cascade.accuracy:.1%} at {cascade.mean_cost:,.0f} {cascade.unit} on average; "
        f"{cascade.alone_accuracy:.1%} at {cascade.alone_cost:,} by '{subnetworks[cascade.alone].name}' alone."
    )
