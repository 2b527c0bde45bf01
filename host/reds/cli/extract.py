"""Writes one subnetwork as a plain stand-alone .tflite, for any TFLite interpreter."""

import argparse
from pathlib import Path

from reds.cli import output


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options."""
    parser.add_argument("model", type=Path, metavar="MODEL.tflite")
    parser.add_argument("--subnetwork", type=int, required=True, metavar="I", help="number in `reds inspect`")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="OUT.tflite")


def run(arguments: argparse.Namespace) -> None:
    """Extracts."""
    from reds.emitting import extract
    from reds.files import write_atomically

    content = extract(arguments.model, arguments.subnetwork)
    write_atomically(arguments.output, content)
    output.OUT.print(f"{arguments.output}: {len(content):,} bytes")
