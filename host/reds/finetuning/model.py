"""The Keras model that `fit` trains: many subnetworks of one graph on one set of variables."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import keras
from keras import ops

from reds.finetuning.objectives import Objective
from reds.finetuning.statistics import estimate_batch_norms
from reds.forward import Moments, Tensor, forward, forward_with_moments, run_trunk, trunk_of
from reds.graph import Array, BatchNormWeights, Graph
from reds.replicas import count_replicas

BatchNormMode = Literal["own", "shared"]
Precision = Literal["float32", "mixed_float16", "mixed_bfloat16"]

MOMENTUM = 0.9
"""Of the moving statistics, which are only read for the accuracies shown during training."""

STATISTICS = ("moving_mean", "moving_variance")


@dataclass(frozen=True)
class Branch:
    """One of the networks that share weights."""

    graph: Graph
    """What it runs. Nodes of one name have the same weights in all branches."""
    name: str
    widths: tuple[int, ...]
    """Active channels per channel group of the graph."""
    batch_norm: BatchNormWeights
    """Its batch normalisations before training, sliced to the widths."""


Prepare = Callable[[Tensor], Sequence[Tensor]]
"""From a batch of the data set to what each branch reads."""


class BranchesModel(keras.Model):
    """Networks that share weights. Calling it stacks their logits in float32: (branches, batch, classes).

    In training it runs the active branches, normalised with the statistics of the batch; otherwise all, normalised
    with moving averages. With "own" statistics these are what each branch sees, with "shared" ones what the first
    branch sees. The first branch is the widest and always active.

    Args:
        branches: the networks, the widest first.
        objective: what training minimises.
        batch_norm: whose statistics normalise; "shared" only where the first branch has all nodes of the others.
        precision: a Keras dtype policy; the variables are float32 with each.
        prepare: makes what the branches read, where that is not the batch itself.
    """

    train_function: Any

    def __init__(
        self,
        branches: Sequence[Branch],
        objective: Objective,
        batch_norm: BatchNormMode = "own",
        precision: Precision = "float32",
        prepare: Prepare | None = None,
    ) -> None:
        super().__init__(dtype=precision)
        self._branches = tuple(branches)
        self._objective = objective
        self._active = tuple(range(len(branches)))
        self._train_functions: dict[tuple[int, ...], Any] = {}
        nodes = {node.name: node for branch in branches for node in branch.graph.nodes if node.weights}
        self._shared = {name: self._variables(node.weights) for name, node in nodes.items()}
        self._statistics = [self._moving_statistics(branch) for branch in branches]
        self._shares_statistics = batch_norm == "shared"
        self._prepare = prepare
        self._accuracies = [keras.metrics.Mean(name=f"accuracy_{index}") for index in range(len(branches))]
        self.built = True

    def accuracy_by_name(self, logs: Mapping[str, float], prefix: str = "") -> dict[str, float]:
        """Each branch's accuracy among what `fit` or `evaluate` reported."""
        metrics = zip(self._branches, self._accuracies, strict=True)
        return {branch.name: logs[f"{prefix}{metric.name}"] for branch, metric in metrics}

    def factors(self, by_node: Mapping[str, float]) -> tuple[float, ...]:
        """Per trainable variable what `by_node` has for its node, else 1."""
        known = {
            id(variable): by_node.get(node, 1.0)
            for node, variables in self._shared.items()
            for variable in variables.values()
        }
        return tuple(known[id(variable)] for variable in self.trainable_variables)

    def activate(self, branches: Sequence[int]) -> None:
        """Chooses the branches that train from the next step on."""
        # What Keras traced for branches is kept for when they have their turn again.
        self._train_functions[self._active] = self.train_function
        self._active = tuple(branches)
        self.train_function = self._train_functions.get(self._active)

    def compile(self, *arguments: Any, **options: Any) -> None:
        """Keras' own; what was traced before belongs to another optimizer."""
        super().compile(*arguments, **options)
        self._train_functions.clear()

    def measure_inactive(self, batches: Sequence[Tensor]) -> None:
        """Gives branches that do not train the statistics that the weights lead to now; they follow no training.

        Args:
            batches: inputs of the data set to measure them on.
        """
        if self._shares_statistics:
            return
        for index in set(range(len(self._branches))) - set(self._active):
            branch = self._branches[index]
            inputs = (self._inputs(x)[index] for x in batches)
            for node, measured in estimate_batch_norms(branch.graph, inputs, self._shared, branch.widths).items():
                for name in STATISTICS:
                    self._statistics[index][node][name].assign(measured[name])

    def weights_by_node(self) -> dict[str, dict[str, Array]]:
        """The shared weights as arrays, without statistics."""
        return {
            node: {name: ops.convert_to_numpy(variable) for name, variable in variables.items()}
            for node, variables in self._shared.items()
        }

    def call(self, x: Tensor, training: bool = False) -> Tensor:
        return ops.stack(list(self._active_logits(x) if training else self._all_logits(x)))

    def compute_loss(
        self,
        x: Tensor = None,
        y: Tensor = None,
        y_pred: Tensor = None,
        sample_weight: Tensor = None,
        training: bool = True,
    ) -> Tensor:
        # Keras adds the gradients of all replicas up.
        return self._objective(ops.reshape(y, (-1,)), y_pred, self._chosen(y_pred)) / count_replicas()

    def compute_metrics(self, x: Tensor, y: Tensor, y_pred: Tensor, sample_weight: Tensor = None) -> dict[str, Tensor]:
        hits = ops.equal(ops.argmax(y_pred, axis=-1), ops.cast(ops.reshape(y, (1, -1)), "int32"))
        for row, index in enumerate(self._chosen(y_pred)):
            self._accuracies[index].update_state(hits[row])
        return self.get_metrics_result()

    def _chosen(self, logits: Tensor) -> tuple[int, ...]:
        """The branches that a stack of logits comes from."""
        everything = tuple(range(len(self._branches)))
        return everything if logits.shape[0] == len(everything) else self._active

    def _inputs(self, x: Tensor) -> Sequence[Tensor]:
        """What each branch reads of a batch of the data set."""
        return (x,) * len(self._branches) if self._prepare is None else self._prepare(x)

    def _active_logits(self, x: Tensor) -> Iterator[Tensor]:
        """Logits of the active branches on a batch, which moves the statistics."""
        first = self._branches[0].graph
        trunk = run_trunk(first, x, self._shared) if self._prepare is None else None
        inputs = self._inputs(x)
        batch_norm: dict[str, dict[str, Tensor]] = {}
        for index in self._active:
            branch = self._branches[index]
            logits, moments = forward_with_moments(
                branch.graph,
                inputs[index],
                self._shared,
                branch.widths,
                batch_norm,
                training=not batch_norm,
                stop_before_softmax=True,
                trunk=None if trunk is None else trunk_of(trunk, first, branch.graph),
            )
            yield ops.cast(logits, "float32")
            if not batch_norm:
                self._follow(index, moments)
            if self._shares_statistics:
                batch_norm = batch_norm or self._normalizing_as(moments)

    def _all_logits(self, x: Tensor) -> Iterator[Tensor]:
        """Logits of all branches, with moving statistics."""
        inputs = self._inputs(x)
        for index, branch in enumerate(self._branches):
            moving = self._statistics[0 if self._shares_statistics else index]
            batch_norm = {node: {**self._shared[node], **statistics} for node, statistics in moving.items()}
            logits = forward(
                branch.graph, inputs[index], self._shared, branch.widths, batch_norm, stop_before_softmax=True
            )
            yield ops.cast(logits, "float32")

    def _normalizing_as(self, moments: Mapping[str, Moments]) -> dict[str, dict[str, Tensor]]:
        """Batch normalisations with the statistics that another branch saw."""
        return {
            node: {**self._shared[node], **dict(zip(STATISTICS, _constant(seen), strict=True))}
            for node, seen in moments.items()
        }

    def _follow(self, index: int, moments: Mapping[str, Moments]) -> None:
        for node, seen in moments.items():
            for name, value in zip(STATISTICS, _constant(seen), strict=True):
                moving = self._statistics[index][node][name]
                moving.assign(MOMENTUM * moving + (1 - MOMENTUM) * value)

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
        variable = self.add_weight(
            shape=value.shape,
            initializer="zeros",
            name=name,
            trainable=trainable,
            aggregation=aggregation,
            autocast=False,
        )
        variable.assign(value)
        return variable


def _constant(moments: Moments) -> tuple[Tensor, Tensor]:
    """Mean and variance that no gradient passes."""
    return ops.stop_gradient(moments.mean), ops.stop_gradient(moments.variance)
