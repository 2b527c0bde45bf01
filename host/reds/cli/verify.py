"""Proves a file: libreds, the extracted models, TFLite Micro, LiteRT and emulated boards give the same answers."""

import argparse
from pathlib import Path

from reds.cli import options, output


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options."""
    parser.add_argument("model", type=Path, metavar="MODEL.tflite")
    parser.add_argument("--samples", type=options.positive, default=200, metavar="N", help="random inputs; default 200")
    parser.add_argument("--input", type=Path, metavar="X.npy", help="these inputs, in the model's own type, instead")
    parser.add_argument("--board", action="append", default=[], metavar="BOARD", help="compare this board too")
    options.add_seed(parser)
    options.add_json(parser)


def run(arguments: argparse.Namespace) -> None:
    """Verifies."""
    from reds.verifying import random_inputs, verify

    for board in arguments.board:
        options.check_board(board)
    if arguments.input:
        inputs = options.load_inputs(arguments.input, arguments.model)
    else:
        inputs = random_inputs(arguments.model, arguments.samples, arguments.seed)
    report = verify(arguments.model, inputs, arguments.board, progress=output.Stages())
    if arguments.json:
        output.print_json(report.as_dict())
    else:
        output.print_verification(report)
    report.require()
