"""Shuffled, augmented batches for Keras. A module of its own, since importing Keras takes seconds."""

import math
from collections.abc import Iterator

import keras
import numpy as np

from reds.datasets.dataset import Features, Labels, Split

_ORDER, _AUGMENTATION = 0, 1


class Batches(keras.utils.PyDataset):
    """Batches of a split; see `Split.batches`."""

    def __init__(self, split: Split, batch_size: int, seed: int, augment: bool, epoch: int | None) -> None:
        super().__init__()
        self._split = split
        self._batch_size = batch_size
        self._seed = seed
        self._augment = augment
        self._epoch_is_fixed = epoch is not None
        self._drawn: set[int] = set()
        self._begin(epoch or 0)

    def __len__(self) -> int:
        return math.ceil(len(self._split) / self._batch_size)

    def __iter__(self) -> Iterator[tuple[Features, Labels]]:
        self.on_epoch_begin()
        yield from (self[index] for index in range(len(self)))
        self.on_epoch_end()

    def on_epoch_begin(self) -> None:
        self._drawn.clear()

    def on_epoch_end(self) -> None:
        # Keras also calls this after it has drawn a few batches to build a model; only a complete pass is an epoch.
        if len(self._drawn) == len(self) and not self._epoch_is_fixed:
            self._begin(self._epoch + 1)

    def __getitem__(self, index: int) -> tuple[Features, Labels]:
        self._drawn.add(index)
        chosen = self._order[index * self._batch_size : (index + 1) * self._batch_size]
        labels = self._split.labels[chosen]
        preprocessing = self._split.preprocessing
        if not self._augment and preprocessing.is_slow:
            features, _ = self._split.features()
            return features[chosen], labels
        samples = self._split.samples[chosen]
        if self._augment:
            generator = np.random.default_rng([self._seed, self._epoch, _AUGMENTATION, index])
            samples = preprocessing.augment(samples, generator)
        return preprocessing.features(samples), labels

    def _begin(self, epoch: int) -> None:
        self._epoch = epoch
        generator = np.random.default_rng([self._seed, epoch, _ORDER])
        self._order = generator.permutation(len(self._split))
