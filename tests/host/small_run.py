"""A network and data that the whole pipeline goes through in seconds."""

from pathlib import Path

import keras
import numpy as np
from keras import layers

from reds.datasets import Dataset
from reds.pruning import PruneSettings

SHAPE = (8, 6, 1)
CLASSES = ("a", "b", "c")
TAP = "depthwise"
SETTINGS = PruneSettings(budgets=(0.3, 0.6), exits=(TAP,), epochs=1, exit_epochs=1, multiple=2)


def small_dataset(seed: int = 0) -> Dataset:
    """Noisy copies of one picture per class."""
    generator = np.random.default_rng(seed)
    pictures = generator.normal(size=(len(CLASSES), *SHAPE))

    def split(size: int) -> tuple[np.ndarray, np.ndarray]:
        labels = generator.integers(0, len(CLASSES), size)
        return pictures[labels] + 0.3 * generator.normal(size=(size, *SHAPE)), labels

    return Dataset.from_arrays(split(300), split(60), split(60), classes=CLASSES, name="pictures")


def small_model(seed: int = 0) -> keras.Model:
    """A convolution, a depthwise separable block and a classifier, with seeded weights."""
    keras.utils.set_random_seed(seed)
    return keras.Sequential(
        [
            layers.Input(SHAPE),
            layers.Conv2D(8, 3, padding="same", name="conv"),
            layers.BatchNormalization(name="conv_bn"),
            layers.ReLU(name="conv_relu"),
            layers.DepthwiseConv2D(3, strides=2, padding="same", name=TAP),
            layers.ReLU(name="depthwise_relu"),
            layers.Conv2D(10, 1, name="pointwise"),
            layers.BatchNormalization(name="pointwise_bn"),
            layers.ReLU(name="pointwise_relu"),
            layers.GlobalAveragePooling2D(name="pool"),
            layers.Dense(len(CLASSES), activation="softmax", name="classes"),
        ],
        name="small",
    )


def save_small_model(path: Path, seed: int = 0) -> Path:
    """The same as a .keras file."""
    small_model(seed).save(path)
    return path
