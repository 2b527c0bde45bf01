"""The kernels of every instruction set compute the bytes of the portable ones."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from layer_drawing import Draw
from model_builder import LayerSpec, NetworkBuilder, output_shape

from reds.compiled import ElementType
from reds.emitting import encode
from reds.graph import INPUT, Add, Concatenate, Conv2D, Dense, DepthwiseConv2D, Pool2D, Shape
from reds.runtime import Runtime
from reds_bench.batch import run_batch
from reds_bench.client import Bench
from reds_bench.emulator import QEMU, boot

BOARDS = ("qemu:cortex-m4", "qemu:cortex-m0plus")
SAMPLES = 1
LOUD = 2.0**9
"""Makes requantisation multiply by more than 1."""

pytestmark = pytest.mark.skipif(shutil.which(QEMU) is None, reason=f"needs `{QEMU}`")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


def check(
    path: Path,
    input_shape: Shape,
    specs: Sequence[LayerSpec],
    widths: Sequence[Sequence[int]],
    seed: int,
    loudness: float = 1.0,
) -> None:
    """Compares the full network and the narrow ones on the boards with this machine."""
    builder = NetworkBuilder(ElementType.INT8, input_shape, seed, loudness)
    path.write_bytes(encode(builder.build(specs, widths)))
    x = builder.input(SAMPLES)
    runtime = Runtime(path)
    for board in BOARDS:
        with boot(board, path) as url, Bench(url) as bench:
            for subnetwork in range(len(widths) + 1):
                runtime.select(subnetwork)
                expected = runtime.invoke(x).reshape(SAMPLES, -1)
                np.testing.assert_array_equal(run_batch(bench, subnetwork, x).outputs, expected, board)


def narrow(draw: Draw, specs: Sequence[LayerSpec]) -> list[list[int]]:
    """Two subnetworks: a little narrower and any width."""
    return [
        [max(1, spec.channels - draw.size(3)) for spec in specs],
        [draw.size(max(1, spec.channels)) for spec in specs],
    ]


def drawn_chain(draw: Draw, height: int, width: int) -> list[LayerSpec]:
    """Convolutions of any window that fits, every one on a prefix of the channels before it."""
    specs = [LayerSpec(Conv2D((1, 1)), draw.size(24))]
    shape = (height, width, specs[0].channels)
    for _ in range(4):
        kind = draw.choice(Conv2D, DepthwiseConv2D)
        multiplier = draw.choice(1, 1, 1, 2) if kind is DepthwiseConv2D else 1
        spec = LayerSpec(draw.convolution(kind), draw.size(24), draw.activation(), multiplier)
        if min(output_shape(spec, shape)) >= 1:
            specs.append(spec)
            shape = output_shape(spec, shape)
    return [*specs, LayerSpec(Conv2D((1, 1)), 3)]


examples = settings(max_examples=8, deadline=None, derandomize=True)
seeds = st.integers(0, (1 << 32) - 1)


@examples
@given(seed=seeds)
def test_chains_of_convolutions(folder: Path, seed: int) -> None:
    draw = Draw(seed)
    height, width = draw.pair(8, 20)
    specs = drawn_chain(draw, height, width)
    check(folder / "model", (height, width, draw.size(3)), specs, narrow(draw, specs), seed)


@examples
@given(seed=seeds)
def test_chains_of_fully_connected_layers(folder: Path, seed: int) -> None:
    draw = Draw(seed)
    specs = [LayerSpec(Dense(), draw.size(90), draw.activation()) for _ in range(3)] + [LayerSpec(Dense(), 3)]
    check(folder / "model", (1, 1, draw.size(500)), specs, narrow(draw, specs), seed)


@pytest.mark.parametrize(
    "specs",
    [
        pytest.param([LayerSpec(Conv2D((10, 4), (2, 2), "same"), 17)], id="many taps of one channel"),
        pytest.param([LayerSpec(Conv2D((1, 1)), 184), LayerSpec(Conv2D((1, 1)), 5)], id="as wide as the buffer"),
        pytest.param([LayerSpec(Conv2D((1, 1)), 213), LayerSpec(Conv2D((1, 1)), 7)], id="wider than the buffer"),
        pytest.param([LayerSpec(Conv2D((1, 1)), 45), LayerSpec(Conv2D((3, 3)), 9)], id="large window"),
        pytest.param([LayerSpec(Conv2D((1, 1)), 9), LayerSpec(DepthwiseConv2D((5, 5), (1, 1), "same"))], id="5 x 5"),
        pytest.param([LayerSpec(Conv2D((1, 1)), 9), LayerSpec(DepthwiseConv2D((7, 7), (1, 1), "same"))], id="7 x 7"),
    ],
)
@pytest.mark.parametrize("loudness", [1.0, LOUD])
def test_sizes_at_the_limits_of_the_buffers(folder: Path, specs: list[LayerSpec], loudness: float) -> None:
    specs = [*specs, LayerSpec(Conv2D((1, 1)), 3)]
    check(folder / "model", (5, 7, 1), specs, narrow(Draw(3), specs), 3, loudness)


@pytest.mark.parametrize(
    "pool",
    [
        Pool2D("average", (15, 17), (15, 17)),
        Pool2D("average", (16, 17), (1, 1)),
        Pool2D("average", (3, 2), (2, 1), "same"),
        Pool2D("max", (3, 2), (2, 1), "same"),
    ],
    ids=["as many elements as fit", "more elements than fit", "padded", "largest"],
)
def test_pools_of_every_width(folder: Path, pool: Pool2D) -> None:
    specs = [LayerSpec(Conv2D((1, 1)), 11), LayerSpec(pool), LayerSpec(Conv2D((1, 1)), 3)]
    widths = [[width, width, 3] for width in (8, 5, 3)]
    check(folder / "model", (16, 17, 2), specs, widths, 5, LOUD)


@pytest.mark.parametrize("channels", [1, 7, 16])
@pytest.mark.parametrize("loudness", [1e-3, 1.0, LOUD])
def test_sums_and_concatenations(folder: Path, channels: int, loudness: float) -> None:
    specs = [
        LayerSpec(Conv2D((1, 1)), channels),
        LayerSpec(Conv2D((3, 3), padding="same"), channels, inputs=(INPUT,)),
        LayerSpec(Add(), activation="relu", inputs=(0, 1)),
        LayerSpec(Concatenate(), inputs=(2, INPUT, 0)),
        LayerSpec(Add(), activation="relu6", inputs=(3, 3)),
        LayerSpec(Conv2D((1, 1)), 3),
    ]
    narrow_widths = [[width, width, 0, 0, 0, 3] for width in (max(1, channels - 3), 1)]
    check(folder / "model", (5, 3, 2), specs, narrow_widths, channels, loudness)
