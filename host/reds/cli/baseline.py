"""Makes what a run is compared with, from the run's own budgets, data and epochs, in RUN/baselines/KIND.

alone: every subnetwork trained alone from random weights, of an exit the cut network from scratch; uniform: one
fraction of channels in every layer (slimmable); magnitude, random: another order of channels; sparse: the full network
with single weights at zero, as many left as a subnetwork has; from_scratch: the run's widths trained jointly from
random weights. All six: all.
width: narrower subnetworks without exits; depth: an exit behind every block, at full width; joint: the most accurate
exit and widths of each budget; width_labels, depth_labels, joint_labels: the same without distillation. All six:
families.
An interrupted command goes on where it stopped.
"""

import argparse
from pathlib import Path

from reds.cli import options, output
from reds.run_folder import BASELINE_KINDS, FAMILY_KINDS

GROUPS = {"all": BASELINE_KINDS, "families": FAMILY_KINDS}
"""Names for several kinds."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options."""
    names = ", ".join((*BASELINE_KINDS, *FAMILY_KINDS))
    parser.add_argument("kinds", type=_kinds, metavar="KIND,...", help=f"{names}; or all, or families")
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
    from reds.baselines import measure_baselines
    from reds.pruning import read_identity

    stages = output.Stages()
    identity = read_identity(arguments.run)
    name = arguments.data or identity["data"]
    seed = identity["settings"]["seed"]
    dataset = options.load_dataset(name, arguments.data_dir, seed, arguments.download)
    training_epochs = arguments.training_epochs
    tables = []
    for made in measure_baselines(arguments.kinds, arguments.run, dataset, arguments.seeds, training_epochs, stages):
        tables.append(made.table)
        if not arguments.json:
            output.print_baseline(made.table)
    if arguments.json:
        output.print_json(tables if len(tables) > 1 else tables[0])
    else:
        output.OUT.print(f"Next: reds report {arguments.run}     shows the run beside its baselines")


def _kinds(text: str) -> tuple[str, ...]:
    """A list of kinds, in which a group stands for its own."""
    kinds = tuple(dict.fromkeys(kind for name in options.names(text) for kind in GROUPS.get(name, (name,))))
    known = (*BASELINE_KINDS, *FAMILY_KINDS)
    if not kinds or not set(kinds) <= set(known):
        raise argparse.ArgumentTypeError(f"kinds are among {', '.join((*known, *GROUPS))}, not '{text}'")
    return kinds
