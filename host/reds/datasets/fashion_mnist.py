"""Fashion-MNIST from its four official files.

Source: Xiao et al., "Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine Learning Algorithms", 2017.
"""

import gzip
import zlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from reds.datasets.dataset import Dataset, Features, Samples, Shape, Split, require_same_size
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
VALIDATION_IMAGES = 5000
LARGEST_CROP = 2

_UNSIGNED_BYTE = 0x08


@dataclass(frozen=True)
class ImagePreprocessing:
    """Scales bytes to [0, 1]; in training flips at random and crops from the image mirrored at its borders."""

    output_shape: Shape

    def with_output_shape(self, shape: Shape) -> "ImagePreprocessing":
        require_same_size(shape, self.output_shape)
        return replace(self, output_shape=shape)

    def augment(self, samples: Samples, generator: np.random.Generator) -> Samples:
        """Flips and shifts each image.

        Args:
            samples: Images of shape (images, height, width).
            generator: Source of chance.
        """
        count, height, width = samples.shape
        flipped = generator.random((count, 1, 1)) < 0.5
        images = np.where(flipped, samples[:, :, ::-1], samples)
        border = (LARGEST_CROP, LARGEST_CROP)
        padded = np.pad(images, ((0, 0), border, border), mode="symmetric")
        rows, columns = generator.integers(2 * LARGEST_CROP + 1, size=(2, count))
        windows = np.lib.stride_tricks.sliding_window_view(padded, (height, width), axis=(1, 2))
        return windows[np.arange(count), rows, columns]

    def features(self, samples: Samples) -> Features:
        return (samples.astype(np.float32) / np.float32(255)).reshape(-1, *self.output_shape)


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
    order = np.random.default_rng(seed).permutation(len(images))
    train, validation = np.sort(order[:-VALIDATION_IMAGES]), np.sort(order[-VALIDATION_IMAGES:])
    preprocessing = ImagePreprocessing((*images.shape[1:], 1))
    return Dataset(
        "fashion_mnist",
        CLASSES,
        train=Split(images[train], labels[train], preprocessing),
        validation=Split(images[validation], labels[validation], preprocessing),
        test=Split(test_images, test_labels, preprocessing),
    )


def _read_part(folder: Path, part: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    image_name, label_name = FILES[part]
    images, labels = _read_idx(folder / image_name, 3), _read_idx(folder / label_name, 1)
    if len(images) != len(labels):
        raise UsageError(
            f"{folder} holds {len(images)} images but {len(labels)} labels for '{part}'; download it again."
        )
    return images, labels.astype(np.int64)


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
