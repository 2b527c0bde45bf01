"""Visual wake words, is there a person in the picture, from two folders of images.

Source: Chowdhery et al., "Visual Wake Words Dataset", 2019, in the form that MLPerf Tiny trains on: COCO 2014 images of
96 x 96 pixels in a folder "person" and a folder of the rest, the first tenth of each kept apart for validation.
"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from reds.datasets.dataset import Dataset, Split
from reds.datasets.images import ImagePreprocessing
from reds.datasets.progress import with_progress
from reds.errors import UsageError

IMAGE_SHAPE = (96, 96, 3)
LARGEST_SHIFT = 4
"""MLPerf Tiny shifts by up to 5 % of the width in training."""

PERSON = "person"
TEST_FOLDER = "test"
SUFFIXES = (".jpg", ".jpeg", ".png")
HELD_OUT = 10
"""One of so many images of a class is for validation, and one for the test where there is no test folder."""

LAYOUT = (
    f"a folder '{PERSON}' and one other folder, such as 'non_person', each with {HELD_OUT} or more images "
    f"({', '.join(SUFFIXES)}), and where test images are given a folder '{TEST_FOLDER}' with the same two folders"
)


def has_layout(folder: Path) -> bool:
    """Whether the folder holds a folder of persons and one other."""
    return _classes(folder) is not None


def load_visual_wake_words(folder: Path, seed: int = 0) -> Dataset:
    """Reads the images; those of another size are scaled to 96 x 96 pixels.

    A label is the place of the image's folder in alphabetical order. The first tenth of each folder in the order of
    the file names is for validation. The images under `test`, or without such a folder the second tenth, are for the
    test; the rest is for training.

    Args:
        folder: The folder that holds the folders of images.
        seed: Not used; nothing is drawn.

    Raises:
        UsageError: The folder has another layout, or an image cannot be decoded.
    """
    classes = _classes(folder)
    if classes is None:
        raise UsageError(f"{folder} does not hold visual wake words; expected {LAYOUT}.")
    first, second = (_divide(folder, name) for name in classes)
    return Dataset(
        "visual_wake_words",
        classes,
        train=_read_split(first.train, second.train),
        validation=_read_split(first.validation, second.validation),
        test=_read_split(first.test, second.test),
    )


class _Files(NamedTuple):
    """The images of one class."""

    train: list[Path]
    validation: list[Path]
    test: list[Path]


def _classes(folder: Path) -> tuple[str, str] | None:
    """The names of the two folders in alphabetical order, or None where the folder has another layout."""
    if not folder.is_dir():
        return None
    names = sorted(
        child.name
        for child in folder.iterdir()
        if child.is_dir() and child.name != TEST_FOLDER and not child.name.startswith(".")
    )
    return (names[0], names[1]) if len(names) == 2 and PERSON in names else None


def _divide(folder: Path, name: str) -> _Files:
    images = _images(folder / name)
    tenth = len(images) // HELD_OUT
    if tenth == 0:
        raise UsageError(f"{folder / name} holds {len(images)} images; expected {LAYOUT}.")
    validation, rest = images[:tenth], images[tenth:]
    if not (folder / TEST_FOLDER).is_dir():
        return _Files(rest[tenth:], validation, rest[:tenth])
    test = _images(folder / TEST_FOLDER / name)
    if not test:
        raise UsageError(f"{folder / TEST_FOLDER / name} holds no images; expected {LAYOUT}.")
    return _Files(rest, validation, test)


def _images(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)


def _read_split(first: Sequence[Path], second: Sequence[Path]) -> Split:
    paths = [*first, *second]
    images = np.empty((len(paths), *IMAGE_SHAPE), np.uint8)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        decoded = with_progress(pool.map(_read_image, paths), len(paths), "Reading images")
        for image, pixels in zip(images, decoded, strict=True):
            image[...] = pixels
    labels = np.repeat(np.arange(2), (len(first), len(second)))
    return Split(images, labels, ImagePreprocessing(IMAGE_SHAPE, largest_shift=LARGEST_SHIFT))


def _read_image(path: Path) -> NDArray[np.uint8]:
    import tensorflow as tf

    try:
        image = tf.io.decode_image(path.read_bytes(), channels=IMAGE_SHAPE[2], expand_animations=False)
    except tf.errors.InvalidArgumentError as error:
        raise UsageError(f"{path} is not a complete JPEG or PNG image; replace or delete it.") from error
    if image.shape == IMAGE_SHAPE:
        return image.numpy()
    scaled = tf.image.resize(image, IMAGE_SHAPE[:2], antialias=True)
    return tf.cast(tf.round(scaled), tf.uint8).numpy()
