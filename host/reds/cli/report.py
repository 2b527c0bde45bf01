"""Writes a run as one HTML page that needs nothing else: tables, plots and settings."""

import argparse
from pathlib import Path

from reds.cli import options, output
from reds.run_folder import REPORT_FILE


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options."""
    parser.add_argument("run", type=Path, metavar="RUN", help="a run folder of `reds prune` or `reds demo`")
    parser.add_argument(
        "-o", "--output", type=Path, metavar="report.html", help="page to write; default RUN/report.html"
    )
    parser.add_argument("--png", type=Path, metavar="DIR", help="write the plots into this folder as PNG too")
    options.add_json(parser)


def run(arguments: argparse.Namespace) -> None:
    """Reports."""
    from reds.reporting import report

    written = report(arguments.run, arguments.output or arguments.run / REPORT_FILE, arguments.png)
    if arguments.json:
        output.print_json({"page": str(written.page), "plots": [str(plot) for plot in written.plots]})
        return
    output.OUT.print(f"{written.page}: {written.page.stat().st_size:,} bytes", soft_wrap=True)
    if written.plots:
        output.OUT.print(f"{arguments.png}: {len(written.plots)} plots", soft_wrap=True)
