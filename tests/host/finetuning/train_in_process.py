"""Fine-tunes a saved family in a process of its own, which may kill itself in the middle of an epoch.

python train_in_process.py FAMILY.npz DATA.npz RUN_FOLDER RESULT.npz [PHASE EPOCH], where the process kills itself
after an epoch of a phase was reported and a few more batches were drawn.
"""

import os
import signal
import sys
from pathlib import Path

import numpy as np

from reds.datasets import Dataset
from reds.finetuning import EpochReport, finetune, quantize_aware
from reds.graph import Family
from reds.store import load, save

BATCH_SIZE = 50
EPOCHS = 3
BATCHES_LEFT = 6
"""Of eight in an epoch, when the process kills itself; Keras looks at two of them first."""


class Killer:
    """An augmentation that changes nothing, and kills the process some batches after it was armed."""

    def __init__(self, phase: str, epoch: int) -> None:
        self._at = (phase, epoch)
        self._left = -1

    def watch(self, report: EpochReport) -> None:
        """Arms it after the epoch."""
        if (report.phase, report.epoch) == self._at:
            self._left = BATCHES_LEFT

    def __call__(self, samples: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return samples


def main(family_file: str, data_file: str, run_folder: str, result: str, phase: str = "", epoch: str = "0") -> None:
    """Trains and saves the result."""
    with np.load(data_file) as arrays:
        pairs = [(arrays[f"{split}_x"], arrays[f"{split}_y"]) for split in ("train", "validation", "test")]
    killer = Killer(phase, int(epoch))
    dataset = Dataset.from_arrays(*pairs, augmentation=killer)
    family, folder = load(family_file, Family), Path(run_folder)
    arguments = {"epochs": EPOCHS, "batch_size": BATCH_SIZE, "run_dir": folder, "progress": killer.watch}
    supernet = finetune(family, dataset, **arguments)
    save(result, quantize_aware(supernet, dataset, dataset.train.features()[0][:60], **arguments))


if __name__ == "__main__":
    main(*sys.argv[1:])
