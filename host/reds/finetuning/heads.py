"""Trains the head of an exit on the frozen network."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from keras import ops

from reds import cost
from reds.finetuning.model import Branch, BranchesModel, Precision
from reds.finetuning.objectives import WeightedCrossEntropy
from reds.finetuning.session import FIRST_STATISTICS_BATCHES, Session
from reds.finetuning.statistics import BatchNorms, estimate_batch_norms
from reds.finetuning.training import Schedule
from reds.finetuning.weights import arrays_of, weights_of, with_weights
from reds.forward import Tensor, forward
from reds.graph import Exit, Family, Graph


@dataclass(frozen=True)
class TrainedHead:
    """A head with its weights, and the statistics that each subnetwork sees in it."""

    graph: Graph
    batch_norms: Mapping[int, BatchNorms]
    """Per subnetwork that leaves there."""


def train_head(
    family: Family,
    exit_: Exit,
    members: Sequence[int],
    batch_norms: Sequence[BatchNorms],
    session: Session,
    schedule: Schedule,
    precision: Precision,
) -> TrainedHead:
    """Trains the head of an exit on what frozen subnetworks give it.

    Args:
        family: the trained network.
        exit_: the exit, one of the family's.
        members: indices of the subnetworks that leave there.
        batch_norms: of each subnetwork of the family.
        session: what all trainings share.
        schedule: how long and how fast to train.
        precision: type that is computed in.

    Returns:
        The trained head. Its graph carries the statistics that it sees behind the full network.
    """
    head = exit_.head
    widths = cost.full_widths(head)
    backbones = [_backbone(family, exit_, index, batch_norms[index]) for index in members]
    features = [[backbone(x) for x in session.calibration] for backbone in backbones]
    branches = [
        Branch(
            family.subnetworks[index].name,
            widths,
            estimate_batch_norms(head, maps[:FIRST_STATISTICS_BATCHES], weights_of(head)),
            backbone,
        )
        for index, maps, backbone in zip(members, features, backbones, strict=True)
    ]
    model = BranchesModel(head, branches, WeightedCrossEntropy((1.0,) * len(branches)), precision=precision)
    inputs = (
        precision,
        [family.subnetworks[index].widths for index in members],
        *arrays_of(family.graph),
        *arrays_of(head),
    )
    everyone = tuple(range(len(branches)))
    session.train(exit_.name, model, schedule, lambda _: model.activate(everyone), inputs)

    trained = with_weights(head, model.weights_by_node())
    measured = {
        index: estimate_batch_norms(trained, maps, weights_of(trained))
        for index, maps in zip(members, features, strict=True)
    }
    full = _backbone(family, exit_, 0, batch_norms[0])
    maps = (full(x) for x in session.calibration)
    return TrainedHead(with_weights(trained, estimate_batch_norms(trained, maps, weights_of(trained))), measured)


def _backbone(family: Family, exit_: Exit, index: int, batch_norm: BatchNorms) -> Callable[[Tensor], Tensor]:
    """The frozen subnetwork up to the exit's tap."""
    widths = family.subnetworks[index].widths

    def run(x: Tensor) -> Tensor:
        return ops.stop_gradient(forward(family.graph, x, widths=widths, batch_norm=batch_norm, until=exit_.tap))

    return run
