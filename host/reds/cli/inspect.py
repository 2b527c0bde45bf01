"""Shows what each subnetwork of a file costs and gives."""

import argparse
from dataclasses import replace
from pathlib import Path

from reds.cli import options, output
from reds.errors import UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options."""
    parser.add_argument("model", type=Path, metavar="MODEL.tflite")
    parser.add_argument("--target", metavar="CORE", help="show this core's instructions only, such as cortex-m4")
    options.add_json(parser)


def run(arguments: argparse.Namespace) -> None:
    """Inspects."""
    from reds.inspecting import inspect

    report = inspect(arguments.model)
    if arguments.target:
        known = sorted({name for row in report.subnetworks for name in row.targets})
        if arguments.target not in known:
            from reds_bench.emulator import COUNTING_TARGETS

            board = next((board for board, target in COUNTING_TARGETS.items() if target == arguments.target), "BOARD")
            raise UsageError(
                f"The file holds instruction counts of {', '.join(known) or 'no core'}, not of {arguments.target}; "
                f"`reds bench {arguments.model} --board {board} --record` counts them."
            )
        report = replace(
            report,
            subnetworks=tuple(
                replace(row, targets={arguments.target: row.targets[arguments.target]}) for row in report.subnetworks
            ),
        )
    if arguments.json:
        output.print_json(report.as_dict())
    else:
        output.print_model(report)
