"""Labelled samples and the way from a stored sample to what the network reads."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from reds.errors import UsageError

if TYPE_CHECKING:
    from reds.datasets.batches import Batches

Features = NDArray[np.float32]
Labels = NDArray[np.int64]
Samples = NDArray[Any]
Shape = tuple[int, ...]
Augmentation = Callable[[Samples, np.random.Generator], Samples]

SAMPLES_AT_ONCE = 256
"""Bounds the memory that preprocessing a whole split takes."""


class Preprocessing(Protocol):
    """The way from stored samples to features; the same for training, calibration and evaluation."""

    @property
    def output_shape(self) -> Shape:
        """Shape of one sample's features."""

    @property
    def is_slow(self) -> bool:
        """Whether features are better kept than computed again for every batch."""

    def with_output_shape(self, shape: Shape) -> "Preprocessing":
        """The same preprocessing with features of another shape, or UsageError if it has no such form."""

    def augment(self, samples: Samples, generator: np.random.Generator) -> Samples:
        """A random variation of each sample, for training."""

    def features(self, samples: Samples) -> Features:
        """Features of shape (samples, *output_shape)."""


@dataclass(frozen=True)
class Plain:
    """Samples that are features already, with an optional augmentation."""

    output_shape: Shape
    augmentation: Augmentation | None = None

    is_slow = False

    def with_output_shape(self, shape: Shape) -> "Plain":
        require_same_size(shape, self.output_shape)
        return replace(self, output_shape=shape)

    def augment(self, samples: Samples, generator: np.random.Generator) -> Samples:
        return samples if self.augmentation is None else self.augmentation(samples, generator)

    def features(self, samples: Samples) -> Features:
        return samples.astype(np.float32).reshape(-1, *self.output_shape)


@dataclass(frozen=True, eq=False)
class Split:
    """Labelled samples of one purpose: training, validation or test.

    Args:
        samples: Stored samples, shape (samples, ...); audio as int16, images as uint8.
        labels: Class of each sample, shape (samples,).
        preprocessing: The way from a stored sample to features.
    """

    samples: Samples
    labels: Labels
    preprocessing: Preprocessing

    def __len__(self) -> int:
        return len(self.labels)

    def features(self, augment_seed: int | None = None) -> tuple[Features, Labels]:
        """All features and labels of the split.

        Args:
            augment_seed: Seed of one augmented draw; None gives the samples as they are, computed once and kept.

        Returns:
            x of shape (samples, *input_shape) and y of shape (samples,).
        """
        if augment_seed is None:
            return self._features, self.labels
        generator = np.random.default_rng(augment_seed)
        return self._in_chunks(lambda samples: self.preprocessing.augment(samples, generator)), self.labels

    def batches(
        self, batch_size: int = 100, seed: int = 0, augment: bool = True, epoch: int | None = None
    ) -> "Batches":
        """Shuffled batches for `keras.Model.fit`, with any Keras backend.

        Order and augmentation are drawn anew for every epoch and depend on nothing but the seed and the epoch. Pass
        `shuffle=False` to `fit`: its own shuffling changes the order of the batches once more, by another seed.

        Args:
            batch_size: Samples in a batch; the last one may be smaller.
            seed: Seed of order and augmentation.
            augment: Whether every sample is varied.
            epoch: Draw this epoch in every pass; by default each complete pass draws the next one, from 0.

        Returns:
            A `keras.utils.PyDataset` of (x, y).
        """
        from reds.datasets.batches import Batches

        return Batches(self, batch_size, seed, augment, epoch)

    def take(self, indices: NDArray[np.integer]) -> "Split":
        """The chosen samples as a split of their own.

        Args:
            indices: Their indices, shape (chosen,).
        """
        return replace(self, samples=self.samples[indices], labels=self.labels[indices])

    def with_input_shape(self, shape: Shape) -> "Split":
        """The same samples, with features of another shape (see `Dataset.with_input_shape`)."""
        return replace(self, preprocessing=self.preprocessing.with_output_shape(shape))

    @cached_property
    def _features(self) -> Features:
        return self._in_chunks(lambda samples: samples)

    def _in_chunks(self, vary: Callable[[Samples], Samples]) -> Features:
        features = np.empty((len(self), *self.preprocessing.output_shape), np.float32)
        for start in range(0, len(self), SAMPLES_AT_ONCE):
            chunk = slice(start, start + SAMPLES_AT_ONCE)
            features[chunk] = self.preprocessing.features(vary(self.samples[chunk]))
        return features


@dataclass(frozen=True, eq=False)
class Dataset:
    """A classification data set.

    Args:
        name: What the data are called in reports.
        classes: Name of each class; a label is an index into it.
        train: Samples to train, rank and calibrate with.
        validation: Samples to choose with.
        test: Samples to report with, and for nothing else.
    """

    name: str
    classes: tuple[str, ...]
    train: Split = field(repr=False)
    validation: Split = field(repr=False)
    test: Split = field(repr=False)

    @property
    def input_shape(self) -> Shape:
        """Shape of one sample as the network reads it."""
        return self.train.preprocessing.output_shape

    def with_input_shape(self, shape: Shape) -> "Dataset":
        """The same data for a network of another input shape.

        Args:
            shape: Any shape of as many values. Speech also has a form with half of the frames, 25 x 10 values, and as a
                vector of 490 values it comes in log mel energies; colour images also have a grey form of one channel.

        Returns:
            This data set if it has that shape already, else one that shares its samples.

        Raises:
            UsageError: The data have no such form.
        """
        if shape == self.input_shape:
            return self
        return replace(
            self,
            train=self.train.with_input_shape(shape),
            validation=self.validation.with_input_shape(shape),
            test=self.test.with_input_shape(shape),
        )

    @classmethod
    def from_arrays(
        cls,
        train: tuple[ArrayLike, ArrayLike],
        validation: tuple[ArrayLike, ArrayLike],
        test: tuple[ArrayLike, ArrayLike],
        classes: tuple[str, ...] | None = None,
        name: str = "arrays",
        augmentation: Augmentation | None = None,
    ) -> "Dataset":
        """A data set of your own.

        Args:
            train: x of shape (samples, ...), already scaled as the network wants it, and y, integer labels from 0.
            validation: As `train`.
            test: As `train`.
            classes: Name of each class; numbers by default.
            name: What the data are called in reports.
            augmentation: Function of (x, numpy random generator) that returns varied samples of the same shape.

        Raises:
            UsageError: Samples and labels do not fit together.
        """
        pairs = {"train": train, "validation": validation, "test": test}
        checked = {split: _checked_pair(split, *pair) for split, pair in pairs.items()}
        shapes = {split: x.shape[1:] for split, (x, _) in checked.items()}
        if len(set(shapes.values())) != 1:
            raise UsageError(f"All splits need samples of one shape, but their shapes are {shapes}.")
        largest = max(int(y.max()) for _, y in checked.values())
        if classes is None:
            classes = tuple(str(label) for label in range(largest + 1))
        if largest >= len(classes):
            raise UsageError(f"Label {largest} has no name: classes has {len(classes)} entries, counted from 0.")
        preprocessing = Plain(shapes["train"], augmentation)
        return cls(name, classes, **{split: Split(x, y, preprocessing) for split, (x, y) in checked.items()})


def require_same_size(wanted: Shape, available: Shape) -> None:
    """Raises UsageError unless both shapes hold as many values."""
    if math.prod(wanted) != math.prod(available):
        raise UsageError(
            f"The network reads inputs of shape {wanted}, but the data set gives {available}: choose a network or a "
            "data set that fit each other."
        )


def _checked_pair(split: str, x: ArrayLike, y: ArrayLike) -> tuple[Features, Labels]:
    samples, labels = np.asarray(x), np.asarray(y)
    if samples.ndim < 2 or not np.issubdtype(samples.dtype, np.number):
        raise UsageError(
            f"{split}: x must hold numbers in the shape (samples, ...), but it is {samples.dtype} {samples.shape}."
        )
    if not len(samples):
        raise UsageError(f"{split}: x is empty; give it at least one sample.")
    if labels.shape != samples.shape[:1] or not np.issubdtype(labels.dtype, np.integer):
        raise UsageError(
            f"{split}: y must hold one integer label for each of the {len(samples)} samples, "
            f"but it is {labels.dtype} {labels.shape}."
        )
    if labels.min() < 0:
        raise UsageError(f"{split}: labels count from 0, but y holds {labels.min()}.")
    return samples.astype(np.float32), labels.astype(np.int64)
