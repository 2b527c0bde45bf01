"""The Keras model that `fit` trains: many subnetworks of one graph on one set of variables."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
from keras import ops

from reds.finetuning.objectives import Objective
from reds.forward import Moments, Tensor, forward_with_moments
from reds.graph import Array, BatchNormWeights, Graph

MOMENTUM = 0.9
"""Of the moving statistics, which are only read for the accuracies shown during training."""

STATISTICS = ("moving_mean", "moving_variance")


@dataclass(frozen=True)
class Branch:
    """One of the networks that share the weights of a graph."""

    name: str
    widths: tuple[int, ...]
    """Active channels per channel group of the graph."""
    batch_norm: BatchNormWeights
    """Its batch normalisations before training, sliced to the widths."""
    prepare: Callable[[Tensor], Tensor] = ops.convert_to_tensor
    """Makes the graph's input from a batch of the data set."""


class BranchesModel(keras.Model):
    """Branches of one graph. Calling it stacks their logits: (branches, batch, classes).

    In training it runs the active branches, each normalised with the statistics of its own batch; otherwise all, each
    normalised with moving averages of its own.
    """

    def __init__(self, graph: Graph, branches: Sequence[Branch], objective: Objective) -> None:
        super().__init__()
        self._graph = graph
        self._branches = tuple(branches)
        self._objective = objective
        self._active = tuple(range(len(branches)))
        self._shared = {node.name: self._variables(node.weights) for node in graph.nodes if node.weights}
        self._statistics = [self._moving_statistics(branch) for branch in branches]
        self._accuracies = [keras.metrics.Mean(name=f"accuracy_{index}") for index in range(len(branches))]
        self.built = True

    def accuracy_by_name(self, logs: Mapping[str, float], prefix: str = "") -> dict[str, float]:
        """Each branch's accuracy among what `fit` or `evaluate` reported."""
        metrics = zip(self._branches, self._accuracies, strict=True)
        return {branch.name: logs[f"{prefix}{metric.name}"] for branch, metric in metrics}

    def activate(self, branches: Sequence[int]) -> None:
        """Chooses the branches that train from the next epoch on."""
        if tuple(branches) != self._active:
            self._active = tuple(branches)
            self.train_function = None

    def weights_by_node(self) -> dict[str, dict[str, Array]]:
        """The shared weights as arrays, without statistics."""
        return {
            node: {name: ops.convert_to_numpy(variable) for name, variable in variables.items()}
            for node, variables in self._shared.items()
        }

    def call(self, x: Tensor, training: bool = False) -> Tensor:
        chosen = self._active if training else range(len(self._branches))
        return ops.stack([self._logits(index, x, training) for index in chosen])

    def compute_loss(
        self,
        x: Tensor = None,
        y: Tensor = None,
        y_pred: Tensor = None,
        sample_weight: Tensor = None,
        training: bool = True,
    ) -> Tensor:
        return self._objective(ops.reshape(y, (-1,)), y_pred, self._chosen(y_pred))

    def compute_metrics(self, x: Tensor, y: Tensor, y_pred: Tensor, sample_weight: Tensor = None) -> dict[str, Tensor]:
        hits = ops.equal(ops.argmax(y_pred, axis=-1), ops.cast(ops.reshape(y, (1, -1)), "int32"))
        for row, index in enumerate(self._chosen(y_pred)):
            self._accuracies[index].update_state(hits[row])
        return self.get_metrics_result()

    def _chosen(self, logits: Tensor) -> tuple[int, ...]:
        """The branches that a stack of logits comes from."""
        everything = tuple(range(len(self._branches)))
        return everything if logits.shape[0] == len(everything) else self._active

    def _logits(self, index: int, x: Tensor, training: bool) -> Tensor:
        branch = self._branches[index]
        statistics = self._statistics[index]
        logits, moments = forward_with_moments(
            self._graph,
            branch.prepare(x),
            self._shared,
            branch.widths,
            {node: {**self._shared[node], **moving} for node, moving in statistics.items()},
            training,
            stop_before_softmax=True,
        )
        for node, seen in moments.items():
            _follow(statistics[node], seen)
        return logits

    def _variables(self, weights: Mapping[str, Array]) -> dict[str, Any]:
        return {name: self._variable(name, value) for name, value in weights.items() if name not in STATISTICS}

    def _moving_statistics(self, branch: Branch) -> dict[str, dict[str, Any]]:
        return {
            node: {name: self._variable(name, weights[name], trainable=False) for name in STATISTICS}
            for node, weights in branch.batch_norm.items()
        }

    def _variable(self, name: str, value: Array, trainable: bool = True) -> Any:
        # Statistics are not summed up by gradients, so copies on several devices have to be averaged.
        aggregation = "none" if trainable else "mean"
        variable = self.add_weight(shape=value.shape, name=name, trainable=trainable, aggregation=aggregation)
        variable.assign(value)
        return variable


def _follow(moving: Mapping[str, Any], moments: Moments) -> None:
    for name, seen in zip(STATISTICS, (moments.mean, moments.variance), strict=True):
        moving[name].assign(MOMENTUM * moving[name] + (1 - MOMENTUM) * ops.stop_gradient(seen))
