"""Makes what a run is compared with, from the run's own budgets, data and epochs, in RUN/baselines/KIND.

alone: every subnetwork trained alone from random weights, of an exit the cut network from scratch; uniform: one
fraction of channels in every layer (slimmable); magnitude, random: another order of channels; sparse: the full network
with single weights at zero, as many left as a subnetwork has; from_scratch: the run's widths trained jointly from
random weights.
An interrupted command goes on where it stopped.
"""

import argparse
from pathlib import Path

from reds.cli import options, output
from reds.run_folder import BASELINE_KINDS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options."""
    parser.add_argument(
        "kind", choices=(*BASELINE_KINDS, "all"), metavar="KIND", help=f"{', '.join(BASELINE_KINDS)}, or all"
    )
    parser.add_argument("--run", type=Path, required=True, metavar="RUN", help="run folder of `reds prune`")
    options.add_data(parser)
    parser.add_argument("--seeds", type=options.seeds, metavar="S,S,...", help="one result each; default the run's")
    parser.add_argument(
        "--training-epochs",
        type=options.not_negative,
        metavar="N",
        help="that the run's network was trained for; default: those of the training in the run folder",
    )
    options.add_json(parser)


def run(arguments: argparse.Namespace) -> None:
    """Measures."""
    from reds.baselines import measure_baseline
    from reds.pruning import read_identity

    stages = output.Stages()
    identity = read_identity(arguments.run)
    name = arguments.data or identity["data"]
    seed = identity["settings"]["seed"]
    dataset = options.load_dataset(name, arguments.data_dir, seed, arguments.download)
    kinds = BASELINE_KINDS if arguments.kind == "all" else (arguments.kind,)
    tables = []
    for kind in kinds:
        made = measure_baseline(kind, arguments.run, dataset, arguments.seeds, arguments.training_epochs, stages)
        tables.append(made.table)
        if not arguments.json:
            output.print_baseline(made.table)
    if arguments.json:
        output.print_json(tables if arguments.kind == "all" else tables[0])
    else:
        output.OUT.print(f"Next: reds report {arguments.run}     shows the run beside its baselines")
