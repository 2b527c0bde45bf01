"""Any bytes are answered with a context or an error, under AddressSanitizer and UndefinedBehaviorSanitizer.

What libreds takes for a well-formed flatbuffer, FlatBuffers' own verifier does too.
"""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from model_builder import LayerSpec, NetworkBuilder, network_with_views
from random_networks import random_supernet_with_exit

from reds.compiled import EMITTED_TYPES, CompiledNetwork, ElementType
from reds.emitting import encode
from reds.graph import (
    Activation,
    Add,
    BatchMatMul,
    Concatenate,
    Conv2D,
    Conv2DTranspose,
    Crop,
    Dense,
    DepthwiseConv2D,
    Dequantize,
    Mean,
    Multiply,
    Pad,
    Pool2D,
    PRelu,
    Quantize,
    Requantize,
    Resize,
    Slice,
    Subtract,
    Transpose,
    Upsample,
)
from reds.model_file import read_model_file
from reds.plan import Measurements, TargetCosts
from reds.quantizing import quantize
from reds.schema.conventions import ARENA_ALIGNMENT

ROOT = Path(__file__).parents[2]
SPECS = [
    LayerSpec(Conv2D((3, 2), (2, 1), "same"), 4, "relu6"),
    LayerSpec(DepthwiseConv2D((2, 2), padding="same")),
    LayerSpec(Activation("relu")),
    LayerSpec(Pool2D("max", (2, 2), (1, 1), "same")),
    LayerSpec(Add(), activation="relu6", inputs=(3, 2)),
    LayerSpec(Concatenate(), inputs=(4, 1, 4)),
    LayerSpec(Pad((1, 0), (0, 2))),
    LayerSpec(Activation("leaky_relu", 0.25)),
    LayerSpec(Conv2D((1, 1)), 6),
    LayerSpec(Conv2D((2, 2), padding="same", groups=3), 6),
    LayerSpec(Pool2D("average", (3, 5), (1, 1))),
    LayerSpec(Activation("tanh")),
    LayerSpec(Dense(), 3),
    LayerSpec(Activation("softmax")),
]
MORE_SPECS = [
    LayerSpec(Conv2D((1, 1)), 4),
    LayerSpec(Mean()),
    LayerSpec(Multiply(spread=True), inputs=(0, 1)),
    LayerSpec(Subtract(), inputs=(2, 0)),
    LayerSpec(PRelu()),
    LayerSpec(Conv2DTranspose((3, 2), (2, 1), "same"), 3),
    LayerSpec(Slice(1), 2),
    LayerSpec(Crop((3, 2), (1, 0))),
    LayerSpec(Upsample((2, 1))),
]


REARRANGING_SPECS = [
    LayerSpec(Conv2D((1, 1)), 4),
    LayerSpec(Transpose((2, 0, 1))),
    LayerSpec(Conv2D((1, 1)), 3),
    LayerSpec(BatchMatMul(transpose_second=True), inputs=(2, 1)),
    LayerSpec(BatchMatMul(transpose_first=True), inputs=(3, 2)),
    LayerSpec(Add(spread=True), inputs=(4,)),
    LayerSpec(Resize((3, 5), half_pixel_centers=True)),
    LayerSpec(Subtract(exchanged=True), inputs=(6,)),
    LayerSpec(Multiply(spread=True), inputs=(7,), scalar=True),
    LayerSpec(Conv2D((1, 1)), 3),
]


def specs_of(element_type: ElementType, specs: list[LayerSpec]) -> list[LayerSpec]:
    """The layers, and at the end of int8 networks another quantisation."""
    return [*specs, LayerSpec(Requantize())] if element_type is ElementType.INT8 else specs


WIDTHS = [6 if spec.channels == 6 else 3 for spec in SPECS]
"""Of a narrow subnetwork; a grouped convolution keeps its channels."""


@pytest.fixture(scope="module")
def program() -> Path:
    scons = Path(sys.executable).with_name("scons")
    subprocess.run([scons, "-s", "sanitize=1", "device-tests"], cwd=ROOT, check=True, capture_output=True)
    return ROOT / "build/x86-sanitize/tests/corruption"


def weights_and_sums(element_type: ElementType) -> CompiledNetwork:
    return NetworkBuilder(element_type, (4, 3, 1), seed=3).build(SPECS, [WIDTHS])


def pairs_and_resizing(element_type: ElementType) -> CompiledNetwork:
    specs = specs_of(element_type, MORE_SPECS)
    return NetworkBuilder(element_type, (4, 3, 1), seed=3).build(specs, [[3] * len(specs)])


def rearranging(element_type: ElementType) -> CompiledNetwork:
    return NetworkBuilder(element_type, (4, 3, 2), seed=3).build(REARRANGING_SPECS)


def views(element_type: ElementType) -> CompiledNetwork:
    return network_with_views(element_type)[0]


def exits(element_type: ElementType) -> CompiledNetwork:
    """A small random family of three widths and an exit."""
    supernet = random_supernet_with_exit(34)
    samples = np.random.default_rng(0).standard_normal((8, *supernet.family.graph.input_shape)).astype(np.float32)
    return quantize(supernet, element_type, samples if element_type is ElementType.INT8 else None)


def ports(element_type: ElementType) -> CompiledNetwork:
    specs = [LayerSpec(Quantize("float32")), LayerSpec(Conv2D((2, 2)), 3), LayerSpec(Dequantize("uint8"))]
    return NetworkBuilder(element_type, (4, 3, 1), seed=3).build(specs)


def other_ports(element_type: ElementType) -> CompiledNetwork:
    specs = [LayerSpec(Quantize("uint8")), LayerSpec(Conv2D((2, 2)), 3), LayerSpec(Dequantize("float32"))]
    return NetworkBuilder(element_type, (4, 3, 1), seed=3).build(specs)


def batches(element_type: ElementType) -> CompiledNetwork:
    specs = [
        LayerSpec(Quantize("uint8")),
        LayerSpec(Conv2D((2, 2), padding="same"), 4),
        LayerSpec(DepthwiseConv2D((2, 2), padding="same")),
        LayerSpec(Conv2D((1, 1)), 3),
        LayerSpec(Dequantize("float32")),
    ]
    return NetworkBuilder(element_type, (4, 3, 1), seed=3, batch=3).build(specs, [[0, 3, 0, 3, 0]])


def words(element_type: ElementType) -> CompiledNetwork:
    specs = [
        LayerSpec(Quantize("float32")),
        LayerSpec(Conv2D((3, 2), (2, 1), "same"), 4, "relu6"),
        LayerSpec(DepthwiseConv2D((2, 2), padding="same")),
        LayerSpec(Pool2D("max", (2, 2), (1, 1), "same")),
        LayerSpec(Requantize()),
        LayerSpec(Add(), inputs=(4, 4)),
        LayerSpec(Concatenate(), inputs=(5, 5)),
        LayerSpec(Conv2D((1, 1), groups=2), 4),
        LayerSpec(Mean()),
        LayerSpec(Dense(), 3),
        LayerSpec(Activation("softmax")),
        LayerSpec(Dequantize("float32")),
    ]
    return NetworkBuilder(element_type, (4, 3, 1), seed=3).build(specs)


CASES = [
    *(
        (make, element_type)
        for make in (weights_and_sums, pairs_and_resizing, rearranging, views, exits)
        for element_type in EMITTED_TYPES
    ),
    (ports, ElementType.INT8),
    (other_ports, ElementType.INT8),
    (batches, ElementType.INT8),
    (words, ElementType.INT16),
    (views, ElementType.INT16),
]


@pytest.mark.parametrize(("make", "element_type"), CASES)
def test_damaged_models(
    program: Path, tmp_path: Path, element_type: ElementType, make: Callable[[ElementType], CompiledNetwork]
) -> None:
    network = make(element_type)
    counts = (1000,) * len(network.subnetworks)
    model = encode(network, Measurements(targets=(TargetCosts("cortex-m4", True, counts),)))
    file = read_model_file(model)
    plan = bytes(file.model.buffers[file.model.metadata[0].buffer].data)
    path = tmp_path / "model.tflite"
    path.write_bytes(model)

    arguments = [str(program), str(path), str(model.index(plan)), str(len(plan))]
    result = subprocess.run(arguments, capture_output=True, text=True, check=False)

    assert result.returncode == 0, result.stderr[-2000:]
    tallies = {name: (int(yes), int(no)) for name, yes, no in re.findall(r"(.+) (\d+) accepted (\d+)", result.stdout)}
    assert tallies["untouched"] == (1, 0)
    assert tallies["truncated"] == (0, len(model))
    assert tallies["truncated in trusted flash"][0] < ARENA_ALIGNMENT  # no more than the padding at the end
    for name in ("plan bytes", "plan words", "model words"):
        assert min(tallies[name]) > 0, name
