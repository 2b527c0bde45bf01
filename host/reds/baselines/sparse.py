"""Unstructured magnitude pruning: single weights become zero, and the network keeps its shape.

What De Leon and Atienza (arXiv 2204.10546) compare depth pruning with: of every layer the same share of the weights is
zero from the first step to the last, those smallest in magnitude, while the others are trained (Zhu and Gupta, "To
prune, or not to prune", 2017, at constant sparsity).
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from reds import cost
from reds.finetuning import EpochReport
from reds.finetuning.model import Branch, BranchesModel
from reds.finetuning.objectives import WeightedCrossEntropy
from reds.finetuning.session import FIRST_STATISTICS_BATCHES, Session, first_inputs
from reds.finetuning.statistics import estimate_batch_norms
from reds.finetuning.training import Dataset, Schedule
from reds.finetuning.weights import arrays_of, weights_of, with_weights
from reds.forward import Tensor
from reds.graph import Array, DepthwiseConv2D, Family, Graph, Node, Subnetwork, Supernet
from reds.grouping import MAKES_CHANNELS

LARGEST_SPARSITY = 0.95
"""The largest that the publication goes to."""

STATISTICS_BATCHES = 20


def sparsity_for(graph: Graph, parameters: int) -> float:
    """The share of zeros in each kernel with which a network has as many parameters that are not zero.

    Args:
        graph: the network.
        parameters: to be left, biases and folded batch normalisations among them, which stay as they are.

    Returns:
        In [0, 0.95]; 0.95 also where fewer parameters are wanted than that leaves.
    """
    zeros = int(cost.parameters(graph, cost.full_widths(graph))) - parameters
    return min(max(0.0, zeros / sum(_kernel(node).size for node in _sparse_nodes(graph))), LARGEST_SPARSITY)


def nonzero_parameters(graph: Graph) -> int:
    """Weights that are not zero, and all biases, with batch normalisation folded into them."""
    zeros = sum(int(np.count_nonzero(_kernel(node) == 0)) for node in _sparse_nodes(graph))
    return int(cost.parameters(graph, cost.full_widths(graph))) - zeros


def train_sparse(
    graph: Graph,
    name: str,
    sparsity: float,
    dataset: Dataset,
    schedule: Schedule,
    run_dir: Path,
    progress: Callable[[EpochReport], None],
) -> Supernet:
    """Trains a network of which a share of the weights is zero.

    Args:
        graph: the network with the weights to start from.
        name: what the result is called.
        sparsity: share of zeros in the kernel of every convolution and dense layer, in [0, 1). Which weights these are
            may change with every step.
        dataset: data in the network's input shape.
        schedule: how long and how fast, on the labels alone.
        run_dir: folder that keeps the state after each epoch.
        progress: called before training and after each epoch.

    Returns:
        A family of the network alone. Its kernels have that many zeros, rounded to whole weights.
    """
    widths = cost.full_widths(graph)
    inputs = first_inputs(dataset, schedule.batch_size, schedule.seed, STATISTICS_BATCHES)
    norms = estimate_batch_norms(graph, inputs[:FIRST_STATISTICS_BATCHES], weights_of(graph), widths)
    model = SparseModel(Branch(graph, name, widths, norms), sparsity)
    session = Session(dataset, inputs, run_dir, progress)
    session.train("sparse", model, schedule, lambda _: ((0,),), (sparsity, *arrays_of(graph)))
    graph = with_weights(graph, model.weights_by_node())
    norms = estimate_batch_norms(graph, inputs, weights_of(graph), widths)
    return Supernet(Family(with_weights(graph, norms), (), (), (Subnetwork(name, widths),)), (norms,))


class SparseModel(BranchesModel):
    """One network, of whose kernels all but the largest weights are zero after every step.

    Args:
        branch: the network.
        sparsity: share of zeros in each kernel.
    """

    def __init__(self, branch: Branch, sparsity: float) -> None:
        super().__init__([branch], WeightedCrossEntropy((1.0,)))
        for node in _sparse_nodes(branch.graph):
            kernel = self._shared[node.name]["kernel"]
            kernel.constraint = LargestWeights(max(1, round((1 - sparsity) * _kernel(node).size)))
            kernel.assign(kernel.constraint(kernel))


class LargestWeights(keras.constraints.Constraint):
    """Keeps so many weights of a kernel, the largest in magnitude, and makes the others zero."""

    def __init__(self, count: int) -> None:
        self._count = count

    def __call__(self, w: Tensor) -> Tensor:
        flat = ops.reshape(ops.convert_to_tensor(w), (-1,))
        _, places = ops.top_k(ops.abs(flat), self._count, sorted=False)
        kept = ops.scatter(places[:, None], ops.take(flat, places), flat.shape)
        return ops.reshape(kept, w.shape)

    def get_config(self) -> dict[str, Any]:
        return {"count": self._count}


def _sparse_nodes(graph: Graph) -> Sequence[Node]:
    """The nodes whose kernels are made sparse: all but factors of channels, which are depthwise kernels of 1 x 1."""
    return [
        node
        for node in graph.nodes
        if isinstance(node.operation, MAKES_CHANNELS)
        or (isinstance(node.operation, DepthwiseConv2D) and _kernel(node).shape[:2] != (1, 1))
    ]


def _kernel(node: Node) -> Array:
    return node.weights["kernel"]
