"""The Python binding of libreds."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from reds import runtime as runtime_module
from reds.compiled import (
    CompiledExit,
    CompiledLayer,
    CompiledNetwork,
    CompiledStep,
    CompiledSubnetwork,
    ElementType,
)
from reds.emitting import encode
from reds.errors import UsageError
from reds.graph import INPUT, Dense
from reds.plan import Measurements, TargetCosts
from reds.requantize import Quantization
from reds.runtime import Runtime, SubnetworkInfo

SOURCE = Quantization(np.float32(0.05), -3)
TARGET = Quantization(np.float32(0.25), 4)


def make_model(element_type: ElementType) -> bytes:
    """Two layers; subnetwork 1 has half of the hidden units."""
    is_int8 = element_type is ElementType.INT8
    random = np.random.default_rng(1)
    weights = [random.integers(-127, 128, shape).astype(element_type.dtype) for shape in ((4, 3), (2, 4))]
    layers = tuple(
        CompiledLayer(
            f"dense{i}", Dense(), "none", (i - 1 if i else INPUT,), (1, 1, inputs), (1, 1, outputs), 0, weights[i]
        )
        for i, (inputs, outputs) in enumerate(((3, 4), (4, 2)))
    )

    def step(layer: int, inputs: int, outputs: int) -> CompiledStep:
        sources = ((SOURCE, TARGET)[layer],) if is_int8 else ()
        bias: NDArray = np.zeros(outputs, np.int32 if is_int8 else np.float32)
        scales = np.full(outputs, 0.01, np.float32)
        return CompiledStep(layer, inputs, outputs, sources, TARGET if is_int8 else None, scales, bias)

    subnetworks = tuple(
        CompiledSubnetwork(name, 0, (hidden,), (step(0, 3, hidden), step(1, hidden, 2)))
        for name, hidden in (("full", 4), ("half", 2))
    )
    network = CompiledNetwork("test", element_type, (3,), (2,), layers, (CompiledExit("output", 1),), subnetworks)
    return encode(network, Measurements((0.75, None), (TargetCosts("cortex-m4", True, (900, 500)),)))


@pytest.fixture
def int8() -> Runtime:
    return Runtime(make_model(ElementType.INT8))


@pytest.fixture
def float32() -> Runtime:
    return Runtime(make_model(ElementType.FLOAT32))


def test_subnetworks_are_described(int8: Runtime) -> None:
    full, half = int8.subnetworks
    assert full == SubnetworkInfo(0, "full", "output", 20, 26, full.flash_bytes, full.arena_bytes, 900, 0.75)
    assert (half.name, half.macs, half.parameters, half.instructions) == ("half", 10, 14, 500)
    assert half.accuracy is None
    assert len(int8.arena) == full.arena_bytes


def test_unknown_target_has_no_instructions() -> None:
    runtime = Runtime(make_model(ElementType.INT8), target="cortex-m33")
    assert [info.instructions for info in runtime.subnetworks] == [None, None]


def test_ports(int8: Runtime, float32: Runtime) -> None:
    assert (int8.input.dtype, int8.input.shape) == (np.int8, (3,))
    assert (int8.output.dtype, int8.output.shape) == (np.int8, (2,))
    assert int8.input_quantization == SOURCE
    assert int8.output_quantization == TARGET
    assert (float32.input.dtype, float32.output.shape) == (np.float32, (2,))
    assert float32.input_quantization is None


def test_one_sample_and_a_batch(int8: Runtime) -> None:
    batch = np.random.default_rng(2).integers(-128, 128, (5, 3), np.int8)
    outputs = int8.invoke(batch)
    assert outputs.shape == (5, 2)
    np.testing.assert_array_equal(outputs, [int8.invoke(sample) for sample in batch])
    assert int8.invoke(batch[:0]).shape == (0, 2)


def test_real_values(int8: Runtime) -> None:
    x = np.array([0.5, -1.0, 2.0], np.float32)
    np.testing.assert_allclose(SOURCE.dequantize(int8.quantize(x)), x, atol=0.026)
    np.testing.assert_allclose(int8.dequantize(np.array([4, 8], np.int8)), [0.0, 1.0])


def test_float32_passes_through(float32: Runtime) -> None:
    x = np.ones(3, np.float32)
    assert float32.quantize(x).dtype == np.float32
    np.testing.assert_array_equal(float32.dequantize(float32.invoke(x)), float32.invoke(x))


@pytest.mark.parametrize("x", [np.zeros(3), np.zeros(4, np.int8), np.zeros((2, 2, 3), np.int8)])
def test_wrong_input(int8: Runtime, x: np.ndarray) -> None:
    with pytest.raises(UsageError, match="`x` must"):
        int8.invoke(x)


def test_select_and_budget(int8: Runtime) -> None:
    int8.select(1)
    assert int8.selected == 1
    int8.set_budget(macs=20)
    assert int8.selected == 0
    int8.set_budget(instructions=899)
    assert int8.selected == 1
    with pytest.raises(UsageError, match="no subnetwork fits"):
        int8.set_budget(macs=9)
    with pytest.raises(UsageError, match="`macs` must be"):
        int8.set_budget(macs=0)
    with pytest.raises(UsageError, match="`subnetwork` must be"):
        int8.select(2)
    assert int8.selected == 1


def test_profile(int8: Runtime) -> None:
    x = np.array([1, 2, 3], np.int8)
    expected = int8.invoke(x)
    times = int8.profile(x)
    assert [(time.step, time.layer, time.operation) for time in times] == [
        (0, 0, "FullyConnected"),
        (1, 1, "FullyConnected"),
    ]
    assert all(time.nanoseconds > 0 for time in times)
    np.testing.assert_array_equal(int8.output, expected)
    with pytest.raises(UsageError, match="one inference"):
        int8.profile(x[np.newaxis])


def test_small_arena() -> None:
    model = make_model(ElementType.INT8)
    needs = [info.arena_bytes for info in Runtime(model).subnetworks]
    runtime = Runtime(model, arena_bytes=needs[1])
    assert runtime.selected == (0 if needs[0] == needs[1] else 1)
    with pytest.raises(UsageError, match="arena is too small"):
        Runtime(model, arena_bytes=needs[1] - 1)


def test_bad_files(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Cannot read"):
        Runtime(tmp_path / "absent.tflite")
    with pytest.raises(UsageError, match="not a well-formed TFLite model"):
        Runtime(b"not a model")
    damaged = bytearray(make_model(ElementType.INT8))
    damaged[-20] ^= 1
    with pytest.raises(UsageError, match="was changed"):
        Runtime(bytes(damaged))


def test_missing_library(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"libreds is not built; run ./bootstrap"):
        runtime_module.load_library(tmp_path / "libreds.so")
