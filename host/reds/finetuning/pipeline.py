"""The stage as a whole: joint training, statistics, exit heads."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

from reds import cost
from reds.datasets import Data, as_dataset
from reds.errors import UsageError
from reds.exits import check_narrowed_exits
from reds.finetuning.heads import full_leavers, leavers, train_heads
from reds.finetuning.model import BatchNormMode, Branch, BranchesModel, Precision
from reds.finetuning.objectives import InPlaceDistillation, Objective, weighted_by_parameters
from reds.finetuning.sampling import turns
from reds.finetuning.session import FIRST_STATISTICS_BATCHES, Session, first_inputs
from reds.finetuning.statistics import BatchNorms, estimate_batch_norms, narrow_batch_norms
from reds.finetuning.training import Dataset, Decay, Progress, Schedule
from reds.finetuning.weights import arrays_of, weights_of, with_weights
from reds.graph import Family, Graph, Subnetwork, Supernet
from reds.shallow import check_networks, shallow_network, subnetwork_network

Loss = Literal["distillation", "weighted"]
ExitTraining = Literal["frozen", "joint"]

EXIT_LEARNING_RATE = 1e-2
"""Heads start from random weights, so they learn faster than the network is tuned."""


@dataclass(frozen=True)
class _Joint:
    """How the subnetworks are trained jointly."""

    schedule: Schedule
    loss: Loss
    distillation: float
    temperature: float
    batch_norm: BatchNormMode
    precision: Precision
    exits: ExitTraining


def finetune(
    family: Family,
    dataset: Dataset | Data,
    epochs: int = 20,
    seed: int = 0,
    learning_rate: float = 3e-3,
    batch_size: int = 100,
    loss: Loss = "distillation",
    distillation: float = 0.5,
    temperature: float = 2.0,
    exit_epochs: int | None = None,
    statistics_batches: int = 20,
    run_dir: Path | None = None,
    progress: Progress | None = None,
    batch_norm: BatchNormMode = "own",
    decay: Decay = "cosine",
    precision: Precision = "float32",
    exit_training: ExitTraining = "frozen",
    guard: float | None = None,
) -> Supernet:
    """Trains the subnetworks of a family jointly, and its exit heads after them on the frozen network or with them.

    Training goes on from the family's weights, so what an earlier call returned can be trained further. Each step of
    joint training sums the losses of the full network, the smallest subnetwork and up to two more, which take turns in
    each epoch. Afterwards the
    batch-norm statistics of every subnetwork are measured anew.

    With frozen exits, the first phase trains the subnetworks that end at the network's own output, and the second phase
    each exit's head on what the subnetworks that leave there (or the full network) give it. With joint ones, the
    first phase trains the heads on what the full network gives them, and the second phase all subnetworks, where heads
    keep their own learning rate. The phase of the heads is one pass: what several of them read is computed once.

    Args:
        family: the network, its exits and its subnetworks.
        dataset: labelled data; its `train` and `validation` give `batches(batch_size, seed, augment, epoch)`. Or a pair
            of arrays (x, y), a `keras.utils.PyDataset` or a `tf.data.Dataset`: see `reds.datasets.from_arrays`.
        epochs: passes over the train split of the first phase.
        seed: of everything drawn: order, augmentation, subnetworks. The same seed gives the same result.
        learning_rate: of Adam at the beginning of the first phase; it decays to a hundredth.
        batch_size: samples per step.
        loss: "distillation": labels for the full network, labels and the full network's output for the others;
            "weighted": labels only, a subnetwork's weight the root of its share of the parameters, divided by the
            sum of these roots (REDS, arXiv 2311.13349).
        distillation: share of the distillation in a subnetwork's loss, in [0, 1]; the labels have the rest.
        temperature: softens the outputs that are compared.
        exit_epochs: passes of the phase of the heads; as many as `epochs` where None.
        statistics_batches: batches of the train split that statistics are measured on.
        run_dir: folder that keeps the state after each epoch; a call with the same arguments goes on from there.
        progress: called before training and after each epoch with an `EpochReport`.
        batch_norm: "own": each subnetwork is normalised with what it sees itself; "shared": all are normalised with
            what the full network sees, as far as both have the layer.
        decay: of the learning rate: "cosine" over all epochs, or "steps": a tenth after half of them and a hundredth
            after three quarters.
        precision: type that is computed in: "float32", or with float32 weights "mixed_float16" (the loss is scaled)
            or "mixed_bfloat16". Batch normalisation and the loss are float32 with each.
        exit_training: "frozen" or "joint", see above. Subnetworks that are narrowed and leave through an exit need
            "joint": nothing else trains the narrowed network up to the tap.
        guard: how much less accurate the full network may become on the validation split in joint training, in [0, 1].
            The result has the weights after the last epoch that kept it, or those from before. None: as it comes.

    Returns:
        The trained family: the graph with the full network's weights and statistics, the trained heads, and the
        batch normalisations of each subnetwork.

    Raises:
        UsageError: if an argument is out of range, or the family does not begin with the full network.
    """
    _check_arguments(epochs, batch_size, distillation, temperature, statistics_batches)
    _check_choices(loss=(loss, Loss), batch_norm=(batch_norm, BatchNormMode), decay=(decay, Decay))
    _check_choices(precision=(precision, Precision), exit_training=(exit_training, ExitTraining))
    _check_exit_training(exit_training, batch_norm, guard)
    check_family(family)
    dataset = as_dataset(dataset, family.graph.input_shape, family.graph.output_shape[-1])
    check_dataset(family.graph, dataset)
    session = Session(dataset, first_inputs(dataset, batch_size, seed, statistics_batches), run_dir, progress)
    heads_schedule = Schedule(
        epochs if exit_epochs is None else exit_epochs, EXIT_LEARNING_RATE, batch_size, seed, decay
    )
    factors = _factors(family, EXIT_LEARNING_RATE / learning_rate) if exit_training == "joint" else {}
    schedule = Schedule(epochs, learning_rate, batch_size, seed, decay, factors, guard)
    joint = _Joint(schedule, loss, distillation, temperature, batch_norm, precision, exit_training)
    if exit_training == "joint" and family.exits:
        full = estimate_batch_norms(family.graph, session.calibration, weights_of(family.graph))
        heads = train_heads(family, full_leavers(family), [full], session, heads_schedule, precision)
        return _measured(_train_subnetworks(replace(family, exits=heads.exits), session, joint), session)
    family = _train_subnetworks(family, session, joint)
    batch_norms = _measure_batch_norms(family, session, batch_norm)
    family = replace(family, graph=with_weights(family.graph, batch_norms[0]))
    if family.exits:
        heads = train_heads(family, leavers(family), batch_norms, session, heads_schedule, precision)
        family = replace(family, exits=heads.exits)
        for index, chosen in enumerate(family.subnetworks):
            if chosen.exit:
                batch_norms[index] |= heads.batch_norms[index]
    return Supernet(family, tuple(batch_norms))


def _factors(family: Family, factor: float) -> dict[str, float]:
    """Per node of a head how much faster it learns than the network."""
    return {node.name: factor for leave in family.exits for node in leave.head.nodes if node.weights}


def _train_subnetworks(family: Family, session: Session, joint: _Joint) -> Family:
    """Trains the subnetworks without an exit, or all where exits are trained jointly; gives the family new weights."""
    seed = joint.schedule.seed
    subnetworks = [chosen for chosen in family.subnetworks if chosen.exit == 0 or joint.exits == "joint"]
    networks = [subnetwork_network(family, chosen) for chosen in subnetworks]
    widths = [network.narrow(chosen.widths) for network, chosen in zip(networks, subnetworks, strict=True)]
    parameters = [int(cost.parameters(network.graph, own)) for network, own in zip(networks, widths, strict=True)]
    objective: Objective = InPlaceDistillation(joint.distillation, joint.temperature)
    if joint.loss == "weighted":
        objective = weighted_by_parameters(parameters)
    first = session.calibration[:FIRST_STATISTICS_BATCHES]
    branches = []
    for chosen, network, own in zip(subnetworks, networks, widths, strict=True):
        norms = estimate_batch_norms(network.graph, first, weights_of(network.graph), own)
        branches.append(Branch(network.graph, chosen.name, own, norms))
    model = BranchesModel(branches, objective, joint.batch_norm, joint.precision)
    arrays = (array for network in networks for array in arrays_of(network.graph))
    session.train(
        "subnetworks",
        model,
        joint.schedule,
        lambda epoch: turns(parameters, seed, epoch),
        (
            joint,
            turns(parameters, seed, 0),
            [(chosen.exit, chosen.widths, chosen.skips) for chosen in subnetworks],
            *arrays,
        ),
        settle=lambda: model.measure_inactive(first),
    )
    weights = model.weights_by_node()
    exits = (replace(leave, head=with_weights(leave.head, weights)) for leave in family.exits)
    return replace(family, graph=with_weights(family.graph, weights), exits=tuple(exits))


def _measured(family: Family, session: Session) -> Supernet:
    """A jointly trained family with the statistics that each subnetwork sees, its exit's head included."""

    def norms(subnetwork: Subnetwork) -> BatchNorms:
        network = subnetwork_network(family, subnetwork)
        widths = network.narrow(subnetwork.widths)
        return estimate_batch_norms(network.graph, session.calibration, weights_of(network.graph), widths)

    batch_norms = tuple(norms(one) for one in family.subnetworks)
    full = cost.full_widths(family.graph)
    exits = (
        replace(leave, head=with_weights(leave.head, norms(Subnetwork(leave.name, full, number))))
        for number, leave in enumerate(family.exits, start=1)
    )
    graph = with_weights(family.graph, batch_norms[0])
    return Supernet(replace(family, graph=graph, exits=tuple(exits)), batch_norms)


def _measure_batch_norms(family: Family, session: Session, batch_norm: BatchNormMode) -> list[BatchNorms]:
    """The statistics of each subnetwork's part of the network."""
    weights = weights_of(family.graph)
    full = estimate_batch_norms(family.graph, session.calibration, weights) if batch_norm == "shared" else None
    batch_norms = []
    for subnetwork in family.subnetworks:
        network = shallow_network(family.graph, skips=subnetwork.skips)
        graph, widths = network.graph, network.narrow(subnetwork.widths)
        last = network.places[family.exits[subnetwork.exit - 1].tap] if subnetwork.exit else None
        if full is None:
            batch_norms.append(estimate_batch_norms(graph, session.calibration, weights, widths, last))
        else:
            batch_norms.append(narrow_batch_norms(graph, full, widths, last))
    return batch_norms


def _check_arguments(
    epochs: int, batch_size: int, distillation: float, temperature: float, statistics_batches: int
) -> None:
    if epochs < 0:
        raise UsageError(f"`epochs` must not be negative. Received: epochs={epochs}")
    if batch_size < 1 or statistics_batches < 1:
        raise UsageError(
            "`batch_size` and `statistics_batches` must be at least 1. "
            f"Received: batch_size={batch_size}, statistics_batches={statistics_batches}"
        )
    if not 0 <= distillation <= 1:
        raise UsageError(f"`distillation` must lie between 0 and 1. Received: distillation={distillation}")
    if temperature <= 0:
        raise UsageError(f"`temperature` must be positive. Received: temperature={temperature}")


def _check_exit_training(exit_training: ExitTraining, batch_norm: BatchNormMode, guard: float | None) -> None:
    if exit_training == "joint" and batch_norm == "shared":
        raise UsageError(
            "`exit_training='joint'` needs `batch_norm='own'`, since the full network has no statistics in the heads. "
            "Received: batch_norm='shared'"
        )
    if guard is not None and not 0 <= guard <= 1:
        raise UsageError(f"`guard` must lie between 0 and 1. Received: guard={guard}")


def _check_choices(**choices: tuple[str, Any]) -> None:
    for name, (value, kind) in choices.items():
        if value not in get_args(kind):
            raise UsageError(f"`{name}` must be one of {', '.join(get_args(kind))}. Received: {name}={value}")


def check_family(family: Family) -> None:
    """Raises UsageError unless a family begins with the full network, names each subnetwork differently, skips only
    blocks that can be skipped, and narrows no map whose exit's head cannot be narrowed."""
    full = cost.full_widths(family.graph)
    first = family.subnetworks[0] if family.subnetworks else None
    if first is None or first.widths != full or first.exit or first.skips:
        raise UsageError("The first subnetwork of a family must be the full network without an exit.")
    check_networks(family)
    check_narrowed_exits(family)
    names = [chosen.name for chosen in family.subnetworks]
    if len(set(names)) < len(names):
        raise UsageError(f"Subnetworks need names of their own. Received: {', '.join(names)}")


def check_dataset(graph: Graph, dataset: Dataset) -> None:
    """Raises UsageError unless a data set has the network's input shape and classes."""
    if tuple(dataset.input_shape) != tuple(graph.input_shape):
        raise UsageError(
            f"'{graph.name}' reads inputs of shape {graph.input_shape}, but the data set gives "
            f"{dataset.input_shape}: use `dataset.with_input_shape({graph.input_shape})` or another data set."
        )
    if graph.output_shape != (len(dataset.classes),):
        raise UsageError(
            f"'{graph.name}' has an output of shape {graph.output_shape}, but the data set has "
            f"{len(dataset.classes)} classes: it needs one score per class."
        )
