"""The stage as a whole: joint training, statistics, exit heads."""

from dataclasses import replace
from pathlib import Path
from typing import Literal, get_args

from reds import cost
from reds.datasets import Data, as_dataset
from reds.errors import UsageError
from reds.finetuning.heads import train_head
from reds.finetuning.model import Branch, BranchesModel
from reds.finetuning.objectives import InPlaceDistillation, Objective, WeightedCrossEntropy
from reds.finetuning.sampling import sandwich
from reds.finetuning.session import FIRST_STATISTICS_BATCHES, Session, first_inputs
from reds.finetuning.statistics import estimate_batch_norms
from reds.finetuning.training import Dataset, Progress, Schedule
from reds.finetuning.weights import arrays_of, weights_of, with_weights
from reds.graph import Family, Graph, Subnetwork, Supernet

Loss = Literal["distillation", "weighted"]

EXIT_LEARNING_RATE = 1e-2
"""Heads start from random weights, so they learn faster than the network is tuned."""


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
) -> Supernet:
    """Trains the subnetworks of a family jointly, then its exit heads on the frozen network.

    The first phase trains the subnetworks that end at the network's own output; each step sums the losses of the full
    network, the smallest and up to two more. Then the batch-norm statistics of every subnetwork are measured anew.
    The second phase trains each exit's head on what the subnetworks that leave there (or the full network) give it.

    Args:
        family: the network, its exits and its subnetworks.
        dataset: labelled data; its `train` and `validation` give `batches(batch_size, seed, augment, epoch)`. Or a pair
            of arrays (x, y), a `keras.utils.PyDataset` or a `tf.data.Dataset`: see `reds.datasets.from_arrays`.
        epochs: passes over the train split of the first phase.
        seed: of everything drawn: order, augmentation, subnetworks. The same seed gives the same result.
        learning_rate: of Adam in the first phase; it decays by a cosine to a hundredth.
        batch_size: samples per step.
        loss: "distillation": labels for the full network, labels and the full network's output for the others;
            "weighted": labels only, a subnetwork's weight the root of its share of the parameters (REDS).
        distillation: share of the distillation in a subnetwork's loss, in [0, 1]; the labels have the rest.
        temperature: softens the outputs that are compared.
        exit_epochs: passes of the second phase; as many as `epochs` where None.
        statistics_batches: batches of the train split that statistics are measured on.
        run_dir: folder that keeps the state after each epoch; a call with the same arguments goes on from there.
        progress: called before training and after each epoch with an `EpochReport`.

    Returns:
        The trained family: the graph with the full network's weights and statistics, the trained heads, and the
        batch normalisations of each subnetwork.

    Raises:
        UsageError: if an argument is out of range, or the family does not begin with the full network.
    """
    _check_arguments(epochs, batch_size, loss, distillation, temperature, statistics_batches)
    _check_family(family)
    dataset = as_dataset(dataset, family.graph.input_shape, family.graph.output_shape[-1])
    _check_dataset(family.graph, dataset)
    session = Session(dataset, first_inputs(dataset, batch_size, seed, statistics_batches), run_dir, progress)
    schedule = Schedule(epochs, learning_rate, batch_size, seed)
    heads_schedule = Schedule(epochs if exit_epochs is None else exit_epochs, EXIT_LEARNING_RATE, batch_size, seed)

    family = _train_subnetworks(family, session, schedule, loss, distillation, temperature)
    batch_norms = [
        estimate_batch_norms(
            family.graph, session.calibration, weights_of(family.graph), chosen.widths, _last_node(family, chosen)
        )
        for chosen in family.subnetworks
    ]
    family = replace(family, graph=with_weights(family.graph, batch_norms[0]))
    exits = []
    for number, exit_ in enumerate(family.exits, start=1):
        members = [index for index, chosen in enumerate(family.subnetworks) if chosen.exit == number]
        head = train_head(family, exit_, members or [0], batch_norms, session, heads_schedule)
        exits.append(replace(exit_, head=head.graph))
        for index in members:
            batch_norms[index] |= head.batch_norms[index]
    return Supernet(replace(family, exits=tuple(exits)), tuple(batch_norms))


def _train_subnetworks(
    family: Family, session: Session, schedule: Schedule, loss: Loss, distillation: float, temperature: float
) -> Family:
    """Trains the subnetworks without an exit and returns the family with the new weights."""
    graph = family.graph
    subnetworks = [chosen for chosen in family.subnetworks if chosen.exit == 0]
    parameters = [int(cost.parameters(graph, chosen.widths)) for chosen in subnetworks]
    objective: Objective = InPlaceDistillation(distillation, temperature)
    if loss == "weighted":
        objective = WeightedCrossEntropy(tuple((count / parameters[0]) ** 0.5 for count in parameters))
    first = session.calibration[:FIRST_STATISTICS_BATCHES]
    branches = [
        Branch(chosen.name, chosen.widths, estimate_batch_norms(graph, first, weights_of(graph), chosen.widths))
        for chosen in subnetworks
    ]
    model = BranchesModel(graph, branches, objective)
    inputs = (objective, [chosen.widths for chosen in subnetworks], *arrays_of(graph))
    session.train("subnetworks", model, schedule, lambda epoch: sandwich(parameters, schedule.seed, epoch), inputs)
    return replace(family, graph=with_weights(graph, model.weights_by_node()))


def _last_node(family: Family, subnetwork: Subnetwork) -> int | None:
    return None if subnetwork.exit == 0 else family.exits[subnetwork.exit - 1].tap


def _check_arguments(
    epochs: int, batch_size: int, loss: str, distillation: float, temperature: float, statistics_batches: int
) -> None:
    if epochs < 0:
        raise UsageError(f"`epochs` must not be negative. Received: epochs={epochs}")
    if batch_size < 1 or statistics_batches < 1:
        raise UsageError(
            "`batch_size` and `statistics_batches` must be at least 1. "
            f"Received: batch_size={batch_size}, statistics_batches={statistics_batches}"
        )
    if loss not in get_args(Loss):
        raise UsageError(f"`loss` must be one of {', '.join(get_args(Loss))}. Received: loss={loss}")
    if not 0 <= distillation <= 1:
        raise UsageError(f"`distillation` must lie between 0 and 1. Received: distillation={distillation}")
    if temperature <= 0:
        raise UsageError(f"`temperature` must be positive. Received: temperature={temperature}")


def _check_family(family: Family) -> None:
    full = cost.full_widths(family.graph)
    if not family.subnetworks or family.subnetworks[0].widths != full or family.subnetworks[0].exit:
        raise UsageError("The first subnetwork of a family must be the full network without an exit.")
    names = [chosen.name for chosen in family.subnetworks]
    if len(set(names)) < len(names):
        raise UsageError(f"Subnetworks need names of their own. Received: {', '.join(names)}")


def _check_dataset(graph: Graph, dataset: Dataset) -> None:
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
