"""Constants of operations on int16 activations with int8 weights, as TFLite Micro's reference kernels have them.

Each block but that of a sum begins with the range of the outputs; docs/format.md describes them.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reds.requantize import Quantization, Requantization, quantize_multiplier
from reds.schema import conventions

INT16_MINIMUM, INT16_MAXIMUM = -(1 << 15), (1 << 15) - 1

SOFTMAX_OUTPUT = Quantization(np.float32(1 / 32768), 0)
"""The quantisation that TFLite fixes for the output of a softmax."""

LARGEST_WIDE_SHIFT = 7
"""Of a requantisation of 64-bit sums."""
LARGEST_RESCALING_SHIFT = 15
"""Of an int16 value or a difference of two, so that what is shifted has 32 bits."""
LARGEST_HIGH_BIAS = (1 << 14) - 1
"""Of the high word of a bias, so that 64-bit sums have 47 bits."""

_SOFTMAX_REACH = 10.0
"""e**-10 is taken for nothing."""
_UNITS = INT16_MAXIMUM - INT16_MINIMUM


def range_word(minimum: int, maximum: int) -> NDArray[np.int16]:
    """The smallest and the largest output."""
    return np.array([minimum, maximum], np.int16)


def channel_constants(
    outputs: NDArray[np.int16], bias: NDArray[np.int32] | NDArray[np.int64], numbers: Requantization
) -> list[NDArray]:
    """Constants of a convolution or fully connected operation.

    Args:
        outputs: the range of the outputs.
        bias: per channel; with 64 bits where sums have 64.
        numbers: one multiplier and shift per channel, or one for all.
    """
    is_wide = bias.dtype == np.int64
    words = [bias.astype(np.int64) & 0xFFFFFFFF] + ([bias >> 32] if is_wide else [])
    multipliers = np.broadcast_to(numbers.multipliers, bias.shape)
    shifts = np.broadcast_to(numbers.shifts.astype(np.int8), bias.shape)
    return [outputs, np.array([is_wide], np.uint32), *(word.astype(np.uint32) for word in words), multipliers, shifts]


def softmax_factor(input_scale: np.float32) -> tuple[int, int]:
    """Multiplier and shift from differences of inputs to places in the table of exponentials."""
    return quantize_multiplier(float(input_scale) / (_SOFTMAX_REACH / _UNITS))


def softmax_tables() -> list[NDArray[np.int16]]:
    """e**x from -10 to 0, and 1 / (1 + x) from 0 to 1."""
    exponentials = _table(np.float32(_SOFTMAX_REACH), INT16_MAXIMUM, np.exp)
    reciprocals = _table(np.float32(1), INT16_MINIMUM, lambda x: np.float32(1) / (np.float32(1) + x))
    return [exponentials, reciprocals]


def _table(reach: np.float32, zero_point: int, function: Callable[[Any], Any]) -> NDArray[np.int16]:
    """Every 128th of the outputs for all int16 inputs, in single precision, moved by half of what the middle misses."""
    steps = conventions.SOFTMAX_TABLE_ELEMENTS - 1
    scale, output_scale = reach / np.float32(_UNITS), np.float32(2) / np.float32(_UNITS)
    first, last = (scale * np.float32(end - zero_point) for end in (INT16_MINIMUM, INT16_MAXIMUM))
    step = (last - first) / np.float32(steps)
    low, high = (output_scale * np.float32(end) for end in (INT16_MINIMUM, INT16_MAXIMUM))
    units = np.float32(_UNITS + 1) / (high - low)
    places = first + np.arange(steps, dtype=np.float32) * step
    here, middle = function(places) * units, function(places + step / np.float32(2)) * units
    following = function(first + np.arange(1, steps + 1, dtype=np.float32) * step) * units
    missed = _rounded((following + _rounded(here)) / np.float32(2)) - _rounded(middle)
    values = np.append(_rounded(here) - _rounded(missed / np.float32(2)), _rounded(function(last) * units))
    return np.clip(values, INT16_MINIMUM, INT16_MAXIMUM).astype(np.int16)


def _rounded(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """To the nearest integers, halves away from zero."""
    return np.copysign(np.floor(np.abs(values) + np.float32(0.5)), values)
