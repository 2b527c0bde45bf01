"""Gives a TFLite model that another tool made its metadata entry, so that libreds runs it as it is."""

import argparse
from pathlib import Path

from reds.cli import options, output


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options."""
    parser.add_argument("model", type=Path, metavar="MODEL.tflite")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="OUT.tflite")
    parser.add_argument("--c-array", type=Path, metavar="model.h", help="write the same bytes as a C header too")
    options.add_json(parser)


def run(arguments: argparse.Namespace) -> None:
    """Adopts."""
    from reds.adopting import adopt
    from reds.emitting import write_c_array
    from reds.inspecting import inspect

    path = adopt(arguments.model, arguments.output)
    if arguments.c_array:
        write_c_array(path.read_bytes(), arguments.c_array)
    report = inspect(path)
    if arguments.json:
        output.print_json(report.as_dict())
    else:
        output.OUT.print(f"{path}: {report.file_bytes:,} bytes")
        if arguments.c_array:
            output.OUT.print(f"{arguments.c_array}: the same as a C array")
        output.print_model(report)
