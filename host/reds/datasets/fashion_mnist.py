"""Fashion-MNIST from its four official files.

Source: Xiao et al., "Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine Learning Algorithms", 2017.
The augmentation is that of Corti et al., "REDS: Resource-Efficient Deep Subnetworks for Dynamic Resource Constraints",
2023.
"""

import gzip
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from reds.datasets.dataset import Dataset, Split
from reds.datasets.downloading import OfficialFile
from reds.datasets.images import ImagePreprocessing, train_and_validation
from reds.errors import UsageError

CLASSES = (
    "T-shirt/top",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
)
FILES = {part: (f"{part}-images-idx3-ubyte.gz", f"{part}-labels-idx1-ubyte.gz") for part in ("train", "t10k")}
LAYOUT = f"the official files {', '.join(name for names in FILES.values() for name in names)}"

BASE_URL = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com"
CHECKSUMS = {
    "train-images-idx3-ubyte.gz": "md5:8d4fb7e6c68d591d4c3dfef9ec88bf0d",
    "train-labels-idx1-ubyte.gz": "md5:25c81989df183df01b3e8a0aad5dffbe",
    "t10k-images-idx3-ubyte.gz": "md5:bef4ecab320f06d8554ea6380940ec79",
    "t10k-labels-idx1-ubyte.gz": "md5:bb300cfdad3c16e7a12a480ee83cd310",
}
"""Those that its authors publish."""
OFFICIAL_FILES = tuple(OfficialFile(f"{BASE_URL}/{name}", checksum) for name, checksum in CHECKSUMS.items())
"""30 MB together."""

LARGEST_TURN = 0.2
"""Radians."""
TURN_PROBABILITY = 0.3

_UNSIGNED_BYTE = 0x08


def has_layout(folder: Path) -> bool:
    """Whether the folder holds the official files."""
    return all((folder / name).is_file() for names in FILES.values() for name in names)


def load_fashion_mnist(folder: Path, seed: int = 0) -> Dataset:
    """Reads the official files.

    Args:
        folder: The folder that holds them.
        seed: Seed of the choice of the 5,000 validation images among the training images.

    Raises:
        UsageError: A file is missing or damaged.
    """
    if not has_layout(folder):
        raise UsageError(f"{folder} does not hold Fashion-MNIST; expected {LAYOUT}.")
    images, labels = _read_part(folder, "train")
    test_images, test_labels = _read_part(folder, "t10k")
    preprocessing = ImagePreprocessing(images.shape[1:], largest_turn=LARGEST_TURN, turn_probability=TURN_PROBABILITY)
    train, validation = train_and_validation(images, labels, preprocessing, seed)
    return Dataset("fashion_mnist", CLASSES, train, validation, Split(test_images, test_labels, preprocessing))


def _read_part(folder: Path, part: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    image_name, label_name = FILES[part]
    images, labels = _read_idx(folder / image_name, 3), _read_idx(folder / label_name, 1)
    if len(images) != len(labels):
        raise UsageError(
            f"{folder} holds {len(images)} images but {len(labels)} labels for '{part}'; download it again."
        )
    return images[..., np.newaxis], labels.astype(np.int64)


def _read_idx(path: Path, dimensions: int) -> NDArray[np.uint8]:
    """An array of bytes in the IDX format: magic number, sizes (big endian), data."""
    try:
        content = gzip.decompress(path.read_bytes())
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise UsageError(f"{path} is not a complete gzip file; download it again.") from error
    header = 4 * (1 + dimensions)
    if len(content) < header or content[:4] != bytes((0, 0, _UNSIGNED_BYTE, dimensions)):
        raise UsageError(f"{path} is not an IDX file of bytes in {dimensions} dimension(s); download it again.")
    shape = tuple(np.frombuffer(content, ">u4", dimensions, offset=4).tolist())
    if len(content) != header + int(np.prod(shape)):
        raise UsageError(f"{path} promises data of shape {shape} but does not hold them; download it again.")
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)
