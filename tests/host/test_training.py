from pathlib import Path

import keras
import numpy as np
import pytest

from reds.datasets import Dataset
from reds.errors import UsageError
from reds.run_folder import BASELINE_CHECKPOINT_FILE, BASELINE_FILE
from reds.training import Epoch, accuracy, train


def blobs(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    labels = generator.integers(3, size=count)
    return np.eye(3)[labels] * 2 + generator.normal(size=(count, 3)) * 0.5, labels


def jitter(x: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    return x + 0.1 * generator.normal(size=x.shape)


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return Dataset.from_arrays(blobs(130, 0), blobs(60, 1), blobs(60, 2), augmentation=jitter)


def network(activation: str | None = "softmax") -> keras.Model:
    """A little network with all kinds of state: weights, batch norm statistics, dropout's seed."""
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.Input((3,)),
            keras.layers.Dense(8, use_bias=False),
            keras.layers.BatchNormalization(),
            keras.layers.ReLU(),
            keras.layers.Dropout(0.2),
            keras.layers.Dense(3, activation=activation),
        ]
    )


def same_weights(first: keras.Model, second: keras.Model) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(first.get_weights(), second.get_weights(), strict=True))


class InterruptedTrainingError(Exception):
    pass


def interrupt(epoch: Epoch) -> None:
    if epoch.number == 2:
        raise InterruptedTrainingError


@pytest.mark.parametrize("activation", ["softmax", None])
def test_learns_from_probabilities_and_from_logits(dataset: Dataset, activation: str | None) -> None:
    model = network(activation)
    seen: list[Epoch] = []
    history = train(model, dataset, epochs=6, learning_rate=3e-2, batch_size=20, on_epoch=seen.append)
    assert history.epochs == tuple(seen)
    assert [epoch.number for epoch in seen] == list(range(1, 7))
    assert seen[-1].loss < seen[0].loss
    assert seen[-1].validation_accuracy > 0.9
    assert accuracy(model, dataset.test) > 0.9


def test_an_interrupted_training_ends_as_an_unbroken_one(dataset: Dataset, tmp_path: Path) -> None:
    unbroken, broken, resumed = network(), network(), network()
    history = train(unbroken, dataset, epochs=4, seed=3, batch_size=50)
    with pytest.raises(InterruptedTrainingError):
        train(broken, dataset, epochs=4, seed=3, batch_size=50, run_dir=tmp_path, on_epoch=interrupt)
    assert not (tmp_path / BASELINE_FILE).exists()
    seen: list[Epoch] = []
    again = train(resumed, dataset, epochs=4, seed=3, batch_size=50, run_dir=tmp_path, on_epoch=seen.append)
    assert [epoch.number for epoch in seen] == [3, 4]
    assert again == history
    assert same_weights(resumed, unbroken)
    saved = keras.saving.load_model(tmp_path / BASELINE_FILE)
    assert same_weights(saved, unbroken)
    assert saved.layers[1].momentum == unbroken.layers[1].momentum == 0.99
    assert sorted(path.name for path in tmp_path.iterdir()) == [BASELINE_FILE, BASELINE_CHECKPOINT_FILE]


def test_the_seed_decides(dataset: Dataset) -> None:
    models = [network() for _ in range(2)]
    for model, seed in zip(models, (3, 4), strict=True):
        train(model, dataset, epochs=1, seed=seed, batch_size=50)
    assert not same_weights(*models)


def test_a_folder_of_another_training_is_refused(dataset: Dataset, tmp_path: Path) -> None:
    train(network(), dataset, epochs=1, batch_size=50, run_dir=tmp_path)
    with pytest.raises(UsageError, match="other data, settings or first weights"):
        train(network(), dataset, epochs=2, batch_size=50, run_dir=tmp_path)
    (tmp_path / BASELINE_CHECKPOINT_FILE).write_bytes(b"PK damaged")
    with pytest.raises(UsageError, match="damaged"):
        train(network(), dataset, epochs=1, batch_size=50, run_dir=tmp_path)


def test_data_that_do_not_fit_are_refused(dataset: Dataset) -> None:
    wide = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    with pytest.raises(UsageError, match=r"\(4,\)"):
        train(wide, dataset, epochs=1)
    many = keras.Sequential([keras.Input((3,)), keras.layers.Dense(5)])
    with pytest.raises(UsageError, match="3 classes"):
        train(many, dataset, epochs=1)
    with pytest.raises(UsageError, match="epochs"):
        train(network(), dataset, epochs=0)
