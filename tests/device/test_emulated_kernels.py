"""The kernels of every instruction set compute the bytes of the portable ones; in float32, nearly the same numbers."""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from layer_drawing import Draw
from model_builder import LayerSpec, NetworkBuilder, output_shape
from near_places import Side, apart, near, placed
from numpy.typing import NDArray
from test_overlap import drawn_chain as drawn_overlapping_chain
from test_overlap import narrow as narrow_overlapping

from reds.compiled import CompiledNetwork, CompiledStep, ElementType
from reds.emitting import encode
from reds.graph import (
    INPUT,
    Activation,
    Add,
    BatchMatMul,
    Concatenate,
    Conv2D,
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
    Shape,
    Subtract,
    Upsample,
)
from reds.requantize import Quantization
from reds.runtime import Runtime
from reds_bench.batch import run_batch
from reds_bench.client import Bench
from reds_bench.emulator import QEMU, QEMU_BOARDS, boot

BOARDS = ("qemu:cortex-m4", "qemu:cortex-m0plus", "qemu:cortex-m55")
"""One for each instruction set that has kernels of its own."""
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
    boards: Sequence[str] = BOARDS,
    element_type: ElementType = ElementType.INT8,
) -> None:
    """Compares the full network and the narrow ones on the boards with this machine."""
    builder = NetworkBuilder(element_type, input_shape, seed, loudness)
    compare(path, builder.build(specs, widths), builder.input(SAMPLES), boards)


def compare(
    path: Path,
    network: CompiledNetwork,
    x: NDArray,
    boards: Sequence[str] = BOARDS,
    side: Side | None = None,
) -> None:
    """Compares all subnetworks on the boards with this machine.

    With a side, outputs are as near to their inputs as kernels allow on the boards, and overlap nothing here.
    """
    path.write_bytes(encode(network))
    runtime = Runtime(path)
    if side is not None:
        with placed(apart):
            runtime = Runtime(encode(network))
        with placed(near(side)):
            path.write_bytes(encode(network))
    for board in boards:
        with boot(board, path) as url, Bench(url) as bench:
            for subnetwork in range(len(network.subnetworks)):
                runtime.select(subnetwork)
                expected = runtime.invoke(x).reshape(SAMPLES, -1)
                outputs = run_batch(bench, subnetwork, x, runtime.output.dtype).outputs
                if network.element_type is not ElementType.FLOAT32:
                    np.testing.assert_array_equal(outputs, expected, board)
                else:
                    np.testing.assert_allclose(outputs, expected, 1e-5, 1e-5 * np.abs(expected).max(), err_msg=board)


def with_extreme_constants(network: CompiledNetwork) -> CompiledNetwork:
    """The network with the same input and output scale in every layer, and in its channels every kind of constants."""
    below_one = np.nextafter(np.float32(1), np.float32(0))
    shifts = [0, 1, 2, 7, 8, 9, 10, 11, 12, 13, 14, 15, 20, 21, 22, 28]
    scales = np.outer([1, below_one], np.float32(2) ** -np.array(shifts)).astype(np.float32).ravel()
    bias = np.array([0, 1 << 30, 1 << 20, -(1 << 20), -(1 << 30), 777, (1 << 21) + 7], np.int32)
    steps: list[CompiledStep] = []
    for step in network.subnetworks[0].steps:
        assert step.output_quantization is not None
        quantization = Quantization(np.float32(1), int(step.output_quantization.zero_point))
        steps.append(
            replace(
                step,
                input_quantizations=(steps[-1].output_quantization if steps else quantization,),
                output_quantization=quantization,
                weight_scales=np.resize(scales, step.output_channels),
                bias=np.resize(bias, step.output_channels),
            )
        )
    return replace(network, subnetworks=(replace(network.subnetworks[0], steps=tuple(steps)),))


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


@pytest.mark.parametrize("side", ["before", "behind"])
@settings(max_examples=12, deadline=None, derandomize=True)
@given(seed=seeds)
def test_outputs_that_overlap_their_inputs(folder: Path, side: Side, seed: int) -> None:
    draw = Draw(seed)
    shape = (*draw.pair(10, 24), 2)
    specs = drawn_overlapping_chain(draw, shape, 5)
    builder = NetworkBuilder(ElementType.INT8, shape, seed)
    widths = [narrow_overlapping(draw, specs) for _ in range(2)]
    compare(folder / "model", builder.build(specs, widths), builder.input(SAMPLES), side=side)


@examples
@given(seed=seeds)
def test_tabled_activations_and_borders(folder: Path, seed: int) -> None:
    draw = Draw(seed)
    specs = [LayerSpec(Conv2D((1, 1)), draw.size(24)), LayerSpec(Upsample(draw.pair(3, 2)))]
    for _ in range(3):
        specs += [LayerSpec(Pad((3, 3), (3, 3))), LayerSpec(draw.crop())]
        specs += [LayerSpec(draw.pad()), LayerSpec(draw.tabled()), LayerSpec(PRelu()), LayerSpec(Requantize())]
    specs += [LayerSpec(Conv2D((1, 1)), 3)]
    check(folder / "model", (*draw.pair(8, 8), draw.size(3)), specs, narrow(draw, specs), seed)


@examples
@given(seed=seeds)
def test_int16(folder: Path, seed: int) -> None:
    draw = Draw(seed)
    convolution = Conv2D(draw.pair(5, 4), draw.pair(3, 3), "same")
    specs = [LayerSpec(Quantize("float32")), LayerSpec(convolution, draw.size(9), draw.activation())]
    specs += [LayerSpec(DepthwiseConv2D(draw.pair(4, 4), padding="same"))]
    specs += [LayerSpec(Requantize()), LayerSpec(Add(), inputs=(3, 2)), LayerSpec(Mean()), LayerSpec(Dense(), 4)]
    specs += [LayerSpec(Activation("softmax")), LayerSpec(Dequantize("float32"))]
    widths = [[0, draw.size(specs[1].channels), 0, 0, 0, 0, 4, 0, 0]]
    check(folder / "model", (*draw.pair(9, 9), 2), specs, widths, seed, element_type=ElementType.INT16)


@examples
@given(seed=seeds)
def test_converted_ports(folder: Path, seed: int) -> None:
    draw = Draw(seed)
    specs = [LayerSpec(Quantize(draw.choice("float32", "uint8"))), LayerSpec(Conv2D((1, 1)), draw.size(9))]
    specs += [LayerSpec(Conv2D((1, 1)), 3), LayerSpec(Dequantize(draw.choice("float32", "uint8")))]
    widths = [[0, draw.size(specs[1].channels), 3, 0]]
    check(folder / "model", (*draw.pair(5, 5), draw.size(3)), specs, widths, seed)


@examples
@given(seed=seeds)
def test_rearranged_maps_and_constants(folder: Path, seed: int) -> None:
    draw = Draw(seed)
    specs = [
        LayerSpec(Conv2D((1, 1)), 1 + draw.size(24)),
        LayerSpec(draw.transpose()),
        LayerSpec(Add(spread=True), activation=draw.activation(), inputs=(1,)),
        LayerSpec(Subtract(exchanged=draw.choice(False, True)), inputs=(2,)),
        LayerSpec(BatchMatMul(transpose_second=True), inputs=(2, 3)),
        LayerSpec(Resize(draw.pair(9, 9), half_pixel_centers=draw.choice(False, True))),
        LayerSpec(draw.choice(Add, Subtract, Multiply)(spread=True), inputs=(5,), scalar=True),
        LayerSpec(Conv2D((1, 1)), 3),
    ]
    check(folder / "model", (1 + draw.size(7), 1 + draw.size(7), draw.size(3)), specs, [], seed)


@examples
@given(seed=seeds)
def test_transposed_convolutions(folder: Path, seed: int) -> None:
    draw = Draw(seed)
    specs = [LayerSpec(Conv2D((1, 1)), draw.size(24)), LayerSpec(draw.transposed(), draw.size(24))]
    specs += [LayerSpec(draw.transposed(), draw.size(9)), LayerSpec(Conv2D((1, 1)), 3)]
    check(folder / "model", (*draw.pair(5, 5), draw.size(3)), specs, narrow(draw, specs), seed)


@examples
@given(seed=seeds)
def test_chains_of_fully_connected_layers(folder: Path, seed: int) -> None:
    draw = Draw(seed)
    specs = [LayerSpec(Dense(), draw.size(90), draw.activation()) for _ in range(3)] + [LayerSpec(Dense(), 3)]
    check(folder / "model", (1, 1, draw.size(500)), specs, narrow(draw, specs), seed)


@examples
@given(seed=seeds)
def test_chains_of_fully_connected_layers_in_float32(folder: Path, seed: int) -> None:
    draw = Draw(seed)
    specs = [LayerSpec(Dense(), draw.size(40), draw.activation()) for _ in range(3)] + [LayerSpec(Dense(), 3)]
    widths = narrow(draw, specs)
    boards = ("qemu:cortex-m4",)
    check(folder / "model", (1, 1, draw.size(99)), specs, widths, seed, boards=boards, element_type=ElementType.FLOAT32)


@pytest.mark.parametrize("loudness", [1.0, LOUD])
@pytest.mark.parametrize(
    ("inputs", "channels"),
    [
        pytest.param(640, (71, 250, 33), id="five parts of the inputs"),
        pytest.param(642, (32, 8, 7), id="inputs after the last group"),
        pytest.param(641, (34, 6), id="odd rows"),
    ],
)
def test_fully_connected_layers_of_every_alignment(
    folder: Path, inputs: int, channels: tuple[int, ...], loudness: float
) -> None:
    specs = [LayerSpec(Dense(), width, "relu6" if width % 2 else "none") for width in (*channels, 3)]
    boards = ("qemu:cortex-m4", "qemu:cortex-m55")
    check(folder / "model", (1, 1, inputs), specs, narrow(Draw(9), specs), 9, loudness, boards)


@pytest.mark.parametrize(
    "specs",
    [
        pytest.param([LayerSpec(Conv2D((10, 4), (2, 2), "same"), 17)], id="many taps of one channel"),
        pytest.param([LayerSpec(Conv2D((1, 1)), 72), LayerSpec(Conv2D((1, 1)), 5)], id="as wide as four positions"),
        pytest.param([LayerSpec(Conv2D((1, 1)), 73), LayerSpec(Conv2D((1, 1)), 5)], id="wider than four positions"),
        pytest.param([LayerSpec(Conv2D((1, 1)), 144), LayerSpec(Conv2D((1, 1)), 5)], id="as wide as two positions"),
        pytest.param([LayerSpec(Conv2D((1, 1)), 148), LayerSpec(Conv2D((1, 1)), 5)], id="wider than two positions"),
        pytest.param(
            [LayerSpec(Conv2D((3, 4), (2, 1), "same"), 8), LayerSpec(Conv2D((3, 3), (1, 2), "same"), 7)],
            id="rows of a group, then runs of two groups",
        ),
        pytest.param([LayerSpec(Conv2D((1, 1)), 7), LayerSpec(Conv2D((3, 3), (1, 1), "same"), 5)], id="63 gathered"),
        pytest.param([LayerSpec(Conv2D((1, 1)), 213), LayerSpec(Conv2D((1, 1)), 7)], id="many parts"),
        pytest.param([LayerSpec(Conv2D((1, 1)), 89)], id="just room for few channels"),
        pytest.param([LayerSpec(Conv2D((1, 1)), 45), LayerSpec(Conv2D((3, 3)), 9)], id="large window"),
        pytest.param([LayerSpec(Conv2D((1, 1)), 64), LayerSpec(Conv2D((1, 1)), 65)], id="a window of 64 and of 65"),
        pytest.param([LayerSpec(Conv2D((1, 1)), 10), LayerSpec(Conv2D((3, 2), (1, 1), "same"), 5)], id="6 padded taps"),
        pytest.param([LayerSpec(Conv2D((1, 1)), 33), LayerSpec(Conv2D((3, 3), (2, 1), "same"), 18)], id="many chunks"),
        pytest.param([LayerSpec(Conv2D((1, 1)), 16), LayerSpec(Conv2D((3, 3), (1, 1), "same"), 35)], id="two parts"),
        pytest.param(
            [LayerSpec(Conv2D((1, 1)), 40), LayerSpec(Conv2D((3, 2), (1, 1), "same", dilation=(1, 2)), 9)],
            id="dilated parts",
        ),
        pytest.param(
            [LayerSpec(Conv2D((1, 1)), 32), LayerSpec(Conv2D((2, 2)), 33), LayerSpec(Conv2D((2, 2)), 6)],
            id="128 and 132 bytes of a window",
        ),
        pytest.param([LayerSpec(Conv2D((1, 1)), 128), LayerSpec(Conv2D((2, 2)), 5)], id="512 bytes of a window"),
        pytest.param(
            [LayerSpec(Conv2D((1, 1)), 129), LayerSpec(Conv2D((2, 2), (1, 1), "same"), 6)],
            id="516 bytes of a window",
        ),
        pytest.param(
            [LayerSpec(Conv2D((1, 1)), 180), LayerSpec(Conv2D((3, 3), (2, 1), "same"), 2)],
            id="rows of a window with more than 512 bytes",
        ),
        pytest.param(
            [LayerSpec(Conv2D((1, 1)), 65), LayerSpec(Conv2D((3, 3), (1, 1), "same", dilation=(1, 2)), 7)],
            id="dilated windows with more than 512 bytes",
        ),
        pytest.param([LayerSpec(Conv2D((1, 1)), 9), LayerSpec(DepthwiseConv2D((5, 5), (1, 1), "same"))], id="5 x 5"),
        pytest.param([LayerSpec(Conv2D((1, 1)), 9), LayerSpec(DepthwiseConv2D((7, 7), (1, 1), "same"))], id="7 x 7"),
    ],
)
@pytest.mark.parametrize("loudness", [1.0, LOUD])
def test_sizes_at_the_limits_of_the_buffers(folder: Path, specs: list[LayerSpec], loudness: float) -> None:
    specs = [*specs, LayerSpec(Conv2D((1, 1)), 3)]
    check(folder / "model", (5, 7, 1), specs, narrow(Draw(3), specs), 3, loudness)


@pytest.mark.parametrize("board", QEMU_BOARDS)
def test_every_board(folder: Path, board: str) -> None:
    specs = [
        LayerSpec(Conv2D((3, 3), (2, 2), "same"), 21),
        LayerSpec(DepthwiseConv2D((3, 3), (1, 1), "same")),
        LayerSpec(Conv2D((1, 1)), 18),
        LayerSpec(Pool2D("max", (2, 2), (2, 2))),
        LayerSpec(Pool2D("average", (2, 2), (2, 2))),
        LayerSpec(Conv2D((2, 2)), 10),
        LayerSpec(Dense(), 7),
    ]
    check(folder / "model", (16, 16, 3), specs, narrow(Draw(7), specs), 7, boards=(board,))


@pytest.mark.parametrize("size", [(1, 1), (1, 2), (3, 1), (2, 2), (1, 7)])
def test_maps_of_few_positions(folder: Path, size: tuple[int, int]) -> None:
    specs = [LayerSpec(Conv2D((1, 1)), 19), LayerSpec(Conv2D((3, 3), (1, 1), "same"), 6), LayerSpec(Conv2D((1, 1)), 3)]
    check(folder / "model", (*size, 5), specs, [[7, 5, 3]], 13)


@pytest.mark.parametrize(
    "spec",
    [
        LayerSpec(Conv2D((1, 1)), 230),
        LayerSpec(Conv2D((3, 3)), 230),
        LayerSpec(Conv2D((2, 3)), 231),
        LayerSpec(DepthwiseConv2D((2, 2)), 230),
        LayerSpec(DepthwiseConv2D((3, 3)), 231),
        LayerSpec(Dense(), 230),
    ],
    ids=["1 x 1", "3 x 3", "2 x 3 of few channels", "depthwise 2 x 2", "depthwise 3 x 3", "fully connected"],
)
def test_every_kind_of_constants(folder: Path, spec: LayerSpec) -> None:
    size = (1, 1, 9) if isinstance(spec.operation, Dense) else (4, 5, 9)
    builder = NetworkBuilder(ElementType.INT8, size, 11)
    channels = 16 if spec.operation == Conv2D((2, 3)) else spec.channels
    first = LayerSpec(Dense() if isinstance(spec.operation, Dense) else Conv2D((1, 1)), channels)
    compare(folder / "model", with_extreme_constants(builder.build([first, spec])), builder.input(SAMPLES))


@pytest.mark.parametrize(
    "convolution",
    [
        DepthwiseConv2D((3, 3), (1, 1), "same"),
        DepthwiseConv2D((3, 3), (2, 1), "same"),
        DepthwiseConv2D((3, 3), (1, 1), "same", dilation=(2, 3)),
        DepthwiseConv2D((2, 15), (1, 2), "same"),
        DepthwiseConv2D((11, 9), (1, 1), "same"),
        DepthwiseConv2D((1, 1), (2, 3)),
    ],
    ids=["3 x 3", "unequal strides", "dilated", "wide window", "window larger than the buffer", "one tap"],
)
def test_depthwise_convolutions_of_large_maps(folder: Path, convolution: DepthwiseConv2D) -> None:
    specs = [LayerSpec(convolution, depth_multiplier=2), LayerSpec(Conv2D((1, 1)), 3)]
    check(folder / "model", (21, 33, 3), specs, [], 7)


@pytest.mark.parametrize(
    "convolution",
    [
        DepthwiseConv2D((3, 3), (1, 1), "same"),
        DepthwiseConv2D((3, 3), (2, 1), "same"),
        DepthwiseConv2D((3, 3), (2, 2), "same"),
        DepthwiseConv2D((5, 3), (1, 2), "same"),
        DepthwiseConv2D((1, 1)),
    ],
    ids=["3 x 3", "unequal strides", "stride 2", "5 x 3", "one tap"],
)
def test_depthwise_convolutions_that_overlap_large_maps(folder: Path, convolution: DepthwiseConv2D) -> None:
    """They are computed tile by tile, and the last group of channels is not full."""
    specs = [LayerSpec(Conv2D((1, 1)), 9), LayerSpec(convolution), LayerSpec(Conv2D((1, 1)), 3)]
    builder = NetworkBuilder(ElementType.INT8, (21, 83, 2), 7)
    compare(folder / "model", builder.build(specs, [[5, 5, 3]]), builder.input(SAMPLES), side="before")


@pytest.mark.parametrize("strides", [(1, 1), (2, 2), (1, 2)])
@pytest.mark.parametrize("size", [(1, 1), (1, 2), (2, 1), (3, 5), (4, 3), (5, 6), (6, 9), (7, 8)])
def test_depthwise_convolutions_of_small_maps(folder: Path, size: tuple[int, int], strides: tuple[int, int]) -> None:
    """Positions are computed 2 x 2, 2 x 4 or 1 x 4 at a time, of which some are not there."""
    specs = [LayerSpec(Conv2D((1, 1)), 7)]
    if min(size) >= 3:
        specs += [LayerSpec(DepthwiseConv2D((3, 3), (1, 1), "same")), LayerSpec(DepthwiseConv2D((3, 3), strides))]
    specs += [LayerSpec(DepthwiseConv2D((3, 3), strides, "same"), activation="relu6"), LayerSpec(Conv2D((1, 1)), 3)]
    check(folder / "model", (*size, 2), specs, narrow(Draw(5), specs), 5, boards=("qemu:cortex-m55",))


@pytest.mark.parametrize("channels", [310, 313])
def test_depthwise_convolutions_of_long_rows(folder: Path, channels: int) -> None:
    """Three rows and an element are as far apart as fits a halfword, or farther."""
    specs = [LayerSpec(Conv2D((1, 1)), channels), LayerSpec(DepthwiseConv2D((3, 3), (1, 1), "same"))]
    specs += [LayerSpec(Conv2D((1, 1)), 3)]
    check(folder / "model", (3, 70, 1), specs, [], 5, boards=("qemu:cortex-m55",))


@pytest.mark.parametrize("side", ["before", "behind"])
@pytest.mark.parametrize("kernel_size", [(1, 1), (3, 3)])
def test_convolutions_that_overlap_and_read_windows_again(
    folder: Path, side: Side, kernel_size: tuple[int, int]
) -> None:
    """What does not fit the buffer is gathered again for every block of output channels."""
    specs = [LayerSpec(Conv2D(kernel_size, (1, 1), "same"), channels) for channels in (81, 131, 79)]
    builder = NetworkBuilder(ElementType.INT8, (5, 9, 2), 3)
    network = builder.build([*specs, LayerSpec(Conv2D((1, 1)), 3)], [[78, 80, 77, 3]])
    compare(folder / "model", network, builder.input(SAMPLES), side=side)


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


@examples
@given(seed=seeds)
def test_grouped_convolutions(folder: Path, seed: int) -> None:
    draw = Draw(seed)
    operation = draw.grouped_convolution()
    channels = operation.groups * draw.size(6)
    specs = [
        LayerSpec(Conv2D((1, 1)), channels),
        LayerSpec(operation, operation.groups * draw.size(6), draw.activation()),
        LayerSpec(Conv2D((1, 1)), 3),
    ]
    height, width = (
        (taps - 1) * dilation + draw.size(5)
        for taps, dilation in zip(operation.kernel_size, operation.dilation, strict=True)
    )
    check(folder / "model", (height, width, 2), specs, [], seed, draw.choice(1.0, LOUD))


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


@pytest.mark.parametrize("channels", [1, 7, 16])
@pytest.mark.parametrize("loudness", [1.0, 16.0])
def test_differences_means_and_products(folder: Path, channels: int, loudness: float) -> None:
    specs = [
        LayerSpec(Conv2D((1, 1)), channels),
        LayerSpec(Conv2D((3, 3), padding="same"), channels, inputs=(INPUT,)),
        LayerSpec(Subtract(), inputs=(0, 1)),
        LayerSpec(Multiply(), activation="relu", inputs=(2, 1)),
        LayerSpec(Mean(), inputs=(2,)),
        LayerSpec(Activation("sigmoid")),
        LayerSpec(Multiply(spread=True), inputs=(3, 5)),
        LayerSpec(Conv2D((1, 1)), 3),
    ]
    narrow_widths = [[width, width, *[0] * 5, 3] for width in (max(1, channels - 3), 1)]
    check(folder / "model", (5, 3, 2), specs, narrow_widths, channels, loudness)
