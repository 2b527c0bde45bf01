"""Writes the family of a run folder as .tflite again, in another type, in part, or as C for firmware."""

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory

from reds.cli import options, output
from reds.errors import UsageError
from reds.files import write_atomically


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options."""
    parser.add_argument(
        "run", type=Path, metavar="RUN", help="a run folder of `reds prune` or `reds demo`, or with --only a .tflite"
    )
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="model.tflite")
    parser.add_argument("--type", choices=options.TYPES, help="of a run; default int8")
    parser.add_argument(
        "--only", type=options.indices, metavar="I,J", help="keep these subnetworks and what they need, nothing else"
    )
    options.add_c_files(parser)


def run(arguments: argparse.Namespace) -> None:
    """Emits."""
    path = arguments.output
    if arguments.run.is_file():
        _emit_part_of_file(arguments)
    elif arguments.only is None:
        _emit_run(arguments.run, path, arguments.type or "int8")
    else:
        _emit_part_of_run(arguments)
    output.OUT.print(f"{path}: {path.stat().st_size:,} bytes")
    for file, description in options.write_c_files(arguments, path):
        output.OUT.print(f"{file}: {description}")


def _emit_part_of_file(arguments: argparse.Namespace) -> None:
    from reds.emitting import truncate

    if arguments.only is None or arguments.type is not None:
        raise UsageError(
            f"'{arguments.run}' is a file, of which --only takes a part in the type it has: give --only and no --type."
        )
    write_atomically(arguments.output, truncate(arguments.run, arguments.only))


def _emit_part_of_run(arguments: argparse.Namespace) -> None:
    from reds.emitting import truncate

    with TemporaryDirectory() as folder:
        whole = Path(folder) / "whole.tflite"
        _emit_run(arguments.run, whole, arguments.type or "int8")
        write_atomically(arguments.output, truncate(whole, arguments.only))


def _emit_run(folder: Path, path: Path, type: str) -> None:
    from reds.emitting import emit
    from reds.graph import Supernet
    from reds.run_folder import CALIBRATION_FILE, SUPERNET_FILE
    from reds.store import load

    if not (folder / SUPERNET_FILE).exists():
        raise UsageError(f"'{folder}' is not a finished run. Make one with `reds prune` or `reds demo`.")
    emit(load(folder / SUPERNET_FILE, Supernet), path, type, options.load_array(folder / CALIBRATION_FILE))
