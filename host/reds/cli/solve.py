"""Searches subnetworks of a network without training them; prints the value, the bound and the gap of each."""

import argparse
import json

from reds.cli import options, output


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options."""
    parser.add_argument("model", metavar="MODEL", help="a .keras file, or an architecture such as ds_cnn_l")
    options.add_search(parser)
    parser.add_argument("--importance", choices=options.IMPORTANCE, help="default: taylor with --data, else l1")
    options.add_data(parser)
    parser.add_argument("--multiple", type=options.positive, default=1, help="widths are multiples of it; default 1")
    options.add_json(parser)


def run(arguments: argparse.Namespace) -> None:
    """Searches."""
    from reds.ranking import Method, rank
    from reds.solving import report, solve
    from reds.tracing import trace

    stages = output.Stages()
    default: Method = "taylor" if arguments.data else "l1"
    method: Method = arguments.importance or default
    graph = trace(options.load_model_or_architecture(arguments.model, arguments.seed))
    batches = None
    if arguments.data:
        dataset = options.load_dataset(arguments.data, arguments.data_dir, arguments.seed, arguments.download)
        fitting = dataset.with_input_shape(graph.input_shape)
        batches = fitting.train.batches(seed=arguments.seed, augment=False, epoch=0)
    family = solve(
        rank(graph, batches, method=method, seed=arguments.seed),
        arguments.budgets,
        metric=arguments.metric,
        objective=arguments.objective,
        max_arena=arguments.max_arena,
        multiple=arguments.multiple,
        order=arguments.order,
        seed=arguments.seed,
        progress=stages,
    )
    result = report(family)
    if arguments.json:
        output.print_json(json.loads(result.to_json()))
        return
    rows = [
        [
            one.name,
            f"{one.macs:,}",
            f"{one.arena_bytes:,}",
            f"{one.value:.6g}",
            f"{one.bound:.6g}",
            f"{one.gap:.4%}",
            ",".join(str(width) for width in one.widths),
        ]
        for one in result.budgets
    ]
    output.print_table(["budget", "MACs", "arena B", "value", "bound", "gap", "widths"], rows)
    output.OUT.print(f"{result.seconds:.2f} s, {result.peak_memory_bytes / 1e6:.0f} MB peak memory of the process")
