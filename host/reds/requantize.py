"""Fixed-point numbers of the int8 arithmetic, with TFLite Micro's rounding.

A real factor is written as multiplier * 2**(shift - 31) with a 31-bit multiplier. Multipliers are made once, here, in
double precision from the float32 scales that the emitted and the extracted models carry, so that the device and the
reference agree to the bit.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import DTypeLike, NDArray

from reds.schema import conventions

FRACTION_BITS = 31
INT8_MINIMUM, INT8_MAXIMUM = -128, 127
UINT8_BIAS = 128
"""What a uint8 has more than the int8 that means the same."""

SMALLEST_SCALE = np.finfo(np.float32).tiny
"""The smallest normal float32; below it a scale loses its precision and then becomes zero."""


@dataclass(frozen=True)
class Quantization:
    """Affine quantisation of one tensor: real = scale * (q - zero_point)."""

    scale: np.float32
    zero_point: int

    @classmethod
    def from_range(cls, minimum: float, maximum: float) -> "Quantization":
        """Covers [minimum, maximum] and zero exactly with the 256 values of an int8.

        Args:
            minimum: smallest real value.
            maximum: largest real value.
        """
        low, high = min(minimum, 0.0), max(maximum, 0.0)
        if high == low:
            return cls(np.float32(1.0), 0)
        scale = max(np.float32((high - low) / (INT8_MAXIMUM - INT8_MINIMUM)), SMALLEST_SCALE)
        zero_point = round(INT8_MINIMUM - low / float(scale))
        return cls(scale, int(np.clip(zero_point, INT8_MINIMUM, INT8_MAXIMUM)))

    def quantize(self, real: NDArray[np.float32], dtype: DTypeLike = np.int8) -> NDArray:
        """Rounds real values to the nearest representable ones, integers of a type."""
        q = np.rint(np.asarray(real, np.float64) / float(self.scale)) + self.zero_point
        limits = np.iinfo(np.dtype(dtype))
        return np.clip(q, limits.min, limits.max).astype(dtype)

    def dequantize(self, q: NDArray) -> NDArray[np.float32]:
        """Real values of quantised ones."""
        return (self.scale * (q.astype(np.float32) - self.zero_point)).astype(np.float32)


def as_int8(quantization: Quantization) -> Quantization:
    """What uint8 values of a quantisation mean, for the int8 values that are UINT8_BIAS less."""
    return Quantization(quantization.scale, quantization.zero_point - UINT8_BIAS)


@dataclass(frozen=True)
class Requantization:
    """Factors from accumulators to outputs, one per output channel."""

    multipliers: NDArray[np.int32]
    shifts: NDArray[np.int32]


def quantize_multiplier(factor: float) -> tuple[int, int]:
    """Writes a factor >= 0 as (multiplier, shift) with factor = multiplier * 2**(shift - 31).

    Source: the rounding of TFLite's `QuantizeMultiplier`: half away from zero, underflow to zero.
    """
    if factor == 0.0:
        return 0, 0
    fraction, shift = math.frexp(factor)
    multiplier = math.floor(fraction * (1 << FRACTION_BITS) + 0.5)
    if multiplier == 1 << FRACTION_BITS:
        multiplier //= 2
        shift += 1
    if shift < -FRACTION_BITS:
        return 0, 0
    return multiplier, shift


def requantization(
    input_scale: np.float32,
    weight_scales: NDArray[np.float32],
    output_scale: np.float32,
    fully_connected: bool = False,
) -> Requantization:
    """Multipliers and shifts of a convolution or fully connected operation.

    Args:
        input_scale: scale of the input tensor.
        weight_scales: (output channels,) scales of the weights, or (1,) for all channels.
        output_scale: scale of the output tensor.
        fully_connected: whether the operation is fully connected. TFLite Micro multiplies the two scales of such an
            operation in single precision where its weights have one scale.

    Returns:
        One multiplier and shift per scale of the weights.
    """
    if fully_connected and len(weight_scales) == 1:
        products = (weight_scales * input_scale).astype(np.float64)
    else:
        products = weight_scales.astype(np.float64) * float(input_scale)
    factors = products / float(output_scale)
    pairs = [quantize_multiplier(float(factor)) for factor in factors]
    return Requantization(
        np.array([multiplier for multiplier, _ in pairs], np.int32),
        np.array([shift for _, shift in pairs], np.int32),
    )


def recover_weight_scales(
    input_scale: np.float32, numbers: Requantization, output_scale: np.float32, fully_connected: bool = False
) -> NDArray[np.float32]:
    """The float32 weight scales from which `requantization` made its numbers.

    A multiplier has 31 bits and a float32 scale 24, so the nearest float32, or where the product was rounded one of
    its neighbours, gives the same numbers.

    Raises:
        ValueError: if no float32 scale gives these numbers.
    """
    factors = numbers.multipliers.astype(np.float64) * np.exp2(numbers.shifts.astype(np.float64) - FRACTION_BITS)
    nearest = (factors * float(output_scale) / float(input_scale)).astype(np.float32)
    for scales in (nearest, np.nextafter(nearest, np.float32(0)), np.nextafter(nearest, np.float32(np.inf))):
        again = requantization(input_scale, scales, output_scale, fully_connected)
        if np.array_equal(again.multipliers, numbers.multipliers) and np.array_equal(again.shifts, numbers.shifts):
            return scales
    raise ValueError("no float32 weight scale gives these multipliers")


@dataclass(frozen=True)
class SoftmaxScaling:
    """Fixed-point constants of the int8 softmax (TFLite reference kernel, beta = 1)."""

    multiplier: int
    left_shift: int
    minimum_difference: int


def softmax_scaling(input_scale: np.float32) -> SoftmaxScaling:
    """Constants for an input of the given scale.

    Args:
        input_scale: scale of the softmax's input tensor.
    """
    integer_bits = conventions.SOFTMAX_SCALED_DIFFERENCE_INTEGER_BITS
    fraction_bits = FRACTION_BITS - integer_bits
    factor = min(float(input_scale) * (1 << fraction_bits), (1 << FRACTION_BITS) - 1.0)
    multiplier, left_shift = quantize_multiplier(factor)
    radius = math.floor(((1 << integer_bits) - 1) * 2.0**fraction_bits / 2.0**left_shift)
    return SoftmaxScaling(multiplier, left_shift, -radius)


@dataclass(frozen=True)
class SumScaling:
    """Fixed-point constants of the int8 sum or difference of two tensors (TFLite reference kernel)."""

    left_shift: int
    """Both inputs are shifted left by it, to keep fractions."""
    factors: tuple[tuple[int, int], tuple[int, int], tuple[int, int]]
    """Multiplier and shift of the first input, of the second, and of the output."""


def sum_scaling(
    first_scale: np.float32,
    second_scale: np.float32,
    output_scale: np.float32,
    *,
    left_shift: int = conventions.SUM_LEFT_SHIFT,
) -> SumScaling:
    """Constants that bring two inputs to twice the larger of their scales and their sum or difference to the output's.

    Args:
        first_scale: scale of the first input tensor.
        second_scale: scale of the second.
        output_scale: scale of the output tensor.
        left_shift: by which both are shifted, which leaves int8 values 32 bits.
    """
    common = 2.0 * max(float(first_scale), float(second_scale))
    factors = (
        float(first_scale) / common,
        float(second_scale) / common,
        common / ((1 << left_shift) * float(output_scale)),
    )
    first, second, output = (quantize_multiplier(factor) for factor in factors)
    return SumScaling(left_shift, (first, second, output))


def slope_factors(
    input_scale: np.float32, slope_scale: np.float32, output_scale: np.float32
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Multipliers and shifts of a PReLU: from its input, and from its input times a slope, to the output.

    Args:
        input_scale: scale of the input tensor.
        slope_scale: scale of the slopes.
        output_scale: scale of the output tensor.
    """
    negative = requantization(input_scale, np.array([slope_scale]), output_scale)
    positive = quantize_multiplier(float(input_scale) / float(output_scale))
    return positive, (int(negative.multipliers[0]), int(negative.shifts[0]))


def mean_factor(input_scale: np.float32, output_scale: np.float32, count: int) -> tuple[int, int]:
    """Multiplier and shift from a sum of int8 values to their mean (TFLite reference kernel).

    Args:
        input_scale: scale of the input tensor.
        output_scale: scale of the output tensor.
        count: how many values are summed.
    """
    multiplier, shift = quantize_multiplier(float(input_scale) / float(output_scale))
    bits = min(count.bit_length() - 1, FRACTION_BITS + shift)
    return (multiplier << bits) // count, shift - bits


def product_factor(first_scale: np.float32, second_scale: np.float32, output_scale: np.float32) -> tuple[int, int]:
    """Multiplier and shift from the product of two int8 tensors to the output.

    Args:
        first_scale: scale of the first input tensor.
        second_scale: scale of the second.
        output_scale: scale of the output tensor.
    """
    return quantize_multiplier(float(first_scale) * float(second_scale) / float(output_scale))
