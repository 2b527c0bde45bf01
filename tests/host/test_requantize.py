"""Fixed-point numbers against exact rational arithmetic, and back to the scales that they were made of."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from reds.requantize import (
    Quantization,
    quantize_multiplier,
    recover_weight_scales,
    requantization,
    softmax_scaling,
)

FACTORS = st.floats(2.0**-31, 2.0**30, allow_nan=False)
SCALES = st.floats(np.float32(1e-6), np.float32(100.0), width=32)
exhaustive = settings(derandomize=True, deadline=None, max_examples=400)


@exhaustive
@given(FACTORS)
def test_a_multiplier_is_the_nearest_with_31_bits(factor: float) -> None:
    multiplier, shift = quantize_multiplier(factor)
    assert 2**30 <= multiplier < 2**31
    unit = Fraction(2) ** (shift - 31)
    assert abs(multiplier * unit - Fraction(factor)) <= unit / 2


@pytest.mark.parametrize(
    ("factor", "expected"),
    [
        (0.0, (0, 0)),
        (1.0, (2**30, 1)),
        (0.5, (2**30, 0)),
        (1 - 2.0**-40, (2**30, 1)),
        (2.0**-31, (2**30, -30)),
        (2.0**-32, (2**30, -31)),
        (2.0**-33, (0, 0)),
    ],
)
def test_multipliers_at_the_edges(factor: float, expected: tuple[int, int]) -> None:
    assert quantize_multiplier(factor) == expected


@exhaustive
@given(SCALES, SCALES, st.lists(SCALES, min_size=1, max_size=6), st.booleans())
def test_weight_scales_come_back(
    input_scale: float, output_scale: float, weight_scales: list[float], fully_connected: bool
) -> None:
    source, target = np.float32(input_scale), np.float32(output_scale)
    assume(min(weight_scales) * input_scale / output_scale > 2.0**-31)
    numbers = requantization(source, np.array(weight_scales, np.float32), target, fully_connected)
    again = recover_weight_scales(source, numbers, target, fully_connected)
    assert again.dtype == np.float32
    repeated = requantization(source, again, target, fully_connected)
    np.testing.assert_array_equal(repeated.multipliers, numbers.multipliers)
    np.testing.assert_array_equal(repeated.shifts, numbers.shifts)
    np.testing.assert_allclose(again, np.array(weight_scales, np.float32), rtol=3e-7)


def test_numbers_that_no_scale_gives() -> None:
    numbers = requantization(np.float32(1), np.array([0.3], np.float32), np.float32(1))
    numbers.multipliers[0] += 1
    with pytest.raises(ValueError, match="no float32"):
        recover_weight_scales(np.float32(1), numbers, np.float32(1))


@exhaustive
@given(
    st.floats(-(2.0**100), 2.0**100, width=32),
    st.floats(-(2.0**100), 2.0**100, width=32),
    st.lists(st.floats(0, 1), min_size=1, max_size=5),
)
def test_a_range_is_covered_to_half_a_step_and_zero_exactly(a: float, b: float, places: list[float]) -> None:
    low, high = min(a, b), max(a, b)
    quantization = Quantization.from_range(low, high)
    assert quantization.dequantize(quantization.quantize(np.zeros(1, np.float32)))[0] == 0
    inside = np.array([low + (high - low) * place for place in places])
    found = quantization.dequantize(quantization.quantize(inside)).astype(np.float64)
    # Rounding the zero point moves the range's ends by up to half a step more.
    assert np.all(np.abs(found - inside) <= 1.01 * float(quantization.scale))


@exhaustive
@given(st.floats(2.0**-20, 64.0, width=32))
def test_softmax_constants_fit_the_kernel(scale: float) -> None:
    scaling = softmax_scaling(np.float32(scale))
    assert 0 < scaling.multiplier < 2**31
    assert scaling.left_shift >= 0
    assert scaling.minimum_difference <= 0
    difference = -scaling.minimum_difference
    assert difference * scaling.multiplier * 2.0 ** (scaling.left_shift - 31) < 2**31
