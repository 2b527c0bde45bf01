"""The command line. Each module is one command: `add_arguments` declares its options, `run` does it."""

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import version
from typing import NoReturn

from reds.errors import RedsError, UsageError

COMMANDS = {
    "demo": "do the whole job once, from data to a budget that changes on an emulated Cortex-M4",
    "train": "train a baseline network",
    "prune": "make a family of subnetworks from a trained network and emit it",
    "baseline": "make what a run is compared with: trained alone, slimmable, other orders, from scratch",
    "solve": "search subnetworks only",
    "emit": "write a run's family as .tflite again, with another type or as a C array",
    "adopt": "give a .tflite of another tool what libreds needs to run it",
    "extract": "write one subnetwork as a plain stand-alone .tflite",
    "inspect": "show what each subnetwork costs and gives",
    "verify": "prove that libreds, TFLite Micro and boards give the same answers",
    "run": "run one subnetwork on a batch of inputs",
    "thresholds": "choose on validation data how sure an exit must be for its answer to be taken",
    "bench": "drive a board over its serial port, changing the budget live",
    "calibrate": "fit the cost table of a core, for budgets in instructions",
    "report": "write a run as one HTML page",
}

EXIT_USAGE = 1
EXIT_INTERRUPTED = 130


class Parser(argparse.ArgumentParser):
    """Answers wrong arguments in one sentence, with the exit code of usage errors."""

    def error(self, message: str) -> NoReturn:
        """Ends the program."""
        print(f"{self.prog}: {message}. See `{self.prog} --help`.", file=sys.stderr)
        sys.exit(EXIT_USAGE)


def program() -> int:
    """Entry point of the `reds` command."""
    if "TF_CPP_MIN_LOG_LEVEL" not in os.environ:
        os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
        _mute_native_libraries()
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    return main()


def _mute_native_libraries() -> None:
    """Leaves stderr to Python: TensorFlow's libraries write to it while they start, whatever their log level."""
    own = os.dup(sys.stderr.fileno())
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stderr.fileno())
    os.close(null)
    sys.stderr = os.fdopen(own, "w", buffering=1)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command.

    Args:
        arguments: those of the command line by default.

    Returns:
        Exit code: 0 ok, 1 usage, 2 device, 3 verification failed, 130 interrupted.
    """
    parser = Parser(prog="reds", description="One network that fits a changing budget on a microcontroller.")
    parser.add_argument("--version", action="version", version=f"reds {version('reds')}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, summary in COMMANDS.items():
        commands.add_parser(name, help=summary, add_help=False)
    known, rest = parser.parse_known_args(arguments)
    command = import_module(f"reds.cli.{known.command}")
    command_parser = Parser(prog=f"reds {known.command}", description=command.__doc__)
    command.add_arguments(command_parser)
    return _run(command, command_parser.parse_args(rest))


def _run(command: object, options: argparse.Namespace) -> int:
    try:
        command.run(options)  # type: ignore[attr-defined]
    except RedsError as error:
        print(f"reds: {error}", file=sys.stderr)
        return error.exit_code
    except OSError as error:
        print(f"reds: {error.filename or 'a file'}: {error.strerror or error}.", file=sys.stderr)
        return UsageError.exit_code
    except KeyboardInterrupt:
        print("reds: interrupted; the same command goes on where it stopped.", file=sys.stderr)
        return EXIT_INTERRUPTED
    return 0
