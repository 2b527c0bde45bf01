"""Counts small networks of every kind of operation on a board and fits its cost table, for --metric cycles:TARGET."""

import argparse
import json
from pathlib import Path

from reds.cli import options, output


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options."""
    parser.add_argument("--board", required=True, metavar="BOARD", help="one that counts, such as qemu:cortex-m4")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="TARGET.json")
    options.add_json(parser)


def run(arguments: argparse.Namespace) -> None:
    """Calibrates."""
    options.check_board(arguments.board)
    from reds.calibrating import calibrate

    target = calibrate(arguments.board, arguments.output, output.Stages())
    if arguments.json:
        output.print_json(json.loads(target.to_json()))
        return
    rows = [
        [
            kind,
            "any" if row.most_run is None else str(row.most_run),
            "any" if row.most_window is None else str(row.most_window),
            str(row.measured),
            f"{row.mean_error:.1%}",
            f"{row.largest_error:.1%}",
        ]
        for kind, costs in sorted(target.operations.items())
        for row in costs
    ]
    columns = ["operation", "run up to", "window up to", "measured", "mean error", "largest error"]
    output.print_table(columns, rows, f"{target.name}: wrote {arguments.output}")
