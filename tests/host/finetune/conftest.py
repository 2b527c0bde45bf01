"""A small family and data that it can learn in seconds."""

import keras
import numpy as np
import pytest
from keras import layers

from reds.datasets import Dataset
from reds.exits import attach_exits
from reds.graph import Family, Ranked, Subnetwork
from reds.trace import trace

CLASSES = 3
SHAPE = (6, 5, 2)


@pytest.fixture(scope="session")
def dataset() -> Dataset:
    """Noisy copies of one picture per class."""
    generator = np.random.default_rng(0)
    pictures = generator.normal(size=(CLASSES, *SHAPE))

    def split(size: int) -> tuple[np.ndarray, np.ndarray]:
        labels = generator.integers(0, CLASSES, size)
        return pictures[labels] + 0.5 * generator.normal(size=(size, *SHAPE)), labels

    return Dataset.from_arrays(split(400), split(120), split(120), classes=("a", "b", "c"))


@pytest.fixture(scope="session")
def family() -> Family:
    """Two blocks of which the second can be skipped, at three widths, with seeded random weights."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            layers.Input(SHAPE),
            layers.Conv2D(8, 3, padding="same", name="conv"),
            layers.BatchNormalization(name="conv_bn"),
            layers.ReLU(name="conv_relu"),
            layers.DepthwiseConv2D(3, padding="same", name="dw"),
            layers.BatchNormalization(name="dw_bn"),
            layers.ReLU(name="dw_relu"),
            layers.Conv2D(10, 1, name="pw"),
            layers.BatchNormalization(name="pw_bn"),
            layers.ReLU(name="pw_relu"),
            layers.GlobalAveragePooling2D(name="pool"),
            layers.Dense(CLASSES, activation="softmax", name="classes"),
        ]
    )
    graph = trace(model)
    importance = tuple(np.arange(group.size, 0, -1, dtype=np.float64) for group in graph.groups)
    exits = attach_exits(Ranked(graph, importance, "random"), ["conv"]).exits
    subnetworks = (
        Subnetwork("full", (8, 10)),
        Subnetwork("half", (6, 5)),
        Subnetwork("least", (4, 3)),
        Subnetwork("shallow", (8, 10), exit=1),
        Subnetwork("least shallow", (4, 3), exit=1),
    )
    return Family(graph, importance, exits, subnetworks)
