import gzip
from pathlib import Path

import numpy as np
import pytest

from reds.datasets import load
from reds.datasets.fashion_mnist import FILES
from reds.errors import UsageError


def write_idx(path: Path, array: np.ndarray) -> None:
    header = bytes((0, 0, 8, array.ndim)) + np.array(array.shape, ">u4").tobytes()
    path.write_bytes(gzip.compress(header + array.tobytes(), compresslevel=1))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """5,010 training and 20 test images; each image's first pixel is its label."""
    generator = np.random.default_rng(0)
    for (image_name, label_name), count in zip(FILES.values(), (5010, 20), strict=True):
        labels = generator.integers(10, size=count, dtype=np.uint8)
        images = generator.integers(256, size=(count, 28, 28), dtype=np.uint8)
        images[:, 0, 0] = labels
        write_idx(tmp_path / image_name, images)
        write_idx(tmp_path / label_name, labels)
    return tmp_path


def test_official_files_are_read_scaled_and_split(folder: Path) -> None:
    data = load("fashion_mnist", folder)
    assert [len(split) for split in (data.train, data.validation, data.test)] == [10, 5000, 20]
    assert (data.input_shape, len(data.classes)) == ((28, 28, 1), 10)
    for split in (data.train, data.validation, data.test):
        x, y = split.features()
        np.testing.assert_array_equal(np.rint(x[:, 0, 0, 0] * 255), y)
        assert 0 <= x.min() <= x.max() <= 1
    assert not np.array_equal(load("fashion_mnist", folder, seed=1).train.samples, data.train.samples)


@pytest.mark.parametrize(
    "damage",
    [b"", b"not gzip", gzip.compress(b"no idx"), "cut"],
    ids=["empty", "not gzip", "not idx", "cut"],
)
def test_damaged_files_are_named(folder: Path, damage: bytes | str) -> None:
    path = folder / "t10k-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-100] if damage == "cut" else damage)
    with pytest.raises(UsageError, match="t10k-images-idx3-ubyte"):
        load("fashion_mnist", folder)


def test_a_missing_file_is_told(folder: Path) -> None:
    (folder / "train-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(UsageError, match="expected the official files"):
        load("fashion_mnist", folder)
