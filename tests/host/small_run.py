"""A network and data that the whole pipeline goes through in seconds."""

from collections.abc import Sequence
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


def small_residual_model(blocks: int = 2, stages: Sequence[int] = (8, 12)) -> keras.Model:
    """ResNet-8 with smaller maps and any number of blocks, with seeded weights.

    Args:
        blocks: residual blocks per stage. The sum of the second one of the first stage is called "add_1b".
        stages: channels of each stage; all but the first begin with a block that halves the map.
    """
    keras.utils.set_random_seed(0)

    def normalized(x: keras.KerasTensor, name: str, channels: int, stride: int = 1) -> keras.KerasTensor:
        x = layers.Conv2D(channels, 3, stride, padding="same", use_bias=False, name=f"conv_{name}")(x)
        return layers.BatchNormalization(name=f"norm_{name}")(x)

    source = layers.Input(SHAPE)
    x = layers.ReLU(name="relu")(normalized(source, "stem", stages[0]))
    for stage, channels in enumerate(stages, start=1):
        for block in range(blocks):
            name = f"{stage}{chr(ord('a') + block)}"
            stride = 2 if stage > 1 and block == 0 else 1
            inner = layers.ReLU(name=f"relu_{name}1")(normalized(x, f"{name}1", channels, stride))
            inner = normalized(inner, f"{name}2", channels)
            around = layers.Conv2D(channels, 1, stride, name=f"shortcut_{name}")(x) if stride > 1 else x
            x = layers.ReLU(name=f"relu_{name}")(layers.Add(name=f"add_{name}")([around, inner]))
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    scores = layers.Dense(len(CLASSES), activation="softmax", name="classes")(x)
    return keras.Model(source, scores, name="residual")


def save_small_model(path: Path, seed: int = 0) -> Path:
    """The same as a .keras file."""
    small_model(seed).save(path)
    return path
