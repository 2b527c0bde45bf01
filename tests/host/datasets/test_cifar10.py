from pathlib import Path

import numpy as np
import pytest

from reds.datasets import load
from reds.datasets.cifar10 import CLASSES_FILE, DEVIATION, MEAN, TEST_FILE, TRAIN_FILES
from reds.errors import UsageError

NAMES = tuple(f"class{label}" for label in range(10))
TRAIN_IMAGES = 1002
"""Per file; five of them are ten more than the validation takes."""


def write_batch(path: Path, count: int, seed: int) -> None:
    """Images whose planes are constant: red is the label, green 10 more, blue 20 more, but for one pixel."""
    labels = np.random.default_rng(seed).integers(10, size=count, dtype=np.uint8)
    planes = labels[:, None, None, None] + np.array([0, 10, 20], np.uint8)[:, None, None]
    planes = np.broadcast_to(planes, (count, 3, 32, 32)).copy()
    planes[:, 0, 1, 2] = 200
    path.write_bytes(np.concatenate([labels[:, None], planes.reshape(count, -1)], axis=1).tobytes())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for seed, name in enumerate(TRAIN_FILES):
        write_batch(tmp_path / name, TRAIN_IMAGES, seed)
    write_batch(tmp_path / TEST_FILE, 20, seed=9)
    (tmp_path / CLASSES_FILE).write_text("\n".join(NAMES) + "\n\n")
    return tmp_path


def test_official_files_are_read_normalized_and_split(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDS_DATA", str(folder.parent))
    data = load("cifar10")
    assert (data.name, data.classes, data.input_shape) == ("cifar10", NAMES, (32, 32, 3))
    assert [len(split) for split in (data.train, data.validation, data.test)] == [10, 5000, 20]
    x, y = data.test.features()
    expected = ((y[:, None] + [0, 10, 20]) / 255 - MEAN) / DEVIATION
    np.testing.assert_allclose(x[:, 5, 7], expected, atol=1e-6)
    np.testing.assert_allclose(x[:, 1, 2, 0], (200 / 255 - MEAN[0]) / DEVIATION[0], rtol=1e-6)


def test_the_seed_decides_the_validation_images(folder: Path) -> None:
    first, same, other = (load("cifar10", folder, seed).train.samples for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, same)
    assert not np.array_equal(first, other)


def damage_label(path: Path) -> None:
    path.write_bytes(b"\x0a" + path.read_bytes()[1:])


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.parametrize("damage", [damage_label, cut, lambda path: path.write_bytes(b"")])
def test_damaged_files_are_named(folder: Path, damage) -> None:
    damage(folder / TEST_FILE)
    with pytest.raises(UsageError, match=TEST_FILE):
        load("cifar10", folder)


def test_names_of_another_number_of_classes_are_refused(folder: Path) -> None:
    (folder / CLASSES_FILE).write_text("cat\ndog\n")
    with pytest.raises(UsageError, match=r"names 2 classes"):
        load("cifar10", folder)


def test_too_few_images_to_keep_some_apart_are_refused(folder: Path) -> None:
    write_batch(folder / TRAIN_FILES[0], 10, seed=0)
    with pytest.raises(UsageError, match="4018 training images"):
        load("cifar10", folder)


def test_missing_files_are_told(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    with pytest.raises(UsageError, match="expected the official files of the binary version data_batch_1"):
        load("cifar10", tmp_path_factory.mktemp("empty"))
    (folder / TRAIN_FILES[2]).unlink()
    with pytest.raises(UsageError, match=TRAIN_FILES[2]):
        load("cifar10", folder)
