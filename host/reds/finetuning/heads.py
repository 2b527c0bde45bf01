"""Trains the heads of all exits on the frozen network, in one pass over it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from keras import ops

from reds import cost
from reds.finetuning.model import Branch, BranchesModel, Precision, Prepare
from reds.finetuning.objectives import WeightedCrossEntropy
from reds.finetuning.session import FIRST_STATISTICS_BATCHES, Session
from reds.finetuning.statistics import BatchNorms, estimate_batch_norms
from reds.finetuning.training import Schedule
from reds.finetuning.weights import arrays_of, weights_of, with_weights
from reds.forward import Tensor, maps_at
from reds.graph import Exit, Family
from reds.shallow import shallow_network

PHASE = "exits"


@dataclass(frozen=True)
class Leaver:
    """A subnetwork that trains the head of an exit."""

    subnetwork: int
    """Index in the family; what leaves has its widths and its blocks."""
    exit: int
    """i: `exits[i - 1]`."""
    name: str


@dataclass(frozen=True)
class TrainedHeads:
    """The exits with their trained heads, and the statistics that each subnetwork sees in its own."""

    exits: tuple[Exit, ...]
    """Their heads carry the statistics that they see behind the full network."""
    batch_norms: Mapping[int, BatchNorms]
    """Per index of a subnetwork that trained a head those of the head."""


def leavers(family: Family) -> tuple[Leaver, ...]:
    """All subnetworks that leave through an exit, and the full network where none does."""
    users = tuple(
        Leaver(index, chosen.exit, chosen.name) for index, chosen in enumerate(family.subnetworks) if chosen.exit
    )
    unused = set(range(1, len(family.exits) + 1)) - {user.exit for user in users}
    return users + tuple(one for one in full_leavers(family) if one.exit in unused)


def full_leavers(family: Family) -> tuple[Leaver, ...]:
    """The full network at every exit."""
    return tuple(Leaver(0, number, leave.name) for number, leave in enumerate(family.exits, start=1))


def train_heads(
    family: Family,
    members: Sequence[Leaver],
    batch_norms: Sequence[BatchNorms],
    session: Session,
    schedule: Schedule,
    precision: Precision,
) -> TrainedHeads:
    """Trains the heads of all exits on what frozen subnetworks give them.

    Subnetworks of the same widths and blocks run once for all their exits.

    Args:
        family: the trained network.
        members: what leaves, at least one for each exit.
        batch_norms: of each subnetwork of the family.
        session: what all trainings share.
        schedule: how long and how fast to train.
        precision: type that is computed in.

    Returns:
        The trained heads.
    """
    prepare = _backbones(family, members, batch_norms)
    features = [prepare(x) for x in session.calibration]
    branches = [
        Branch(
            head := family.exits[member.exit - 1].head,
            member.name,
            cost.full_widths(head),
            estimate_batch_norms(head, (maps[index] for maps in features[:FIRST_STATISTICS_BATCHES]), weights_of(head)),
        )
        for index, member in enumerate(members)
    ]
    model = BranchesModel(branches, WeightedCrossEntropy((1.0,) * len(branches)), precision=precision, prepare=prepare)
    heads = [leave.head for leave in family.exits]
    users = [(member.exit, family.subnetworks[member.subnetwork]) for member in members]
    widths = [(exit, chosen.widths, chosen.skips) for exit, chosen in users]
    inputs = (precision, widths, *(array for graph in (family.graph, *heads) for array in arrays_of(graph)))
    everyone = tuple(range(len(branches)))
    session.train(PHASE, model, schedule, lambda _: (everyone,), inputs)

    trained = [with_weights(head, model.weights_by_node()) for head in heads]
    measured: dict[int, BatchNorms] = {}
    for index, member in enumerate(members):
        head = trained[member.exit - 1]
        norms = estimate_batch_norms(head, (maps[index] for maps in features), weights_of(head))
        measured[member.subnetwork] = measured.get(member.subnetwork, {}) | norms
    behind = _backbones(family, full_leavers(family), batch_norms)
    maps_of_full = [behind(x) for x in session.calibration]
    exits = []
    for index, (leave, head) in enumerate(zip(family.exits, trained, strict=True)):
        norms = estimate_batch_norms(head, (maps[index] for maps in maps_of_full), weights_of(head))
        exits.append(replace(leave, head=with_weights(head, norms)))
    return TrainedHeads(tuple(exits), measured)


def _backbones(family: Family, members: Sequence[Leaver], batch_norms: Sequence[BatchNorms]) -> Prepare:
    """From a batch to the tapped map of each member; members of the same widths and blocks are run at once."""
    alike: dict[tuple[tuple[int, ...], tuple[str, ...]], list[int]] = {}
    for index, member in enumerate(members):
        chosen = family.subnetworks[member.subnetwork]
        alike.setdefault((chosen.widths, chosen.skips), []).append(index)

    def run(x: Tensor) -> list[Tensor]:
        maps: list[Tensor] = [None] * len(members)
        for (widths, skips), together in alike.items():
            network = shallow_network(family.graph, skips=skips)
            taps = [network.places[family.exits[members[index].exit - 1].tap] for index in together]
            norms: BatchNorms = {}
            for index in together:
                norms |= batch_norms[members[index].subnetwork]
            outputs = maps_at(network.graph, x, taps, network.narrow(widths), norms)
            for index, tapped in zip(together, outputs, strict=True):
                maps[index] = ops.stop_gradient(tapped)
        return maps

    return run
