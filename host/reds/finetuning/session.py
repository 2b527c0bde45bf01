"""What all trainings of one call of `finetune` share."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from reds.finetuning.model import BranchesModel
from reds.finetuning.training import Checkpoint, Dataset, Progress, Schedule, fingerprint, train

FIRST_STATISTICS_BATCHES = 4
"""So many batches give the moving statistics that training starts from."""


@dataclass(frozen=True)
class Session:
    """Data, folder and listener of the trainings."""

    dataset: Dataset
    calibration: tuple[NDArray[np.float32], ...]
    """Batches of unvaried inputs to measure statistics on."""
    run_dir: Path | None
    progress: Progress | None

    def train(
        self,
        phase: str,
        model: BranchesModel,
        schedule: Schedule,
        begin: Callable[[int], Sequence[Sequence[int]]],
        inputs: tuple[object, ...],
        settle: Callable[[], None] = lambda: None,
    ) -> None:
        """Trains a model.

        Args:
            phase: name of the training.
            model: the branches to train.
            schedule: how long and how fast.
            begin: called before each epoch; gives the branches that train in each part of it.
            inputs: what else the result depends on.
            settle: called after the steps of each epoch, before its accuracies are measured.
        """
        checkpoint = None
        if self.run_dir is not None:
            identity = fingerprint(phase, schedule, self.dataset.name, len(self.dataset.train.labels), *inputs)
            checkpoint = Checkpoint(self.run_dir / f"{phase}.npz", identity)
        train(model, self.dataset, schedule, phase, begin, checkpoint, self.progress, settle)


def first_inputs(dataset: Dataset, batch_size: int, seed: int, count: int) -> tuple[NDArray[np.float32], ...]:
    """The first `count` batches of unvaried inputs of the train split."""
    batches = dataset.train.batches(batch_size, seed=seed, augment=False, epoch=0)
    return tuple(batches[index][0] for index in range(min(count, len(batches))))
