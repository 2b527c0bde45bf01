"""Cost tables: the fit finds what made the counts, and the table of a core predicts networks it was not fitted to."""

from collections import defaultdict
from itertools import islice
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers
from numpy.typing import NDArray

from reds.calibrating import Counts, Measured, calibrate, fit, measure, measure_fixed, non_negative_least_squares
from reds.calibration_networks import fixed_networks
from reds.compiled import CompiledLayer
from reds.errors import UsageError
from reds.graph import Conv2D
from reds.targets import Target, kind_of, load_target, quantities
from reds.tracing import trace


def test_least_squares_keep_from_zero() -> None:
    generator = np.random.default_rng(0)
    for _ in range(50):
        matrix = generator.random((30, 5))
        truth = np.maximum(generator.normal(size=5), 0)
        np.testing.assert_allclose(non_negative_least_squares(matrix, matrix @ truth), truth, atol=1e-8)
        wanted = generator.normal(size=30)
        found = non_negative_least_squares(matrix, wanted)
        slope = matrix.T @ (wanted - matrix @ found)
        assert found.min() >= 0 and slope.max() <= 1e-6
        np.testing.assert_allclose(slope[found > 0], 0, atol=1e-8)


def test_the_fit_finds_coefficients_lanes_and_the_way_for_short_runs() -> None:
    generator = np.random.default_rng(0)
    operations = []
    for _ in range(600):
        height, width, taps = (int(size) for size in generator.integers(1, [12, 12, 4]))
        shape, kernel = (height, width, 40), (3, taps)
        convolution = Conv2D(kernel, padding="same")
        weights = np.zeros((40, *kernel, 40), np.int8)
        layer = CompiledLayer("conv", convolution, "none", -1, shape, shape, 0, weights)
        inputs, outputs = (int(channels) for channels in generator.integers(1, 40, 2))
        amounts = quantities(layer, inputs, outputs, (4, 2, 1) if inputs > 3 else (1, 1, 1))
        count = 100 + 7 * amounts["outputs"] + (1.5 if inputs > 3 else 9) * amounts["macs"]
        operations.append(Measured(layer, inputs, outputs, round(count)))
    few, many = fit(operations)["conv2d"]
    assert (few.most_run, few.lanes) == (3, (1, 1, 1))
    assert (many.most_run, many.lanes) == (None, (4, 2, 1))
    assert few.coefficients["macs"] == pytest.approx(9, rel=1e-2)
    assert many.coefficients["macs"] == pytest.approx(1.5, rel=1e-2)
    assert max(few.largest_error, many.largest_error) < 0.01


def test_the_table_of_the_cortex_m4_predicts_another_network() -> None:
    stack = [
        layers.Input((14, 11, 1)),
        layers.Conv2D(16, 3, padding="same"),
        layers.DepthwiseConv2D(3, padding="same"),
        layers.Conv2D(24, 1),
        layers.GlobalAveragePooling2D(),
        layers.Dense(5),
    ]
    keras.utils.set_random_seed(0)
    counts = measure("qemu:cortex-m4", trace(keras.Sequential(stack, name="other")), seed=5)
    assert _errors_of_inferences(load_target("cortex-m4"), counts).mean() < 0.05


def test_the_table_of_the_cortex_m4_predicts_a_decoder_with_gates() -> None:
    keras.utils.set_random_seed(0)
    source = layers.Input((5, 4, 4))
    x = layers.Conv2DTranspose(16, 3, 2, padding="same")(source)
    x = layers.PReLU(keras.initializers.Constant(0.1), shared_axes=(1, 2))(x)
    x = layers.Cropping2D(((1, 2), (0, 1)))(layers.UpSampling2D((1, 2))(x))
    gate = layers.GlobalAveragePooling2D(keepdims=True)(x)
    scaled = layers.Multiply()([layers.Multiply()([x, layers.Conv2D(16, 1)(x)]), gate])
    centred = layers.Subtract()([layers.Subtract()([scaled, x]), gate])
    moved = layers.Add()([centred, gate])
    model = keras.Model(source, layers.Conv2D(3, 1)(moved), name="decoder")
    counts = measure("qemu:cortex-m4", trace(model), seed=5)
    target = load_target("cortex-m4")
    assert _errors_of_inferences(target, counts).mean() < 0.05
    assert max(_errors_by_kind(target, counts).values()) < 0.15


def test_the_table_of_the_cortex_m4_predicts_operations_without_weights() -> None:
    target = load_target("cortex-m4")
    of_chains = [measure_fixed("qemu:cortex-m4", network) for network in islice(fixed_networks(seed=7), 3)]
    assert max(_errors_of_inferences(target, counts).max() for counts in of_chains) < 0.05
    together = Counts(tuple(one for counts in of_chains for one in counts.operations), ())
    errors = _errors_by_kind(target, together)
    assert {"mean", "resize", "slice", "transpose", "batch_matmul", "quantize", "dequantize"} <= errors.keys()
    assert max(errors.values()) < 0.15


def _errors_of_inferences(target: Target, counts: Counts) -> NDArray[np.float64]:
    """Relative errors of the operations of each inference together."""
    inferences = len(counts.overheads)
    estimated = np.array([_estimate(target, one) for one in counts.operations]).reshape(inferences, -1)
    measured = np.array([one.instructions for one in counts.operations]).reshape(inferences, -1)
    return np.abs(estimated.sum(axis=1) / measured.sum(axis=1) - 1)


def _errors_by_kind(target: Target, counts: Counts) -> dict[str, float]:
    """Mean relative errors of single operations."""
    errors: dict[str, list[float]] = defaultdict(list)
    for one in counts.operations:
        errors[kind_of(one.layer)].append(abs(_estimate(target, one) / one.instructions - 1))
    return {kind: float(np.mean(of_kind)) for kind, of_kind in errors.items()}


def _estimate(target: Target, one: Measured) -> float:
    return float(target.instructions(one.layer, one.input_channels, one.output_channels))


def test_a_board_that_does_not_count_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="counts instructions"):
        calibrate("x86", tmp_path / "x86.json")
    assert not list(tmp_path.iterdir())
