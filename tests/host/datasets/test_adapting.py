"""A user's own data: what is kept apart, what comes back, and what is refused."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from reds.datasets import Dataset, as_dataset, from_arrays, from_batches
from reds.errors import UsageError

SHAPE = (3, 2)
CLASSES = 3


def pair(count: int = 90, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    return generator.normal(size=(count, *SHAPE)).astype(np.float32), np.arange(count) % CLASSES


def py_dataset(x: np.ndarray, y: np.ndarray, size: int = 8) -> keras.utils.PyDataset:
    class Own(keras.utils.PyDataset):
        def __len__(self) -> int:
            return -(-len(x) // size)

        def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
            return x[index * size :][:size], y[index * size :][:size]

    return Own()


def tf_dataset(x: np.ndarray, y: np.ndarray) -> tf.data.Dataset:
    return tf.data.Dataset.from_tensor_slices((x, y)).shuffle(len(x)).batch(8)


def list_of_batches(x: np.ndarray, y: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    return [(x[:50], y[:50]), (x[50:], y[50:])]


def rows(dataset: Dataset, split: str) -> set[tuple[bytes, int]]:
    x, y = getattr(dataset, split).features()
    return {(sample.tobytes(), int(label)) for sample, label in zip(x, y, strict=True)}


def all_rows(x: np.ndarray, y: np.ndarray) -> set[tuple[bytes, int]]:
    return {(sample.tobytes(), int(label)) for sample, label in zip(x, y, strict=True)}


@pytest.mark.parametrize("form", [lambda x, y: (x, y), py_dataset, tf_dataset, list_of_batches])
def test_every_form_gives_the_same_splits(form: Callable[..., Any]) -> None:
    x, y = pair()
    expected = from_arrays((x, y))
    made = as_dataset(form(x, y), SHAPE, CLASSES)
    for split, size in (("train", 72), ("validation", 9), ("test", 9)):
        assert rows(made, split) == rows(expected, split)
        assert np.bincount(getattr(made, split).labels).tolist() == [size // CLASSES] * CLASSES
    assert rows(made, "train") | rows(made, "validation") | rows(made, "test") == all_rows(x, y)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000), st.floats(0.05, 0.4), st.floats(0.05, 0.4), st.integers(0, 5))
def test_splits_are_disjoint_and_depend_on_the_samples_alone(
    order: int, validation: float, test: float, seed: int
) -> None:
    x, y = pair()
    x[40:50], y[40:50] = x[:10], y[:10]
    shuffled = np.random.default_rng(order).permutation(len(x))
    first = from_arrays((x, y), validation, test, seed=seed)
    again = from_arrays((x[shuffled], y[shuffled]), validation, test, seed=seed)
    splits = [rows(first, split) for split in ("train", "validation", "test")]
    assert splits == [rows(again, split) for split in ("train", "validation", "test")]
    assert sum(map(len, splits)) == len(set.union(*splits))
    assert len(first.train) + len(first.validation) + len(first.test) == len(x)


def test_another_seed_keeps_other_samples_apart() -> None:
    assert rows(from_arrays(pair(), seed=1), "test") != rows(from_arrays(pair(), seed=2), "test")


@pytest.mark.parametrize("given_too", ["validation", "test", "both"])
def test_splits_that_are_given_stay_as_they_are(given_too: str) -> None:
    train, other = pair(), pair(12, seed=1)
    splits = ("validation", "test") if given_too == "both" else (given_too,)
    dataset = from_arrays(train, **dict.fromkeys(splits, other))
    for split in splits:
        assert rows(dataset, split) == all_rows(*other)
    if given_too == "both":
        np.testing.assert_array_equal(dataset.train.features()[0], train[0])
    batches = from_batches(py_dataset(*train), **{split: tf_dataset(*other) for split in splits})
    for split in ("train", "validation", "test"):
        assert rows(batches, split) == rows(dataset, split)


def test_labels_may_be_a_column_or_one_hot() -> None:
    x, y = pair()
    for form in (y[:, np.newaxis], np.eye(CLASSES)[y], y.astype(np.uint8)):
        assert rows(from_arrays((x, form)), "train") == rows(from_arrays((x, y)), "train")


def test_shape_and_classes_are_the_networks() -> None:
    made = as_dataset(pair(), (6,), 5)
    assert (made.input_shape, made.classes) == ((6,), ("0", "1", "2", "3", "4"))


def test_a_data_set_stays_itself() -> None:
    dataset = from_arrays(pair())
    assert as_dataset(dataset, (99,), 99) is dataset


def test_augmentation_is_drawn_anew_for_every_sample_and_epoch() -> None:
    def jitter(x: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        return x + generator.normal(size=x.shape)

    x, y = np.zeros((60, *SHAPE), np.float32), np.arange(60) % CLASSES
    x += np.arange(60, dtype=np.float32)[:, None, None] * 1000
    batches = from_arrays((x, y), augmentation=jitter).train.batches(batch_size=10)
    drawn = np.concatenate([batch for _ in range(3) for batch, _ in batches])
    assert len({sample.tobytes() for sample in drawn % 1000}) == len(drawn)


def endless() -> tf.data.Dataset:
    return tf_dataset(*pair()).repeat()


class Endless(keras.utils.PyDataset):
    """Does not know how many batches it has."""

    @property
    def num_batches(self) -> None:
        return None

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        return pair()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (3, "must be a data set"),
        ((np.zeros((0, 3, 2)), np.zeros(0, int)), "no samples"),
        ([], "no batches"),
        ((pair()[0], pair()[1][:-1]), "one label for each"),
        ((pair()[0], pair()[1] + 1), "Label 3 has no name"),
        ((pair()[0], pair()[1] - 1), "count from 0"),
        ((pair()[0], pair()[1] + 0.5), "integer label"),
        ((pair()[0], np.full((90, CLASSES), 0.3)), "one-hot"),
        ((pair()[0][:, :2], pair()[1]), "fit each other"),
        (pair(3), "too few"),
        ([(np.zeros((5, 3, 2)), np.zeros(5, int)), (np.zeros((5, 3, 3)), np.zeros(5, int))], "one shape"),
        ([(np.zeros((5, 3, 2)), np.zeros(5, int), np.ones(5))], "3 values"),
        ([np.zeros((5, 3, 2))], "ndarray"),
        (tf_dataset(*pair()).unbatch(), "use `batch`"),
        (endless(), "infinite"),
        (Endless(), "an end"),
    ],
)
def test_what_does_not_fit_is_refused(data: Any, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        as_dataset(data, SHAPE, CLASSES)


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, 2])
def test_a_share_is_a_part_of_the_whole(share: float) -> None:
    for split in ("validation", "test"):
        with pytest.raises(UsageError, match=f"`{split}` must be a share"):
            from_arrays(pair(), **{split: share})


def test_shares_that_leave_nothing_to_train_with() -> None:
    with pytest.raises(UsageError, match="too few"):
        from_arrays(pair(), validation=0.6, test=0.6)
