"""Measures a file: accuracy by libreds on this machine, instructions on a board. Writes both into the file."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from reds.emitting import annotate
from reds.errors import UsageError
from reds.plan import TargetCosts
from reds.runtime import Runtime
from reds_bench.batch import run_batch
from reds_bench.client import Bench
from reds_bench.emulator import boot, counting_target


@dataclass(frozen=True)
class BoardMeasurement:
    """Instructions that a board counted, cycles in their place where it counts these."""

    board: str
    target: str
    """Name of its core."""
    instructions: tuple[int, ...]
    """Of one inference, per subnetwork."""
    select_instructions: int
    """Of selecting a subnetwork."""
    budget_instructions: int
    """Of a budget request whose limits only the smallest subnetwork keeps: the longest look-up."""
    open_instructions: int
    """Of verifying and opening the model."""


def measure_accuracy(path: Path | str, x: NDArray[np.float32], y: NDArray[np.integer]) -> tuple[float, ...]:
    """Measures every subnetwork with libreds and writes the result into the file.

    Args:
        path: a file that `emit` wrote.
        x: (samples, *input shape) real inputs of the test split.
        y: (samples,) labels.

    Returns:
        Per subnetwork the fraction answered right.

    Raises:
        UsageError: if the inputs do not fit the model, or there is not one label for each.
    """
    if len(x) == 0 or len(x) != len(y):
        raise UsageError(f"`x` and `y` must hold as many samples, at least one. Received: {len(x)} and {len(y)}")
    runtime = Runtime(path)
    inputs = runtime.quantize(x)
    accuracies = []
    for subnetwork in runtime.subnetworks:
        runtime.select(subnetwork.id)
        scores = runtime.invoke(inputs).reshape(len(inputs), -1)
        accuracies.append(float(np.mean(scores.argmax(axis=1) == y)))
    annotate(path, accuracy=tuple(accuracies))
    return tuple(accuracies)


def measure_instructions(
    path: Path | str, board: str, sample: NDArray, progress: Callable[[str], None] = lambda _: None
) -> BoardMeasurement:
    """Counts the instructions, or cycles, of every subnetwork on an emulated board and writes them into the file.

    Args:
        path: a file that `emit` wrote.
        board: an emulated board, such as "qemu:cortex-m4".
        sample: (*input shape) one input in the model's own type. The count hardly depends on it.
        progress: called with a line before each subnetwork.

    Returns:
        The counts.

    Raises:
        UsageError: if the board is unknown or does not count instructions.
        DeviceError: if the board fails.
    """
    target = counting_target(board)
    with boot(board, path) as url, Bench(url) as bench:
        counts = []
        for subnetwork in bench.subnetworks():
            progress(f"counting the instructions of {subnetwork.name} on {target}")
            counts.append(run_batch(bench, subnetwork.id, sample[np.newaxis]).instructions or 0)
        stats = bench.stats()
    annotate(path, targets=(TargetCosts(target, True, tuple(counts)),))
    return BoardMeasurement(
        board, target, tuple(counts), stats.select_instructions, stats.budget_instructions, stats.open_instructions
    )
