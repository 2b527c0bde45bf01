"""Tables of int8 activation functions: what TFLite Micro's reference kernels make of each of the 256 inputs.

An int8 function of one value has 256 answers, so the host computes them all, in the integer arithmetic that TFLite
Micro has for the function, and the device only looks them up. A number "in Qn" is a 32-bit word with n integer bits
besides the sign.
"""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from reds.graph import Activation
from reds.requantize import FRACTION_BITS, INT8_MAXIMUM, INT8_MINIMUM, Quantization, quantize_multiplier

Words = NDArray[np.int64]
"""16-bit or 32-bit integers, with room for their products."""

TABLED = ("leaky_relu", "sigmoid", "tanh", "hard_swish")
"""The activation functions that int8 networks look up."""

LARGEST_GAINS = {"leaky_relu": np.float32(2.0**20), "hard_swish": np.float32(2.0**6)}
"""Input scale by output scale that TFLite Micro's fixed point allows: below 2**22 and below 2**7."""

SIGMOID_OUTPUT = Quantization(np.float32(1 / 256), -128)
TANH_OUTPUT = Quantization(np.float32(1 / 128), 0)
"""The quantisations that TFLite fixes for the outputs."""

_INPUT_INTEGER_BITS = 4
"""Of the inputs of sigmoid and tanh, which are saturated beyond 15."""

_INT16_MINIMUM, _INT16_MAXIMUM = -(1 << 15), (1 << 15) - 1
_INT32_MINIMUM, _INT32_MAXIMUM = -(1 << 31), (1 << 31) - 1


def lookup_table(activation: Activation, source: Quantization, target: Quantization) -> NDArray[np.int8]:
    """The outputs of an activation function for all inputs, bit-exact with TFLite Micro's reference kernel.

    Args:
        activation: one of `TABLED`, or relu.
        source: quantisation of the input.
        target: quantisation of the output.

    Returns:
        (256,) outputs. That of input q is at q modulo 256: the input's byte is its index.

    Raises:
        ValueError: if the function is another.
    """
    differences = np.arange(INT8_MINIMUM, INT8_MAXIMUM + 1) - source.zero_point
    match activation.function:
        case "relu":
            outputs = np.maximum(_requantize(differences, float(source.scale) / float(target.scale)), 0)
            outputs += target.zero_point
        case "leaky_relu":
            outputs = _leaky_relu(differences, float(np.float32(activation.slope)), float(source.scale), target)
        case "sigmoid":
            outputs = _saturated(differences, source.scale, _sigmoid_outputs)
        case "tanh":
            outputs = _saturated(differences, source.scale, _tanh_outputs)
        case "hard_swish":
            outputs = _hard_swish(differences, source.scale, target)
        case _:
            raise ValueError(
                f"`activation` must be relu or one of {', '.join(TABLED)}. Received: {activation.function}"
            )
    table = np.clip(outputs, INT8_MINIMUM, INT8_MAXIMUM).astype(np.int8)
    return np.roll(table, INT8_MINIMUM)


def requantization_table(source: Quantization, target: Quantization) -> NDArray[np.int8]:
    """The same values in another quantisation, for all inputs, bit-exact with TFLite Micro's reference kernel.

    Args:
        source: quantisation of the input.
        target: quantisation of the output.

    Returns:
        (256,) outputs in the order of `lookup_table`.
    """
    differences = np.arange(INT8_MINIMUM, INT8_MAXIMUM + 1) - source.zero_point
    outputs = _requantize(differences, float(source.scale) / float(target.scale)) + target.zero_point
    return np.roll(np.clip(outputs, INT8_MINIMUM, INT8_MAXIMUM).astype(np.int8), INT8_MINIMUM)


# LeakyReLU


def _leaky_relu(differences: Words, slope: float, scale: float, target: Quantization) -> Words:
    """One factor for what is negative and one for the rest."""
    rest = _requantize(differences, scale / float(target.scale))
    negative = _requantize(differences, scale * slope / float(target.scale))
    return np.where(differences < 0, negative, rest) + target.zero_point


# Sigmoid and tanh, in Q0 from inputs in Q4


def _saturated(differences: Words, scale: np.float32, outputs: Callable[[Words], Words]) -> Words:
    fraction_bits = FRACTION_BITS - _INPUT_INTEGER_BITS
    factor = float(scale) * (1 << fraction_bits)
    exponent = math.frexp(factor)[1]
    radius = math.floor(((1 << _INPUT_INTEGER_BITS) - 1) * 2.0 ** (fraction_bits - exponent))
    inside = outputs(_requantize(np.where(np.abs(differences) < radius, differences, 0), factor))
    return np.where(differences <= -radius, INT8_MINIMUM, np.where(differences >= radius, INT8_MAXIMUM, inside))


def _sigmoid_outputs(value: Words) -> Words:
    """1 / (1 + e**-x) from e**-|x|, whose sum with one has a reciprocal that Newton's iteration finds."""
    of_magnitude = _shift_left_saturated(_half_reciprocal_of_half(_exp(-np.abs(value), _INPUT_INTEGER_BITS)), 1)
    sigmoid = np.where(value > 0, of_magnitude, _INT32_MAXIMUM - of_magnitude)
    sigmoid = np.where(value == 0, 1 << (FRACTION_BITS - 1), sigmoid)
    return _divide_by_power_of_two(sigmoid, FRACTION_BITS - 8) + SIGMOID_OUTPUT.zero_point


def _tanh_outputs(value: Words) -> Words:
    """(1 - y) / (1 + y) = 2 / (1 + y) - 1 with y = e**(-2 |x|); twice a word in Q4 is the same word in Q5."""
    one = 1 << (FRACTION_BITS - 2)
    reciprocal = _half_reciprocal_of_half(_exp(-np.abs(value), _INPUT_INTEGER_BITS + 1))
    of_magnitude = _shift_left_saturated(reciprocal - one, 2)
    return _divide_by_power_of_two(np.sign(value) * of_magnitude, FRACTION_BITS - 7)


def _exp(value: Words, integer_bits: int) -> Words:
    """e**x in Q0 of x <= 0 in Qn: by a polynomial up to the next quarter below, times a constant per bit of those."""
    fraction_bits = FRACTION_BITS - integer_bits
    quarter = 1 << (fraction_bits - 2)
    small = (value & (quarter - 1)) - quarter
    quarters = (small - value) >> (fraction_bits - 2)
    result = _exp_of_small(small << integer_bits)
    for bit in range(integer_bits + 2):
        factor = round(math.exp(-(2.0**bit) / 4) * (1 << FRACTION_BITS))
        result = np.where(quarters >> bit & 1, _multiply_high(result, factor), result)
    return np.where(value == 0, _INT32_MAXIMUM, result)


def _exp_of_small(value: Words) -> Words:
    """e**x of x in [-1/4, 0) in Q0, by its Taylor series around -1/8."""
    constant = round(math.exp(-1 / 8) * (1 << FRACTION_BITS))
    third = round((1 << FRACTION_BITS) / 3)
    x = value + (1 << (FRACTION_BITS - 3))
    x2 = _multiply_high(x, x)
    x4_over_4 = _divide_by_power_of_two(_multiply_high(x2, x2), 2)
    higher = _divide_by_power_of_two(_multiply_high(x4_over_4 + _multiply_high(x2, x), third) + x2, 1)
    return constant + _multiply_high(x + higher, constant)


def _half_reciprocal_of_half(value: Words) -> Words:
    """2 / (1 + y) in Q2 of y in [0, 1] in Q0: three of Newton's iterations from 48/17 - 32/17 (1 + y) / 2."""
    one = 1 << (FRACTION_BITS - 2)
    half_denominator = (value + _INT32_MAXIMUM + 1) >> 1
    x = round(48 / 17 * one) + _multiply_high(half_denominator, round(-32 / 17 * one))
    for _ in range(3):
        error = one - _multiply_high(half_denominator, x)
        x = x + _shift_left_saturated(_multiply_high(x, error), 2)
    return x


# Hard swish, in 16-bit words


def _hard_swish(differences: Words, scale: np.float32, target: Quantization) -> Words:
    """x * relu6(x + 3) / 6 with x on a scale 128 times finer than the input's, as far as 16 bits go."""
    fine_bits = 7
    fine_scale = scale * np.float32(2.0**-fine_bits)
    fine = differences << fine_bits
    multiplier, exponent = _int16_multiplier(float(fine_scale) / float(target.scale))
    product = _multiply_high_int16(fine, multiplier)
    output = _multiply_high_truncated(_gate(fine, fine_scale), product)
    return _divide_int16_by_power_of_two(output, -exponent) + target.zero_point


def _gate(fine: Words, fine_scale: np.float32) -> Words:
    """relu6(x + 3) / 6 on a scale of 1 / 32768."""
    multiplier, exponent = _int16_multiplier(float(fine_scale) / float(np.float32(3 / 32768)))
    gate = fine
    if exponent > 0:
        gate = _clip_int16(gate << (exponent - 1))
    gate = _multiply_high_int16(gate, multiplier)
    gate = _clip_int16(gate << 1) if exponent > 0 else _divide_int16_by_power_of_two(gate, -exponent)
    return (gate + (1 << 15)) >> 1


def _int16_multiplier(factor: float) -> tuple[int, int]:
    """Writes a factor as (multiplier, exponent) with factor = multiplier * 2**(exponent - 15)."""
    multiplier, exponent = quantize_multiplier(factor)
    return min((multiplier + (1 << 15)) >> 16, _INT16_MAXIMUM), exponent


def _multiply_high_int16(a: Words, b: int) -> Words:
    """round(a * b / 2**15), half up."""
    return (a * b + (1 << 14)) >> 15


def _multiply_high_truncated(a: Words, b: Words) -> Words:
    """a * b / 2**15, rounded towards zero."""
    product = a * b
    return np.sign(product) * (np.abs(product) >> 15)


def _divide_int16_by_power_of_two(value: Words, exponent: int) -> Words:
    """As for 32 bits, except that from 16 on TFLite Micro's mask of the fraction is -1 and rounds 0 up to 1."""
    if exponent < 16:
        return _divide_by_power_of_two(value, exponent)
    return np.where(value < 0, -1, 1)


def _clip_int16(value: Words) -> Words:
    return np.clip(value, _INT16_MINIMUM, _INT16_MAXIMUM)


# 32-bit words


def _requantize(value: Words, factor: float) -> Words:
    """value * factor, rounded after the product and after the shift to the right."""
    multiplier, shift = quantize_multiplier(factor)
    return _divide_by_power_of_two(_multiply_high(value << max(shift, 0), multiplier), max(-shift, 0))


def _multiply_high(a: Words, b: Words | int) -> Words:
    """round(a * b / 2**31), half up."""
    return (a * b + (1 << (FRACTION_BITS - 1))) >> FRACTION_BITS


def _divide_by_power_of_two(value: Words, exponent: int) -> Words:
    """round(value / 2**exponent), half away from zero."""
    mask = (1 << exponent) - 1
    return (value >> exponent) + ((value & mask) > (mask >> 1) + (value < 0))


def _shift_left_saturated(value: Words, exponent: int) -> Words:
    return np.clip(value << exponent, _INT32_MINIMUM, _INT32_MAXIMUM)
