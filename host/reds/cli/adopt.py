"""Gives a TFLite model that another tool made its metadata entry, so that libreds runs it as it is."""

import argparse
from pathlib import Path

from reds.cli import options, output


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options."""
    parser.add_argument("model", type=Path, metavar="MODEL.tflite")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="OUT.tflite")
    options.add_c_files(parser)
    options.add_json(parser)


def run(arguments: argparse.Namespace) -> None:
    """Adopts."""
    from reds.adopting import adopt
    from reds.inspecting import inspect

    path = adopt(arguments.model, arguments.output)
    written = options.write_c_files(arguments, path)
    report = inspect(path)
    if arguments.json:
        output.print_json(report.as_dict())
    else:
        output.OUT.print(f"{path}: {report.file_bytes:,} bytes")
        for file, description in written:
            output.OUT.print(f"{file}: {description}")
        output.print_model(report)
