"""Trains a family further with the rounding of its int8 form, so that the rounding costs less accuracy."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from keras import ops
from numpy.typing import NDArray

from reds import cost
from reds.datasets import Data, as_dataset
from reds.errors import UsageError
from reds.finetuning.model import Branch, BranchesModel, Prepare
from reds.finetuning.objectives import InPlaceDistillation, Objective, WeightedCrossEntropy
from reds.finetuning.pipeline import check_dataset, check_family
from reds.finetuning.rounding import grid_table, rounded_forward
from reds.finetuning.sampling import Turn, turns
from reds.finetuning.session import Session
from reds.finetuning.training import Dataset, Progress, Schedule
from reds.finetuning.weights import arrays_of, weights_of, with_weights
from reds.forward import Tensor, Weights
from reds.graph import Array, BatchNormWeights, Family, Graph, Supernet
from reds.quantizing import activation_grids
from reds.shallow import ShallowNetwork, shallow_network

PHASE = "quantization_aware"

DISTILLATION, TEMPERATURE = 0.5, 2.0
"""As `finetune` has them by default."""


class RoundedBranchesModel(BranchesModel):
    """Branches of one graph on the numbers of their int8 form, with frozen batch-norm statistics.

    Args:
        branches: the networks, the widest first.
        objective: what training minimises.
        tables: per branch the grids of its tensors, see `grid_table`.
        prepare: makes what the branches read, where that is not the batch itself.
    """

    def __init__(
        self,
        branches: Sequence[Branch],
        objective: Objective,
        tables: Sequence[Array],
        prepare: Prepare | None = None,
    ) -> None:
        super().__init__(branches, objective, prepare=prepare)
        self._tables = [self._variable("grids", table, trainable=False) for table in tables]

    def set_tables(self, tables: Sequence[Array]) -> None:
        """Replaces the grids."""
        for variable, table in zip(self._tables, tables, strict=True):
            variable.assign(table)

    def _active_logits(self, x: Tensor) -> Iterator[Tensor]:
        inputs = self._inputs(x)
        return (self._rounded_logits(index, inputs[index]) for index in self._active)

    def _all_logits(self, x: Tensor) -> Iterator[Tensor]:
        return (self._rounded_logits(index, source) for index, source in enumerate(self._inputs(x)))

    def _rounded_logits(self, index: int, x: Tensor) -> Tensor:
        branch = self._branches[index]
        table = ops.convert_to_tensor(self._tables[index])
        return rounded_forward(branch.graph, x, self._shared, branch.widths, self._statistics[index], table)


def quantize_aware(
    supernet: Supernet,
    dataset: Dataset | Data,
    calibration: NDArray[np.float32],
    epochs: int = 3,
    seed: int = 0,
    learning_rate: float = 3e-4,
    batch_size: int = 100,
    run_dir: Path | None = None,
    progress: Progress | None = None,
) -> Supernet:
    """Trains a family further with its weights and activations rounded as `quantize` rounds them.

    The network's subnetworks are trained jointly as in `finetune`, each following the full network; then the head of
    each exit on the frozen network. Batch-norm statistics stay as they are. Before each epoch the ranges of all
    activations are measured anew, per subnetwork; a weight's grid follows the weight.

    Args:
        supernet: the family, trained by `finetune`.
        dataset: see `finetune`.
        calibration: (samples, *input shape) float32 inputs to measure ranges on; give `emit` the same.
        epochs: passes over the train split, for the network and for each head.
        seed: of everything drawn.
        learning_rate: of Adam; it decays by a cosine to a hundredth. A tenth of what the family was trained with suits.
        batch_size: samples per step.
        run_dir: see `finetune`.
        progress: see `finetune`; accuracies are those of the rounded networks.

    Returns:
        The family with other weights.

    Raises:
        UsageError: if an argument is out of range, or data, calibration and family do not fit.
    """
    if epochs < 0 or batch_size < 1:
        raise UsageError(
            "`epochs` must not be negative and `batch_size` must be at least 1. "
            f"Received: epochs={epochs}, batch_size={batch_size}"
        )
    check_family(supernet.family)
    graph = supernet.family.graph
    dataset = as_dataset(dataset, graph.input_shape, graph.output_shape[-1])
    check_dataset(graph, dataset)
    training = _Training(
        Session(dataset, (), run_dir, progress), Schedule(epochs, learning_rate, batch_size, seed), calibration
    )
    for part in _parts(supernet.family):
        supernet = training.run(supernet, part)
    return supernet


@dataclass(frozen=True)
class _Part:
    """The network or an exit head, and the subnetworks that train it."""

    phase: str
    exit: int
    """0: the network; i: the head of `exits[i - 1]`."""
    members: tuple[int, ...]

    def graph(self, family: Family) -> Graph:
        """Its operations and weights."""
        return family.exits[self.exit - 1].head if self.exit else family.graph

    def source(self, family: Family, member: int) -> str | None:
        """Name of the network's node that it reads for a member; None for the input."""
        if not self.exit:
            return None
        network = _backbone(family, member)
        return network.graph.nodes[network.places[family.exits[self.exit - 1].tap]].name

    def graph_of(self, family: Family, member: int) -> Graph:
        """What a member runs of it."""
        return self.graph(family) if self.exit else _backbone(family, member).graph

    def widths(self, family: Family, member: int) -> tuple[int, ...]:
        """Active channels of a member in it."""
        if self.exit:
            return cost.full_widths(self.graph(family))
        return _backbone(family, member).narrow(family.subnetworks[member].widths)

    def with_weights(self, supernet: Supernet, weights: Weights) -> Supernet:
        """The family with other weights in this part."""
        family = supernet.family
        if self.exit:
            exits = list(family.exits)
            exits[self.exit - 1] = replace(exits[self.exit - 1], head=with_weights(self.graph(family), weights))
            family = replace(family, exits=tuple(exits))
        else:
            family = replace(family, graph=with_weights(family.graph, weights))
        return Supernet(family, tuple(_with_weights(batch_norm, weights) for batch_norm in supernet.batch_norms))


def _backbone(family: Family, member: int) -> ShallowNetwork:
    """The network without the blocks that a subnetwork skips."""
    return shallow_network(family.graph, skips=family.subnetworks[member].skips)


def _parts(family: Family) -> Iterator[_Part]:
    for number in range(len(family.exits) + 1):
        members = tuple(index for index, chosen in enumerate(family.subnetworks) if chosen.exit == number)
        if members:
            yield _Part(f"{family.exits[number - 1].name}_{PHASE}" if number else PHASE, number, members)


def _with_weights(batch_norm: BatchNormWeights, weights: Weights) -> BatchNormWeights:
    """A subnetwork's batch normalisations with the prefixes of other gammas and betas."""
    return {
        node: {
            name: weights[node][name][: len(values)] if name in weights.get(node, {}) else values
            for name, values in members.items()
        }
        for node, members in batch_norm.items()
    }


@dataclass(frozen=True)
class _Training:
    """What the trainings of one call share."""

    session: Session
    schedule: Schedule
    calibration: NDArray[np.float32]

    def run(self, supernet: Supernet, part: _Part) -> Supernet:
        """Trains a part of a family."""
        family, seed = supernet.family, self.schedule.seed
        tables = self._tables(supernet, part)
        branches, prepare = self._branches(supernet, part), self._prepare(supernet, part)
        model = RoundedBranchesModel(branches, _objective(part), tables, prepare)
        parameters = [
            int(cost.parameters(part.graph_of(family, member), part.widths(family, member))) for member in part.members
        ]

        def begin(epoch: int) -> Sequence[Turn]:
            model.set_tables(self._tables(part.with_weights(supernet, model.weights_by_node()), part))
            return turns(parameters, seed, epoch)

        arrays = [array for graph in (family.graph, part.graph(family)) for array in arrays_of(graph)]
        widths = [(chosen.widths, chosen.skips) for chosen in family.subnetworks]
        self.session.train(part.phase, model, self.schedule, begin, (widths, self.calibration, *arrays))
        return part.with_weights(supernet, model.weights_by_node())

    def _tables(self, supernet: Supernet, part: _Part) -> list[Array]:
        family = supernet.family
        grids = activation_grids(supernet, self.calibration)
        return [
            grid_table(part.graph_of(family, index), grids[index], part.source(family, index)) for index in part.members
        ]

    def _branches(self, supernet: Supernet, part: _Part) -> list[Branch]:
        family = supernet.family
        nodes = {node.name for node in part.graph(family).nodes}
        return [
            Branch(
                part.graph_of(family, index),
                family.subnetworks[index].name,
                part.widths(family, index),
                {name: weights for name, weights in supernet.batch_norms[index].items() if name in nodes},
            )
            for index in part.members
        ]

    def _prepare(self, supernet: Supernet, part: _Part) -> Prepare | None:
        """What each member reads of a batch, where the part is a head."""
        if part.exit == 0:
            return None
        backbones = [self._backbone(supernet, part, index) for index in part.members]
        return lambda x: [backbone(x) for backbone in backbones]

    def _backbone(self, supernet: Supernet, part: _Part, index: int) -> Callable[[Tensor], Tensor]:
        """The frozen, rounded subnetwork up to the part's tap."""
        family = supernet.family
        network, batch_norm = _backbone(family, index), supernet.batch_norms[index]
        graph, widths = network.graph, network.narrow(family.subnetworks[index].widths)
        table = grid_table(graph, activation_grids(supernet, self.calibration)[index])
        tap = network.places[family.exits[part.exit - 1].tap]

        def run(x: Tensor) -> Tensor:
            return ops.stop_gradient(rounded_forward(graph, x, weights_of(graph), widths, batch_norm, table, tap))

        return run


def _objective(part: _Part) -> Objective:
    if part.exit:
        return WeightedCrossEntropy((1.0,) * len(part.members))
    return InPlaceDistillation(DISTILLATION, TEMPERATURE)
