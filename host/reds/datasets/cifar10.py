"""CIFAR-10 from its official files in the binary version.

Source: Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009. Normalization and augmentation are
those of Corti et al., "REDS: Resource-Efficient Deep Subnetworks for Dynamic Resource Constraints", 2023.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from reds.datasets.dataset import Dataset, Split
from reds.datasets.downloading import OfficialFile
from reds.datasets.images import VALIDATION_IMAGES, ImagePreprocessing, train_and_validation
from reds.errors import UsageError

IMAGE_SHAPE = (32, 32, 3)
CLASSES = 10
MEAN, DEVIATION = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
"""Of the training images, per colour channel."""

TRAIN_FILES = tuple(f"data_batch_{number}.bin" for number in range(1, 6))
TEST_FILE = "test_batch.bin"
CLASSES_FILE = "batches.meta.txt"
FILES = (*TRAIN_FILES, TEST_FILE, CLASSES_FILE)
LAYOUT = f"the official files of the binary version {', '.join(FILES)}"

OFFICIAL_FILES = (
    OfficialFile(
        "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
        "md5:c32a1d4ab5d03f1284b67883e8d87530",
    ),
)
"""The binary version, 162 MB; the checksum is the one on its authors' page."""

RECORD_BYTES = 1 + 32 * 32 * 3
"""A label, then the red, the green and the blue plane."""


def has_layout(folder: Path) -> bool:
    """Whether the folder holds the official files."""
    return all((folder / name).is_file() for name in FILES)


def load_cifar10(folder: Path, seed: int = 0) -> Dataset:
    """Reads the official files.

    Args:
        folder: The folder that holds them.
        seed: Seed of the choice of the 5,000 validation images among the training images.

    Raises:
        UsageError: A file is missing or damaged.
    """
    if not has_layout(folder):
        raise UsageError(f"{folder} does not hold CIFAR-10; expected {LAYOUT}.")
    classes = _read_classes(folder / CLASSES_FILE)
    images, labels = _read_batches([folder / name for name in TRAIN_FILES])
    if len(images) <= VALIDATION_IMAGES:
        raise UsageError(
            f"{folder} holds {len(images)} training images, but {VALIDATION_IMAGES} of them are kept apart for "
            "validation; download it again."
        )
    preprocessing = ImagePreprocessing(IMAGE_SHAPE, MEAN, DEVIATION)
    train, validation = train_and_validation(images, labels, preprocessing, seed)
    return Dataset("cifar10", classes, train, validation, Split(*_read_batches([folder / TEST_FILE]), preprocessing))


def _read_classes(path: Path) -> tuple[str, ...]:
    names = tuple(path.read_text(errors="replace").split())
    if len(names) != CLASSES:
        raise UsageError(f"{path} names {len(names)} classes, but {CLASSES} are needed; download it again.")
    return names


def _read_batches(paths: Sequence[Path]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    records = np.concatenate([_read_records(path) for path in paths])
    height, width, channels = IMAGE_SHAPE
    planes = records[:, 1:].reshape(-1, channels, height, width)
    return np.ascontiguousarray(np.moveaxis(planes, 1, -1)), records[:, 0].astype(np.int64)


def _read_records(path: Path) -> NDArray[np.uint8]:
    content = np.fromfile(path, np.uint8)
    if len(content) == 0 or len(content) % RECORD_BYTES:
        raise UsageError(
            f"{path} has {len(content)} bytes, but a multiple of {RECORD_BYTES} is needed; download it again."
        )
    records = content.reshape(-1, RECORD_BYTES)
    if records[:, 0].max() >= CLASSES:
        raise UsageError(f"{path} holds a label {records[:, 0].max()} above {CLASSES - 1}; download it again.")
    return records
