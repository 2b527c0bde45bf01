"""Writes the family of a run folder as .tflite again, in another type, or as C for firmware."""

import argparse
from pathlib import Path

from reds.cli import options, output
from reds.errors import UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options."""
    parser.add_argument("run", type=Path, metavar="RUN", help="a run folder of `reds prune` or `reds demo`")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="model.tflite")
    parser.add_argument("--type", choices=options.TYPES, default="int8")
    options.add_c_files(parser)


def run(arguments: argparse.Namespace) -> None:
    """Emits."""
    from reds.emitting import emit
    from reds.graph import Supernet
    from reds.run_folder import CALIBRATION_FILE, SUPERNET_FILE
    from reds.store import load

    if not (arguments.run / SUPERNET_FILE).exists():
        raise UsageError(f"'{arguments.run}' is not a finished run. Make one with `reds prune` or `reds demo`.")
    supernet = load(arguments.run / SUPERNET_FILE, Supernet)
    calibration = options.load_array(arguments.run / CALIBRATION_FILE)
    path = emit(supernet, arguments.output, arguments.type, calibration)
    output.OUT.print(f"{path}: {path.stat().st_size:,} bytes")
    for file, description in options.write_c_files(arguments, path):
        output.OUT.print(f"{file}: {description}")
