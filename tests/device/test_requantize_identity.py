"""The short cut of device/kernels/armv7em/requantize.h equals TFLite's rounding for every sum and scale it accepts."""

from hypothesis import example, given, settings
from hypothesis import strategies as st

LOWEST, HIGHEST = -(1 << 31), (1 << 31) - 1

sums = st.integers(LOWEST, HIGHEST) | st.integers(-(1 << 17), 1 << 17)
multipliers = st.integers(1 << 30, HIGHEST)
right_shifts = st.integers(2, 31)


def signed(word: int) -> int:
    """The value of a 32-bit register; what does not fit wraps."""
    return (word + (1 << 31)) % (1 << 32) - (1 << 31)


def smmlar(n: int, m: int, addend: int) -> int:
    """The instruction SMMLAR."""
    return signed(((addend << 32) + n * m + (1 << 31)) >> 32)


def short_cut(value: int, multiplier: int, right_shift: int, zero_point: int) -> int:
    """`armv7em::Requantized`, instruction by instruction."""
    product = smmlar(value, signed(multiplier << 1), value)
    return smmlar(signed(product + (product >> 31)), 1 << (32 - right_shift), zero_point)


def rounded_twice(value: int, multiplier: int, right_shift: int, zero_point: int) -> int:
    """The definition: half up after the product, half away from zero after the shift."""
    product = (value * multiplier + (1 << 30)) >> 31
    magnitude = (abs(product) + (1 << (right_shift - 1))) >> right_shift
    return (magnitude if product >= 0 else -magnitude) + zero_point


@settings(max_examples=5000, deadline=None, derandomize=True)
@given(sums, multipliers, right_shifts, st.integers(-128, 127))
@example(LOWEST, HIGHEST, 2, -128)
@example(HIGHEST, HIGHEST, 2, 127)
@example(LOWEST, 1 << 30, 31, 0)
@example(LOWEST, HIGHEST, 31, 0)
@example(-1, 1 << 30, 2, 0)
@example(-6, HIGHEST, 2, 0)
def test_the_short_cut_rounds_twice(value: int, multiplier: int, right_shift: int, zero_point: int) -> None:
    expected = rounded_twice(value, multiplier, right_shift, zero_point)
    assert short_cut(value, multiplier, right_shift, zero_point) == expected
