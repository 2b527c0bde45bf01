"""Gives a TFLite model that another tool made its metadata entry, so that libreds runs it as it is.

With --prune also narrower subnetworks, found without training and without data, or better with a few samples: channels
are sorted by their importance, and the model computes what it did.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from reds.cli import options, output
from reds.errors import UsageError

if TYPE_CHECKING:
    from reds.adopting import AdoptPruning


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options."""
    parser.add_argument("model", type=Path, metavar="MODEL.tflite")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="OUT.tflite")
    options.add_c_files(parser)
    parser.add_argument(
        "--prune", action="store_true", help="add narrower subnetworks, by the model's weights; needs no data"
    )
    _add_search(parser.add_argument_group("with --prune"))
    options.add_json(parser)


def _add_search(parser: argparse._ActionsContainer) -> None:
    options.add_budgets(parser)
    parser.add_argument(
        "--samples", type=Path, metavar="X.npy", help="a few inputs without labels, real or in the model's own type"
    )
    parser.add_argument(
        "--importance",
        choices=options.UNTRAINED_IMPORTANCE,
        help="of a channel: by the weights that make it and those that read it (paths), by the former (l1), or by how "
        "what reads it varies over samples; default fluctuation with --samples, else paths",
    )
    parser.add_argument("--multiple", type=options.positive, default=4, help="widths are multiples of it; default 4")


def run(arguments: argparse.Namespace) -> None:
    """Adopts."""
    from reds.adopting import adopt
    from reds.inspecting import inspect

    path = adopt(arguments.model, arguments.output, _pruning(arguments), output.Stages())
    written = options.write_c_files(arguments, path)
    report = inspect(path)
    if arguments.json:
        output.print_json(report.as_dict())
    else:
        output.OUT.print(f"{path}: {report.file_bytes:,} bytes")
        for file, description in written:
            output.OUT.print(f"{file}: {description}")
        output.print_model(report)


def _pruning(arguments: argparse.Namespace) -> "AdoptPruning | None":
    """The search that was asked for."""
    from reds.adopting import AdoptPruning

    if not arguments.prune:
        _refuse_search(arguments)
        return None
    limits = dict(arguments.limits) | ({} if arguments.max_arena is None else {"arena": arguments.max_arena})
    return AdoptPruning(
        budgets=arguments.budgets,
        metric=arguments.metric,
        objective=arguments.objective,
        limits=limits,
        minimum=arguments.minimum,
        multiple=arguments.multiple,
        order=arguments.order,
        importance=arguments.importance,
        samples=None if arguments.samples is None else options.load_array(arguments.samples),
    )


def _refuse_search(arguments: argparse.Namespace) -> None:
    """Refuses options that only pruning uses."""
    parser = argparse.ArgumentParser()
    _add_search(parser)
    for name, default in vars(parser.parse_args([])).items():
        if getattr(arguments, name) != default:
            option = "--limit" if name == "limits" else f"--{name.replace('_', '-')}"
            raise UsageError(f"`{option}` says which subnetworks to search; give `--prune` with it.")
