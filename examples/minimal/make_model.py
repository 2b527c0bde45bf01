"""Writes a small model with three subnetworks as a C array, and its operations: make_model.py HEADER TFLITE OPERATIONS.

Its weights are random, because the example shows how firmware runs a model, not what the model is good for. A trained
one comes from `reds prune`, and its C files from `reds emit RUN -o model.tflite --c-array model.h --operations
operations.c`.
"""

import sys
from pathlib import Path

import keras
import numpy as np
from keras import layers

import reds
from reds.emitting import write_c_array, write_operations
from reds.graph import Supernet

CALIBRATION_SAMPLES = 32


def small_model() -> keras.Model:
    """A depthwise separable network for pictures of 8 x 8 pixels and four classes."""
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            layers.Input((8, 8, 1)),
            layers.Conv2D(8, 3, padding="same", activation="relu"),
            layers.DepthwiseConv2D(3, padding="same", activation="relu"),
            layers.Conv2D(16, 1, activation="relu"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(4),
        ]
    )


def main(header: Path, tflite: Path, operations: Path) -> None:
    """Searches two subnetworks and emits them with the full network, untrained."""
    family = reds.solve(reds.rank(small_model(), method="l1"), budgets=(0.5, 0.25))
    untrained = Supernet(family, ({},) * len(family.subnetworks))
    samples = np.random.default_rng(0).standard_normal((CALIBRATION_SAMPLES, *family.graph.input_shape), np.float32)
    reds.emit(untrained, tflite, "int8", samples)
    write_c_array(tflite.read_bytes(), header)
    write_operations(tflite, operations)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
