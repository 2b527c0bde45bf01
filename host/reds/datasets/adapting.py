"""Makes a data set of what people have: a pair of arrays, a `keras.utils.PyDataset`, a `tf.data.Dataset`."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reds.datasets.dataset import Augmentation, Dataset, Shape
from reds.errors import UsageError

Pair = tuple[Any, Any]
"""x of shape (samples, ...) and y: integer labels (samples,) or (samples, 1), or one-hot rows (samples, classes)."""
Batches = Iterable[tuple[Any, Any]]
"""Batches of the same, such as a `keras.utils.PyDataset` or a batched `tf.data.Dataset`; as long as they end."""
Data = Dataset | Pair | Batches
"""What every stage that takes a data set takes."""

TENSORFLOW_INFINITE = -1
"""What `tf.data.Dataset.cardinality` says of a data set without an end."""

HELD_OUT = 0.1
"""Share of each class that is kept apart for validation, and as much again for the test."""


def from_arrays(
    train: Pair,
    validation: float | Pair = HELD_OUT,
    test: float | Pair = HELD_OUT,
    classes: tuple[str, ...] | None = None,
    name: str = "arrays",
    augmentation: Augmentation | None = None,
    seed: int = 0,
) -> Dataset:
    """A data set from arrays; what is not given for validation and test is kept apart from the training samples.

    The choice depends on the samples and the seed alone, not on their order, and equal samples stay together. So every
    stage that is given the same samples keeps the same ones apart, and a test sample is never trained with.

    Args:
        train: x of shape (samples, ...), already scaled as the network wants it, and y: integer labels from 0 of shape
            (samples,) or (samples, 1), or one-hot rows (samples, classes).
        validation: As `train`, or the share of each class, between 0 and 1, to take from `train`.
        test: As `validation`.
        classes: Name of each class; numbers by default.
        name: What the data are called in reports.
        augmentation: Function of (x, numpy random generator) that returns varied samples of the same shape. It is
            called for every training batch, so that every sample is drawn anew in every epoch.
        seed: Seed of the choice.

    Returns:
        The data set, for every stage.

    Raises:
        UsageError: Samples and labels do not fit together, a label has no class, or a split is empty.
    """
    x, y = _checked("train", train)
    others = {"validation": validation, "test": test}
    shares = {split: _share(split, given) for split, given in others.items() if isinstance(given, int | float)}
    kept_apart = _kept_apart(x, y, tuple(shares.values()), seed)
    pairs = {split: (x[chosen], y[chosen]) for split, chosen in zip(shares, kept_apart, strict=True)}
    pairs |= {split: _checked(split, given) for split, given in others.items() if not isinstance(given, int | float)}
    rest = np.setdiff1d(np.arange(len(x)), np.concatenate([np.empty(0, np.intp), *kept_apart]))
    for split, chosen in zip(shares, kept_apart, strict=True):
        if not len(chosen) or not len(rest):
            raise UsageError(
                f"{len(x)} samples are too few to keep {shares[split]:g} of each class apart for `{split}`: give "
                f"more samples, or `{split}` as arrays of their own."
            )
    return Dataset.from_arrays((x[rest], y[rest]), **pairs, classes=classes, name=name, augmentation=augmentation)


def from_batches(
    train: Batches,
    validation: float | Batches = HELD_OUT,
    test: float | Batches = HELD_OUT,
    classes: tuple[str, ...] | None = None,
    name: str = "batches",
    augmentation: Augmentation | None = None,
    seed: int = 0,
) -> Dataset:
    """A data set from batches (x, y), which are read once, into memory.

    Samples that the batches vary by themselves would be frozen as they are read: leave that to `augmentation`.

    Args:
        train: A `keras.utils.PyDataset`, a batched `tf.data.Dataset` or any finite iterable of pairs (x, y), each as
            in `from_arrays`.
        validation: As `train`, or the share of each class, between 0 and 1, to take from `train`.
        test: As `validation`.
        classes: See `from_arrays`.
        name: See `from_arrays`.
        augmentation: See `from_arrays`.
        seed: See `from_arrays`.

    Returns:
        The data set, for every stage.

    Raises:
        UsageError: As `from_arrays`, or the batches have no end or are no pairs.
    """
    return from_arrays(
        _read("train", train),
        validation if isinstance(validation, int | float) else _read("validation", validation),
        test if isinstance(test, int | float) else _read("test", test),
        classes,
        name,
        augmentation,
        seed,
    )


def as_dataset(data: Any, input_shape: Shape, class_count: int) -> Dataset:
    """The data set itself, or what `from_arrays` or `from_batches` makes of it with their defaults.

    Args:
        data: A data set (anything with `train` and `validation`), a pair of arrays, or batches.
        input_shape: Shape of one sample that arrays and batches are brought to.
        class_count: Number of their classes.

    Raises:
        UsageError: The data are none of these, or do not fit the shape or the classes.
    """
    if hasattr(data, "train") and hasattr(data, "validation"):
        return data
    classes = tuple(str(label) for label in range(class_count))
    if is_pair_of_arrays(data):
        return from_arrays(data, classes=classes).with_input_shape(input_shape)
    if not isinstance(data, Iterable) and not hasattr(data, "__getitem__"):
        raise UsageError(
            "`dataset` must be a data set, a pair of arrays (x, y), a `keras.utils.PyDataset` or a `tf.data.Dataset`. "
            f"Received: {type(data).__name__}"
        )
    return from_batches(data, classes=classes).with_input_shape(input_shape)


def is_pair_of_arrays(data: object) -> bool:
    """Whether data are (x, y), and not batches of which each is such a pair."""
    return isinstance(data, tuple) and len(data) == 2 and not any(isinstance(one, tuple) for one in data)


def _share(split: str, share: float) -> float:
    if not 0 < share < 1:
        raise UsageError(f"`{split}` must be a share between 0 and 1, or samples of its own. Received: {share}")
    return float(share)


def _checked(split: str, pair: Any) -> tuple[NDArray[Any], NDArray[Any]]:
    """Samples, and the index of each one's class."""
    if not isinstance(pair, tuple | list) or len(pair) != 2:
        raise UsageError(f"`{split}` must be a pair (x, y). Received: {type(pair).__name__}")
    x, y = np.asarray(pair[0]), np.asarray(pair[1])
    if not x.ndim or len(x) == 0:
        raise UsageError(f"`{split}` holds no samples; give it at least one.")
    if len(y.shape) == 2 and y.shape[1] > 1:
        if not np.all((y == 0) | (y == 1)) or not np.all(y.sum(axis=1) == 1):
            raise UsageError(f"`{split}`: rows of y must be one-hot, a single 1 among zeros. Received: other values.")
        y = y.argmax(axis=1)
    y = y.reshape(len(y)) if y.shape == (len(y), 1) else y
    if y.shape != x.shape[:1]:
        raise UsageError(f"`{split}` must hold one label for each of the {len(x)} samples. Received: y of {y.shape}")
    return x, y


def _kept_apart(x: NDArray[Any], y: NDArray[Any], shares: Sequence[float], seed: int) -> tuple[NDArray[np.intp], ...]:
    """For each share the indices of the samples to take, that share of each class."""
    digests = _digests(x, seed)
    taken: list[list[NDArray[np.intp]]] = [[np.empty(0, np.intp)] for _ in shares]
    for label in np.unique(y):
        members = np.flatnonzero(y == label)
        different = np.unique(digests[members])
        begin = 0
        for chosen, share in zip(taken, shares, strict=True):
            end = begin + max(1, round(share * len(different)))
            chosen.append(members[np.isin(digests[members], different[begin:end])])
            begin = end
    return tuple(np.sort(np.concatenate(chosen)) for chosen in taken)


def _digests(x: NDArray[Any], seed: int) -> NDArray[np.uint64]:
    """A number for each sample that depends on nothing but its values and the seed."""
    salt = seed.to_bytes(8, "little")
    rows = (hashlib.blake2b(np.ascontiguousarray(row).tobytes(), digest_size=8, salt=salt).digest() for row in x)
    return np.frombuffer(b"".join(rows), np.uint64)


def _read(split: str, batches: Any) -> Pair:
    """All samples and labels, in an order that does not depend on that of the batches."""
    pairs = [_checked_batch(split, batch) for batch in _batches(split, batches)]
    if not pairs:
        raise UsageError(f"`{split}` holds no batches; give it at least one.")
    shapes = {x.shape[1:] for x, _ in pairs}
    if len(shapes) > 1:
        raise UsageError(f"`{split}` must hold samples of one shape. Received: {', '.join(map(str, sorted(shapes)))}")
    x, y = (np.concatenate(parts) for parts in zip(*pairs, strict=True))
    order = np.lexsort((y, _digests(x, seed=0)))
    return x[order], y[order]


def _batches(split: str, batches: Any) -> Iterator[Any]:
    import keras

    if isinstance(batches, keras.utils.PyDataset):
        count = batches.num_batches
        if count is None:
            raise UsageError(f"`{split}` must have an end. Received: a PyDataset without a number of batches")
        return map(batches.__getitem__, range(count))
    if getattr(batches, "cardinality", lambda: 0)() == TENSORFLOW_INFINITE:
        raise UsageError(f"`{split}` must have an end. Received: an infinite tf.data.Dataset; use `take`.")
    return iter(batches)


def _checked_batch(split: str, batch: Any) -> tuple[NDArray[Any], NDArray[Any]]:
    if not isinstance(batch, tuple | list) or len(batch) != 2:
        received = f"{len(batch)} values" if isinstance(batch, tuple | list) else type(batch).__name__
        raise UsageError(f"`{split}`: every batch must be a pair (x, y). Received: {received}")
    if np.ndim(batch[1]) == 0:
        raise UsageError(f"`{split}` must hold batches. Received: single samples; use `batch`.")
    return _checked(split, batch)
