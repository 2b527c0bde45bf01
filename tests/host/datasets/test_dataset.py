import keras
import numpy as np
import pytest

from reds.datasets import Dataset
from reds.datasets.dataset import Augmentation
from reds.errors import UsageError


def pair(count: int) -> tuple[np.ndarray, np.ndarray]:
    return np.arange(count * 6, dtype=np.float32).reshape(count, 3, 2), np.arange(count) % 4


def dataset(augmentation: Augmentation | None = None) -> Dataset:
    return Dataset.from_arrays(pair(10), pair(4), pair(5), augmentation=augmentation)


def jitter(x: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    return x + generator.normal(size=x.shape)


def drawn(batches: keras.utils.PyDataset) -> list[np.ndarray]:
    return [x for x, _ in batches]


def test_own_arrays_come_back() -> None:
    data = dataset()
    x, y = data.train.features()
    np.testing.assert_array_equal(x, pair(10)[0])
    np.testing.assert_array_equal(y, pair(10)[1])
    assert (data.input_shape, data.classes, len(data.test)) == ((3, 2), ("0", "1", "2", "3"), 5)
    assert data.train.features()[0] is x


def test_batches_hold_every_sample_once_with_its_label() -> None:
    batches = dataset().train.batches(batch_size=4, seed=1)
    pairs = [batches[index] for index in range(len(batches))]
    assert [len(y) for _, y in pairs] == [4, 4, 2]
    x, y = (np.concatenate(parts) for parts in zip(*pairs, strict=True))
    order = np.argsort(x[:, 0, 0])
    np.testing.assert_array_equal(x[order], pair(10)[0])
    np.testing.assert_array_equal(y[order], pair(10)[1])


def test_epochs_differ_and_repeat_by_seed() -> None:
    data = dataset(jitter)
    batches = data.train.batches(4, seed=1)
    first, second = drawn(batches), drawn(batches)
    assert not np.array_equal(np.sort(first[0], axis=0), np.sort(second[0], axis=0))
    fixed = data.train.batches(4, seed=1, epoch=1)
    for again in (drawn(fixed), drawn(fixed)):
        assert all(np.array_equal(a, b) for a, b in zip(second, again, strict=True))
    assert not np.array_equal(drawn(data.train.batches(4, seed=2))[0], first[0])


def test_without_augmentation_only_the_order_changes() -> None:
    values = np.sort(np.concatenate(drawn(dataset(jitter).train.batches(4, augment=False))), axis=0)
    np.testing.assert_array_equal(values, pair(10)[0])


def test_augmented_features_depend_on_the_seed_alone() -> None:
    train = dataset(jitter).train
    np.testing.assert_array_equal(train.features(augment_seed=3)[0], train.features(augment_seed=3)[0])
    assert not np.array_equal(train.features(augment_seed=3)[0], train.features(augment_seed=4)[0])
    np.testing.assert_array_equal(train.features()[0], pair(10)[0])


def test_fit_draws_a_new_epoch_in_every_pass() -> None:
    model = keras.Sequential([keras.Input((3, 2)), keras.layers.Flatten(), keras.layers.Dense(4)])
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True), jit_compile=False)
    train = Dataset.from_arrays(pair(200), pair(4), pair(4), augmentation=jitter).train
    batches = train.batches(4, seed=0)
    model.fit(batches, epochs=3, shuffle=False, verbose=0)
    expected = drawn(train.batches(4, seed=0, epoch=3))
    assert all(np.array_equal(a, b) for a, b in zip(drawn(batches), expected, strict=True))


def test_features_take_the_shape_of_the_network() -> None:
    data = dataset().with_input_shape((6,))
    assert data.input_shape == (6,)
    np.testing.assert_array_equal(data.test.features()[0], pair(5)[0].reshape(5, 6))
    with pytest.raises(UsageError, match=r"\(7,\).*\(3, 2\)"):
        dataset().with_input_shape((7,))


@pytest.mark.parametrize(
    ("train", "classes", "message"),
    [
        ((np.zeros((3, 2)), np.zeros(2, int)), None, "one integer label for each of the 3 samples"),
        ((np.zeros((3, 2)), np.zeros(3)), None, "float64"),
        ((np.zeros((0, 2)), np.zeros(0, int)), None, "empty"),
        ((np.array(["a", "b"]), np.zeros(2, int)), None, "must hold numbers"),
        ((np.zeros((3, 2)), np.array([0, -1, 0])), None, "count from 0"),
        ((np.zeros((3, 2)), np.array([0, 5, 0])), ("a", "b"), "Label 5 has no name"),
        ((np.zeros((3, 9)), np.zeros(3, int)), None, "samples of one shape"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(train: tuple, classes: tuple | None, message: str) -> None:
    good = (np.zeros((3, 2)), np.zeros(3, int))
    with pytest.raises(UsageError, match=message):
        Dataset.from_arrays(train, good, good, classes=classes)
