"""Families that meet a run's budgets in another way: by width alone, by depth alone, or by both.

Unlike the other baselines they have subnetworks of their own, each with its own cost.
"""

from dataclasses import replace

from reds.errors import UsageError
from reds.exits import block_ends, promising_taps
from reds.graph import Graph
from reds.pruning import PruneSettings
from reds.run_folder import FAMILY_KINDS

ON_LABELS = "_labels"
"""Ends the names of the kinds that are trained without distillation."""


def family_settings(kind: str, settings: PruneSettings, graph: Graph) -> PruneSettings:
    """How `prune` makes a family of a kind.

    - "width": the widths that meet each budget, without exits.
    - "depth": an exit behind every block, at full width, trained together with the network.
    - "joint": the most accurate exit and widths of each budget. The exits are those that the settings name; else those
      worth training.
    - "width_labels", "depth_labels", "joint_labels": the same without distillation, with REDS' weighted loss.

    Args:
        kind: one of the above.
        settings: budgets, epochs and all else that makes no kind.
        graph: the network.

    Returns:
        The settings of that kind. A kind and the same on labels differ in the loss alone.

    Raises:
        UsageError: if there is no such kind, or the network has no place for an exit.
    """
    if kind not in FAMILY_KINDS:
        raise UsageError(f"`kind` must be one of {', '.join(FAMILY_KINDS)}. Received: kind={kind!r}")
    family = replace(
        settings,
        exits=(),
        joint=False,
        skip_blocks=(),
        keep_all=False,
        exit_training=None,
        loss="weighted" if kind.endswith(ON_LABELS) else "distillation",
    )
    match kind.removesuffix(ON_LABELS):
        case "depth":
            return replace(family, budgets=(), exits=block_ends(graph), exit_training="joint")
        case "joint":
            named = settings.exits not in ((), ("auto",))
            exits = settings.exits if named else promising_taps(graph, settings.head)
            return replace(family, joint=True, exits=exits, exit_training="joint")
        case _:
            return family
