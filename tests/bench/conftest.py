"""A small network with subnetworks, and boards that run it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from reds.emitting import encode
from reds.graph import (
    INPUT,
    Activation,
    ChannelGroup,
    Conv2D,
    Dense,
    Family,
    Graph,
    Node,
    Pool2D,
    Subnetwork,
    Supernet,
)
from reds.plan import Measurements, TargetCosts
from reds.quantizing import quantize
from reds_bench.firmware import Firmware

INPUT_SHAPE = (6, 5, 1)
FILTERS = 8
CLASSES = 3


def _graph() -> Graph:
    """Convolution, average over the map, classifier."""
    random = np.random.default_rng(7)
    kernel = random.normal(size=(3, 3, 1, FILTERS)).astype(np.float32)
    classifier = random.normal(size=(FILTERS, CLASSES)).astype(np.float32)
    shape = (*INPUT_SHAPE[:2], FILTERS)
    nodes = (
        Node(
            "conv",
            Conv2D((3, 3), padding="same"),
            (INPUT,),
            shape,
            None,
            0,
            {"kernel": kernel, "bias": np.zeros(FILTERS, np.float32)},
        ),
        Node("relu", Activation("relu"), (0,), shape, 0, 0, {}),
        Node("pool", Pool2D("average", shape[:2], shape[:2]), (1,), (1, 1, FILTERS), 0, 0, {}),
        Node(
            "dense",
            Dense(),
            (2,),
            (1, 1, CLASSES),
            0,
            None,
            {"kernel": classifier, "bias": np.zeros(CLASSES, np.float32)},
        ),
        Node("softmax", Activation("softmax"), (3,), (1, 1, CLASSES), None, None, {}),
    )
    return Graph("small", INPUT_SHAPE, (CLASSES,), nodes, (ChannelGroup("conv", FILTERS),))


def build_model(element_type: str) -> bytes:
    """The small network with subnetworks of 8, 4 and 2 filters, the last one not measured."""
    subnetworks = tuple(Subnetwork(f"width {width}", (width,)) for width in (FILTERS, 4, 2))
    family = Family(_graph(), (np.arange(FILTERS, 0, -1.0),), (), subnetworks)
    samples = np.random.default_rng(8).normal(size=(16, *INPUT_SHAPE)).astype(np.float32)
    network = quantize(Supernet(family, ({}, {}, {})), element_type, samples)
    instructions = TargetCosts("cortex-m4", True, (30000, 20000, 10000))
    return encode(network, Measurements((0.9, 0.8, None), (instructions,)))


@pytest.fixture(scope="session")
def int8_model() -> bytes:
    return build_model("int8")


@pytest.fixture(scope="session")
def float32_model() -> bytes:
    return build_model("float32")


@pytest.fixture
def int8_model_path(tmp_path: Path, int8_model: bytes) -> Path:
    path = tmp_path / "small.tflite"
    path.write_bytes(int8_model)
    return path


@pytest.fixture
def start_firmware() -> Iterator[Callable[..., Firmware]]:
    """Starts boards in this process and ends them with the test."""
    started: list[Firmware] = []

    def start(*arguments: object, **options: object) -> Firmware:
        firmware = Firmware(*arguments, **options)  # type: ignore[arg-type]
        started.append(firmware)
        return firmware

    yield start
    for firmware in started:
        firmware.close()
