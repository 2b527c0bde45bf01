"""Proves a file: libreds, the extracted models, stock interpreters and emulated boards give the same answers."""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from reds import int16
from reds.compiled import CompiledLayer, CompiledNetwork, CompiledStep, ElementType
from reds.emitting import extract
from reds.errors import VerificationError
from reds.graph import (
    INPUT,
    Activation,
    Add,
    BatchMatMul,
    Dense,
    DepthwiseConv2D,
    Dequantize,
    MapDense,
    Multiply,
    PRelu,
    Quantize,
    Subtract,
)
from reds.inspecting import ModelReport, inspect
from reds.lookup import SIGMOID_OUTPUT, TABLED, TANH_OUTPUT, lookup_table
from reds.model_file import decode, read_model_file
from reds.reference import run_litert, run_tflite_micro
from reds.requantize import INT8_MAXIMUM, INT8_MINIMUM, Quantization
from reds.runtime import Runtime, inference_shape
from reds.schema import conventions
from reds_bench.batch import run_batch
from reds_bench.client import Bench
from reds_bench.emulator import boot

FLOAT_TOLERANCE = 1e-5
"""Largest difference of float32 outputs, relative to the largest magnitude of the output."""

ROUNDED = 1 + 2.0**-7
"""By what factor a whole number of units may seem larger between dequantised outputs, which float32 rounds."""

FLOAT_TABLE_ERROR = 1e-3
"""Units by which a sigmoid or tanh in float32 may miss its exact value; 256 units have 16 bits behind the point."""

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Check:
    """One comparison."""

    proof: int
    """Number of the proof in docs/design.md."""
    what: str
    subnetwork: str
    samples: int
    passed: bool
    detail: str
    """The largest difference, or what was compared."""


@dataclass(frozen=True)
class VerificationReport:
    """Every comparison that was made."""

    model: str
    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        """Whether every comparison held."""
        return all(check.passed for check in self.checks)

    def as_dict(self) -> dict:
        """For JSON."""
        return {"passed": self.passed, **asdict(self)}

    def require(self) -> None:
        """Raises VerificationError with the first comparison that failed."""
        for check in self.checks:
            if not check.passed:
                raise VerificationError(
                    f"'{self.model}', subnetwork {check.subnetwork}: {check.what} failed ({check.detail})."
                )


def random_inputs(source: Path | str | bytes, samples: int, seed: int = 0) -> NDArray:
    """Inputs in the type of a model's input: all integers alike, or normally distributed floats.

    Args:
        source: path or bytes of a file that `emit` wrote.
        samples: of how many inferences.
        seed: of the generator.
    """
    report = inspect(source)
    generator = np.random.default_rng(seed)
    shape = (samples, *inference_shape(report.input_shape))
    if report.input_type != "float32":
        limits = np.iinfo(report.input_type)
        return generator.integers(limits.min, limits.max + 1, shape, report.input_type)
    return generator.standard_normal(shape, np.float32)


def verify(
    path: Path | str,
    inputs: NDArray,
    boards: Sequence[str] = (),
    board_samples: int | None = None,
    progress: Progress = lambda _: None,
) -> VerificationReport:
    """Compares what every implementation makes of the same inputs.

    Proof 2: each subnetwork in libreds equals the extracted model in the real TFLite Micro. Proof 3: the full network
    in libreds equals subgraph 0 of the file in TFLite Micro and LiteRT. Proof 4: each board equals libreds on this
    machine. Proof 5: each subnetwork writes up to the last byte of the arena that it reports and nothing outside.

    Args:
        path: a file that `emit` wrote.
        inputs: (samples, *input shape) in the model's own type; if its batch is above 1 the input shape has it.
        boards: names of boards for proof 4, such as "qemu:cortex-m4".
        board_samples: samples of `inputs` to run on each board; all by default.
        progress: called with a line before each step.

    Returns:
        The comparisons, failed ones included.

    Raises:
        UsageError: if the file is foreign or damaged.
    """
    report = inspect(path)
    content = read_model_file(Path(path)).content
    network = decode(read_model_file(content))
    outputs = _libreds_outputs(content, report, inputs)
    checks: list[Check] = []
    for subnetwork in report.subnetworks:
        progress(f"subnetwork {subnetwork.name}: the extracted model in TFLite Micro")
        expected = run_tflite_micro(extract(content, subnetwork.id), inputs)
        what, unit = "libreds = extracted model in TFLite Micro", _unit(network, subnetwork.id)
        checks.append(_compare(2, what, subnetwork.name, outputs[subnetwork.id], expected, unit))
    progress("the file in TFLite Micro and LiteRT")
    full, unit, units = report.subnetworks[0].name, _unit(network, 0), _litert_units(network)
    in_micro, in_litert = run_tflite_micro(content, inputs), run_litert(content, inputs)
    checks.append(_compare(3, "libreds = file in TFLite Micro", full, outputs[0], in_micro, unit))
    checks.append(_compare(3, "libreds = file in LiteRT", full, outputs[0], in_litert, unit, units))
    for board in boards:
        checks += _board_checks(Path(path), report, network, board, inputs[:board_samples], outputs, progress)
    progress("arenas")
    checks += [_arena_check(content, report, index, inputs) for index in range(len(report.subnetworks))]
    return VerificationReport(str(path), tuple(checks))


def _unit(network: CompiledNetwork, subnetwork: int) -> float | None:
    """What its outputs differ by at least, where they differ; None for float32 networks, which round."""
    if network.element_type is ElementType.FLOAT32:
        return None
    last = network.subnetworks[subnetwork].steps[-1]
    if network.output_dtype == np.float32:
        assert last.input_quantization is not None
        return float(last.input_quantization.scale)
    return 1.0


def _litert_units(network: CompiledNetwork) -> int:
    """Units by which LiteRT's quantised output may differ from TFLite Micro's.

    LiteRT's fully connected kernel rounds once, TFLite Micro's twice, so its output may be one unit off; so may that of
    an int16 softmax. LiteRT makes the factors of a difference in double precision, and computes sigmoid and tanh in
    floating point; every other operation is equal on equal inputs. From there on each layer passes differences on, see
    `_units_passed_on`.
    """
    if network.element_type is ElementType.FLOAT32:
        return 0
    units = {INPUT: 0}
    for step in network.subnetworks[0].steps:
        layer = network.layers[step.layer]
        units[step.layer] = _units_after(layer, step, [units[source] for source in layer.inputs], network.element_type)
    return units[network.subnetworks[0].steps[-1].layer]


def _units_after(layer: CompiledLayer, step: CompiledStep, units: Sequence[int], element_type: ElementType) -> int:
    """Units by which an operation's outputs may differ for the given differences of its inputs."""
    if isinstance(layer.operation, Quantize | Dequantize):
        return units[0]
    if isinstance(layer.operation, Activation) and layer.operation.function in TABLED:
        assert step.input_quantization is not None and step.output_quantization is not None
        return largest_table_difference(layer.operation, step.input_quantization, step.output_quantization, units[0])
    is_int16 = element_type is ElementType.INT16
    left_shift = conventions.SUM_LEFT_SHIFT_INT16 if is_int16 else conventions.SUM_LEFT_SHIFT
    passed_on = _units_passed_on(layer, step, units, left_shift)
    rounds_differently = (
        isinstance(layer.operation, Dense | MapDense) or step.output_quantization == int16.SOFTMAX_OUTPUT
    )
    rounding = 1 if any(units) or rounds_differently else 0
    limits = np.iinfo(element_type.dtype)
    return min(math.ceil(passed_on) + rounding, limits.max - limits.min)


def _units_passed_on(layer: CompiledLayer, step: CompiledStep, units: Sequence[int], left_shift: int) -> float:
    """Largest difference of an output, in its units and before it is rounded, for the given ones of the inputs.

    A weighted layer multiplies it by at most the largest sum of the magnitudes of an output's weights, a softmax by
    half; a ReLU by the ratio of its scales, and what keeps its input's quantisation passes the largest one on. A sum or
    a difference adds the differences, and rounds each input twice before, which in its fixed point can move either by
    up to two. A product multiplies the difference of each input by the largest magnitude of the other; one of matrices
    sums such products.
    """
    assert step.output_quantization is not None
    output_scale = float(step.output_quantization.scale)
    quantizations = layer.operand_quantizations(step.input_quantizations)
    scales = [float(quantization.scale) for quantization in quantizations]
    units = [*units, *[0] * (len(scales) - len(units))]  # constants are the same
    if layer.is_softmax:
        return units[0] * scales[0] / output_scale / 2
    if step.bias is not None:
        return units[0] * scales[0] / output_scale * _largest_weight_sum(layer, step)
    if isinstance(layer.operation, Add | Subtract):
        fixed_point = 2 * max(scales) / (1 << left_shift)
        return (
            sum(unit * scale + 2 * fixed_point if unit else 0.0 for unit, scale in zip(units, scales, strict=True))
            / output_scale
        )
    if isinstance(layer.operation, PRelu):
        assert step.weight_scales is not None
        slopes = np.abs(layer.sliced_weights(step.input_channels, step.output_channels).astype(np.float64))
        return units[0] * scales[0] / output_scale * max(1.0, float(slopes.max() * step.weight_scales[0]))
    if isinstance(layer.operation, Multiply | BatchMatMul):
        first, second = map(_largest_magnitude, quantizations)
        products = layer.operation.depth(layer.input_shape) if isinstance(layer.operation, BatchMatMul) else 1
        difference = units[0] * second + units[1] * first + units[0] * units[1]
        return products * difference * scales[0] * scales[1] / output_scale
    return max(units) * scales[0] / output_scale


def _largest_magnitude(quantization: Quantization) -> int:
    """Largest distance of an int8 value from the zero point."""
    return max(quantization.zero_point - INT8_MINIMUM, INT8_MAXIMUM - quantization.zero_point)


def largest_table_difference(activation: Activation, source: Quantization, target: Quantization, units: int) -> int:
    """The largest difference of TFLite Micro's and LiteRT's outputs for inputs that differ by up to `units`.

    Args:
        activation: a function of one value.
        source: quantisation of its input.
        target: quantisation of its output.
        units: largest difference of the inputs.

    Returns:
        The difference in units of the output.
    """
    ours = np.roll(lookup_table(activation, source, target), -INT8_MINIMUM).astype(np.int64)
    lowest, highest = _litert_table(activation, source, ours)
    shifts = range(min(units, len(ours) - 1) + 1)
    return max(
        int(np.abs(mine - theirs).max())
        for table in (lowest, highest)
        for shift in shifts
        for mine, theirs in ((ours[shift:], table[: len(table) - shift]), (ours[: len(ours) - shift], table[shift:]))
    )


def _litert_table(activation: Activation, source: Quantization, ours: NDArray) -> tuple[NDArray, NDArray]:
    """The least and the largest outputs that LiteRT may have for each input from -128 on."""
    x = float(source.scale) * (np.arange(INT8_MINIMUM, INT8_MAXIMUM + 1) - source.zero_point)
    tanh = np.tanh(x if activation.function == "tanh" else x / 2)
    match activation.function:
        case "sigmoid":
            exact = (tanh + 1) / 2 / float(SIGMOID_OUTPUT.scale) + SIGMOID_OUTPUT.zero_point
        case "tanh":
            exact = tanh / float(TANH_OUTPUT.scale) + TANH_OUTPUT.zero_point
        case _:
            return ours, ours
    least, largest = (np.rint(exact + error) for error in (-FLOAT_TABLE_ERROR, FLOAT_TABLE_ERROR))
    return np.clip(least, INT8_MINIMUM, INT8_MAXIMUM), np.clip(largest, INT8_MINIMUM, INT8_MAXIMUM)


def _largest_weight_sum(layer: CompiledLayer, step: CompiledStep) -> float:
    """The largest sum of the magnitudes of the real weights of one output."""
    assert step.weight_scales is not None
    weights = np.abs(layer.sliced_weights(step.input_channels, step.output_channels).astype(np.float64))
    axes = (0, 1, 2) if isinstance(layer.operation, DepthwiseConv2D) else tuple(range(1, weights.ndim))
    return float((weights.sum(axis=axes) * step.weight_scales).max())


def _libreds_outputs(content: bytes, report: ModelReport, inputs: NDArray) -> list[NDArray]:
    runtime = Runtime(content)
    outputs = []
    for subnetwork in report.subnetworks:
        runtime.select(subnetwork.id)
        outputs.append(runtime.invoke(inputs))
    return outputs


def _compare(
    proof: int,
    what: str,
    subnetwork: str,
    actual: NDArray,
    expected: NDArray,
    unit: float | None,
    units: int = 0,
) -> Check:
    """Compares outputs: within so many units of a quantised network, within FLOAT_TOLERANCE of one in float32."""
    actual, expected = (output.reshape(len(output), -1).astype(np.float64) for output in (actual, expected))
    difference = float(np.abs(actual - expected).max())
    if unit is not None:
        detail = f"largest difference {difference / unit:.3g} units, {units} allowed"
        return Check(proof, what, subnetwork, len(actual), difference <= units * unit * ROUNDED, detail)
    relative = difference / max(float(np.abs(expected).max()), float(np.finfo(np.float32).tiny))
    detail = f"largest relative difference {relative:.1e}, {FLOAT_TOLERANCE:.0e} allowed"
    return Check(proof, what, subnetwork, len(actual), relative <= FLOAT_TOLERANCE, detail)


def _board_checks(
    path: Path,
    report: ModelReport,
    network: CompiledNetwork,
    board: str,
    inputs: NDArray,
    outputs: list[NDArray],
    progress: Progress,
) -> list[Check]:
    checks = []
    with boot(board, path) as url, Bench(url) as bench:
        for subnetwork in report.subnetworks:
            progress(f"subnetwork {subnetwork.name} on {board}")
            result = run_batch(bench, subnetwork.id, inputs, report.output_type)
            expected = outputs[subnetwork.id][: len(inputs)]
            unit = _unit(network, subnetwork.id)
            checks.append(_compare(4, f"libreds = {board}", subnetwork.name, result.outputs, expected, unit))
    return checks


def _arena_check(content: bytes, report: ModelReport, index: int, inputs: NDArray) -> Check:
    """Runs in an arena of just the reported size over two fill patterns; what is the same after both was written."""
    subnetwork = report.subnetworks[index]
    runtime = Runtime(content, arena_bytes=subnetwork.arena_bytes)
    runtime.select(index)
    images = []
    for fill in (0x00, 0xFF):
        runtime.arena[:] = fill
        runtime.invoke(inputs[0])
        images.append(runtime.arena.copy())
    used = int(np.flatnonzero(images[0] == images[1]).max()) + 1
    passed = runtime.guards_intact and used == subnetwork.arena_bytes
    guards = "intact" if runtime.guards_intact else "overwritten"
    detail = f"{used} of {subnetwork.arena_bytes} bytes used, guard words {guards}"
    return Check(5, "reported arena = used arena", subnetwork.name, 1, passed, detail)
