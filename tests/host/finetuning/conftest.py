"""A small family and data that it can learn in seconds."""

import math

import keras
import numpy as np
import pytest
from keras import layers

from reds.datasets import Dataset
from reds.exits import attach_exits
from reds.graph import Family, Ranked, Subnetwork
from reds.tracing import trace

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
    model = keras.Sequential(
        [
            layers.Input(SHAPE),
            layers.Conv2D(12, 3, padding="same", name="conv"),
            layers.BatchNormalization(name="conv_bn"),
            layers.ReLU(name="conv_relu"),
            layers.DepthwiseConv2D(3, padding="same", name="dw"),
            layers.BatchNormalization(name="dw_bn"),
            layers.ReLU(name="dw_relu"),
            layers.Conv2D(16, 1, name="pw"),
            layers.BatchNormalization(name="pw_bn"),
            layers.ReLU(name="pw_relu"),
            layers.GlobalAveragePooling2D(name="pool"),
            layers.Dense(CLASSES, activation="softmax", name="classes"),
        ]
    )
    generator = np.random.default_rng(1)
    for layer in (model.get_layer(name) for name in ("conv", "dw", "pw", "classes")):
        fan_in = 9 if layer.name == "dw" else math.prod(layer.kernel.shape[:-1])
        layer.kernel.assign(generator.normal(0, math.sqrt(2 / fan_in), layer.kernel.shape))
    graph = trace(model)
    importance = tuple(np.arange(group.size, 0, -1, dtype=np.float64) for group in graph.groups)
    exits = attach_exits(Ranked(graph, importance, "random"), ["conv"]).exits
    subnetworks = (
        Subnetwork("full", (12, 16)),
        Subnetwork("half", (9, 10)),
        Subnetwork("least", (6, 6)),
        Subnetwork("shallow", (12, 16), exit=1),
        Subnetwork("least shallow", (6, 6), exit=1),
    )
    return Family(graph, importance, exits, subnetworks)
