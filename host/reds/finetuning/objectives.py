"""What joint training minimises."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from keras import ops

from reds.forward import Tensor


class Objective(Protocol):
    """A loss of several subnetworks on the same batch."""

    def __call__(self, labels: Tensor, logits: Tensor, subnetworks: Sequence[int]) -> Tensor:
        """The loss.

        Args:
            labels: classes, shape (batch,).
            logits: of shape (subnetworks, batch, classes).
            subnetworks: which subnetwork each entry of `logits` belongs to.

        Returns:
            A scalar.
        """


@dataclass(frozen=True)
class InPlaceDistillation:
    """Cross-entropy of the full network; the others also follow its softened output (Hinton et al., 2015).

    The full network is the first entry of the logits and learns nothing from the others.
    """

    share: float
    """Weight of the distillation; the labels have the rest."""
    temperature: float

    def __call__(self, labels: Tensor, logits: Tensor, subnetworks: Sequence[int]) -> Tensor:
        hard = cross_entropies(labels, logits)
        teacher = ops.stop_gradient(ops.log_softmax(logits[:1] / self.temperature))
        student = ops.log_softmax(logits[1:] / self.temperature)
        divergences = ops.mean(ops.sum(ops.exp(teacher) * (teacher - student), axis=-1), axis=-1)
        soft = self.temperature**2 * divergences
        return hard[0] + ops.sum((1 - self.share) * hard[1:] + self.share * soft)


@dataclass(frozen=True)
class WeightedCrossEntropy:
    """Weighted mean of the subnetworks' cross-entropies."""

    weights: tuple[float, ...]
    """Of each subnetwork, not only of the active ones."""

    def __call__(self, labels: Tensor, logits: Tensor, subnetworks: Sequence[int]) -> Tensor:
        active = [self.weights[index] for index in subnetworks]
        return ops.sum(cross_entropies(labels, logits) * ops.array([weight / sum(active) for weight in active]))


def weighted_by_parameters(parameters: Sequence[int]) -> WeightedCrossEntropy:
    """The objective of REDS (arXiv 2311.13349): sum of pi_i * CE_i, pi_i = alpha_i / sum of alpha.

    Args:
        parameters: of each subnetwork, the full network first. alpha_i is the root of a subnetwork's share of them.
    """
    return WeightedCrossEntropy(tuple((count / parameters[0]) ** 0.5 for count in parameters))


def cross_entropies(labels: Tensor, logits: Tensor) -> Tensor:
    """Mean cross-entropy of each subnetwork, shape (subnetworks,)."""
    expected = ops.one_hot(labels, logits.shape[-1], dtype=logits.dtype)
    return -ops.mean(ops.sum(expected * ops.log_softmax(logits), axis=-1), axis=-1)
