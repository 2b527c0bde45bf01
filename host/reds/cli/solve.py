"""Searches subnetworks of a network without training them; prints the value, the bound and the gap of each."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from reds.cli import options, output
from reds.run_folder import RANKED_FILE

if TYPE_CHECKING:
    from reds.graph import Ranked
    from reds.solving import SolveReport


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options."""
    parser.add_argument(
        "model",
        metavar="MODEL",
        help="a .keras file, an architecture such as ds_cnn_l, or a run folder, whose importance is used again",
    )
    options.add_search(parser)
    parser.add_argument("--importance", choices=options.IMPORTANCE, help="default: taylor with --data, else l1")
    options.add_data(parser)
    parser.add_argument("--multiple", type=options.positive, default=1, help="widths are multiples of it; default 1")
    parser.add_argument(
        "--skip",
        type=options.names,
        default=(),
        metavar="auto|NAMES",
        help="residual blocks, named by their sums, that all subnetworks leave out",
    )
    parser.add_argument("--type", choices=options.TYPES, default="int8", help="of weights and maps; default int8")
    options.add_json(parser)


def run(arguments: argparse.Namespace) -> None:
    """Searches."""
    from reds.compiled import emitted_type
    from reds.solving import report, solve

    element_bytes = emitted_type(arguments.type).dtype.itemsize
    family = solve(
        _ranked(arguments),
        arguments.budgets,
        metric=arguments.metric,
        objective=arguments.objective,
        max_arena=arguments.max_arena,
        limits=dict(arguments.limits),
        multiple=arguments.multiple,
        minimum=arguments.minimum,
        order=arguments.order,
        element_bytes=element_bytes,
        kernels=arguments.kernels,
        skip=arguments.skip,
        seed=arguments.seed,
        progress=output.Stages(),
    )
    result = report(family, element_bytes)
    if arguments.json:
        output.print_json(json.loads(result.to_json()))
    else:
        _print(result)


def _ranked(arguments: argparse.Namespace) -> "Ranked":
    """The network with its importance: that of a run folder, or measured."""
    from reds.graph import Ranked
    from reds.ranking import Method, rank
    from reds.store import load
    from reds.tracing import trace

    if Path(arguments.model).is_dir():
        return load(Path(arguments.model) / RANKED_FILE, Ranked)
    default: Method = "taylor" if arguments.data else "l1"
    method: Method = arguments.importance or default
    graph = trace(options.load_model_or_architecture(arguments.model, arguments.seed))
    batches = None
    if arguments.data:
        dataset = options.load_dataset(arguments.data, arguments.data_dir, arguments.seed, arguments.download)
        fitting = dataset.with_input_shape(graph.input_shape)
        batches = fitting.train.batches(seed=arguments.seed, augment=False, epoch=0)
    return rank(graph, batches, method=method, seed=arguments.seed, kernels=arguments.kernels)


def _print(result: "SolveReport") -> None:
    rows = [
        [
            one.name,
            f"{one.macs:,}",
            f"{one.flash_bytes:,}",
            f"{one.arena_bytes:,}",
            f"{one.value:.6g}",
            f"{one.bound:.6g}",
            f"{one.gap:.4%}",
            ",".join(str(width) for width in one.widths),
        ]
        for one in result.budgets
    ]
    output.print_table(["budget", "MACs", "flash B", "arena B", "value", "bound", "gap", "widths"], rows)
    if result.joint is not None:
        output.OUT.print(
            f"together: value {result.joint.value:.6g}, bound {result.joint.bound:.6g}, gap {result.joint.gap:.4%}"
        )
    output.OUT.print(f"{result.seconds:.2f} s, {result.peak_memory_bytes / 1e6:.0f} MB peak memory of the process")
