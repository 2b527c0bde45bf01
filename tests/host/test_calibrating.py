"""Cost tables: the fit finds what made the counts, and the table of a core predicts networks it was not fitted to."""

from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

from reds.calibrating import Measured, calibrate, fit, measure, non_negative_least_squares
from reds.compiled import CompiledLayer
from reds.errors import UsageError
from reds.graph import Conv2D
from reds.targets import Target, load_target, quantities
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
    target = load_target("cortex-m4")
    estimated = np.array([_estimate(target, one) for one in counts.operations])
    measured = np.array([one.instructions for one in counts.operations])
    whole = (estimated.reshape(-1, 5).sum(axis=1), measured.reshape(-1, 5).sum(axis=1))
    assert np.abs(whole[0] / whole[1] - 1).mean() < 0.05


def _estimate(target: Target, one: Measured) -> float:
    return float(target.instructions(one.layer, one.input_channels, one.output_channels))


def test_a_board_that_does_not_count_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="counts instructions"):
        calibrate("x86", tmp_path / "x86.json")
    assert not list(tmp_path.iterdir())
