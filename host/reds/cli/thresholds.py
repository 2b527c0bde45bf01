"""Chooses on validation data how sure an exit must be for its answer to be taken, and writes that into the file."""

import argparse
from dataclasses import asdict
from pathlib import Path

from reds.cli import options, output


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options."""
    parser.add_argument("model", type=Path, metavar="MODEL.tflite", help="a file with exits; it is replaced")
    parser.add_argument(
        "--loss",
        type=options.fraction,
        default=0.01,
        metavar="L",
        help="how much lower the accuracy may be than without leaving early, from 0 to 1; default 0.01",
    )
    options.add_data(parser, required=True)
    options.add_seed(parser)
    options.add_json(parser)


def run(arguments: argparse.Namespace) -> None:
    """Calibrates."""
    from reds.confidence import calibrate_exits
    from reds.runtime import Runtime

    shape = Runtime(arguments.model).input.shape
    dataset = options.load_dataset(arguments.data, arguments.data_dir, arguments.seed, arguments.download)
    x, y = dataset.validation.with_input_shape(shape).features()
    calibrated = calibrate_exits(arguments.model, x, y, arguments.loss)
    if arguments.json:
        output.print_json({"exits": [asdict(one) for one in calibrated]})
        return
    subnetworks = Runtime(arguments.model).subnetworks
    rows = [
        [
            subnetworks[one.subnetwork].name,
            f"{one.threshold:.4f}",
            subnetworks[one.deeper].name,
            f"{one.left_early:.1%}",
            f"{one.accuracy:.1%}",
            f"{one.deeper_accuracy:.1%}",
            f"{subnetworks[one.subnetwork].arena_bytes:,}",
        ]
        for one in calibrated
    ]
    columns = ["exit", "threshold", "goes on in", "left early", "accuracy", "if all go on", "arena B"]
    output.print_table(columns, rows, f"{arguments.model}: on {len(x)} validation samples")
