"""The short cuts of device/kernels/*/requantize.h equal TFLite's rounding for every sum and scale they accept."""

from hypothesis import example, given, settings
from hypothesis import strategies as st

LOWEST, HIGHEST = -(1 << 31), (1 << 31) - 1

sums = st.integers(LOWEST, HIGHEST) | st.integers(-(1 << 17), 1 << 17)
multipliers = st.integers(1 << 30, HIGHEST)
right_shifts = st.integers(2, 31)
zero_points = st.integers(-128, 127)

MOST_VALUE = (1 << 21) - 1
"""Largest sum with its bias on Armv6-M."""


def signed(word: int) -> int:
    """The value of a 32-bit register; what does not fit wraps."""
    return (word + (1 << 31)) % (1 << 32) - (1 << 31)


def smmlar(n: int, m: int, addend: int) -> int:
    """The instruction SMMLAR."""
    return signed(((addend << 32) + n * m + (1 << 31)) >> 32)


def smmlsr(n: int, m: int, addend: int) -> int:
    """The instruction SMMLSR."""
    return signed(((addend << 32) - n * m + (1 << 31)) >> 32)


def armv7em_sum(value: int, doubled_multiplier: int, right_shift: int, addend: int) -> int:
    """`NegativeScale::Add` of armv7em/add_int8.cc, instruction by instruction."""
    product = smmlar(value, signed(doubled_multiplier), value)
    return smmlsr(signed(product + (product >> 31)), -1 << (32 - right_shift), addend)


def armv7em(value: int, multiplier: int, right_shift: int, zero_point: int) -> int:
    """`armv7em::Requantized`, instruction by instruction."""
    product = smmlar(value, signed(multiplier << 1), value)
    return smmlar(signed(product + (product >> 31)), 1 << (32 - right_shift), zero_point)


def armv7em_raised(value: int, multiplier: int, right_shift: int, zero_point: int) -> int:
    """With `armv7em::RaisedFactor`, instruction by instruction."""
    product = smmlar(value, signed(multiplier << 1), value)
    return smmlar(product, ((1 << 20) + 1) << (12 - right_shift), zero_point)


def word(value: int) -> int:
    """`value`, which has to fit a 32-bit register."""
    assert LOWEST <= value <= HIGHEST
    return value


def signed_low(value: int, bits: int) -> int:
    """The lowest bits as a signed number."""
    return (value + (1 << (bits - 1))) % (1 << bits) - (1 << (bits - 1))


def armv6m(value: int, multiplier: int, right_shift: int, zero_point: int) -> int:
    """`armv6m::MakeScale` and REDS_REQUANTIZE, operation by operation."""
    low = signed_low(multiplier, 11)
    above = (multiplier - low) >> 11
    middle = signed_low(above, 10)
    high = (above - middle) >> 10
    quotient = word(value * low) >> 11
    quotient = word(quotient + word(value * middle)) >> 10
    negative = value < 0
    half = -1 ^ (1 << 9) if negative else 1 << 9
    quotient = word(quotient + half + negative)
    quotient = word(quotient + word(value * high))
    shift = 10 + right_shift
    carry = quotient >> (shift - 1) & 1
    return (quotient >> shift) + zero_point + carry


def helium(value: int, multiplier: int, right_shift: int, zero_point: int) -> int:
    """`helium::Requantizer` without a left shift and a clamp, one lane of each instruction."""
    product = clamped((2 * value * multiplier + (1 << 31)) >> 32, LOWEST, HIGHEST)
    correction = (product & -right_shift) >> 31
    corrected = clamped(product + correction, LOWEST, HIGHEST)
    return ((corrected + (1 << right_shift >> 1)) >> right_shift) + zero_point


def rounded_twice(value: int, multiplier: int, right_shift: int, zero_point: int) -> int:
    """The definition: half up after the product, half away from zero after the shift."""
    product = (value * multiplier + (1 << 30)) >> 31
    magnitude = (abs(product) + (1 << (right_shift - 1))) >> right_shift
    return (magnitude if product >= 0 else -magnitude) + zero_point


def clamped(value: int, lowest: int, highest: int) -> int:
    return max(lowest, min(value, highest))


@settings(max_examples=5000, deadline=None, derandomize=True)
@given(sums, multipliers, right_shifts, zero_points)
@example(LOWEST, HIGHEST, 2, -128)
@example(HIGHEST, HIGHEST, 2, 127)
@example(LOWEST, 1 << 30, 31, 0)
@example(LOWEST, HIGHEST, 31, 0)
@example(-1, 1 << 30, 2, 0)
@example(-6, HIGHEST, 2, 0)
def test_armv7em_rounds_twice(value: int, multiplier: int, right_shift: int, zero_point: int) -> None:
    assert armv7em(value, multiplier, right_shift, zero_point) == rounded_twice(
        value, multiplier, right_shift, zero_point
    )


@settings(max_examples=5000, deadline=None, derandomize=True)
@given(sums, multipliers, st.integers(2, 12), zero_points)
@example(LOWEST, HIGHEST, 2, 127)
@example(HIGHEST, HIGHEST, 2, -128)
@example(1 << 21, 1 << 30, 12, -128)
@example(-(1 << 21), 1 << 30, 12, 127)
@example((1 << 21) - 1, 1 << 30, 12, -128)
@example(1 - (1 << 21), 1 << 30, 12, 127)
@example(-1, 1 << 30, 2, 0)
@example(-4, 1 << 30, 2, 0)
def test_armv7em_raises_a_factor(value: int, multiplier: int, right_shift: int, zero_point: int) -> None:
    short_cut = armv7em_raised(value, multiplier, right_shift, zero_point)
    expected = rounded_twice(value, multiplier, right_shift, zero_point)
    assert clamped(short_cut, -128, 127) == clamped(expected, -128, 127)


@given(st.integers(-(1 << 12), 1 << 12), st.integers(2, 12))
def test_armv7em_raises_a_factor_of_halves(halves: int, right_shift: int) -> None:
    """Sums whose product with 1/2 is a whole number of halves of a result."""
    value = halves << right_shift
    assert clamped(armv7em_raised(value, 1 << 30, right_shift, 0), -128, 127) == clamped(
        rounded_twice(value, 1 << 30, right_shift, 0), -128, 127
    )


@settings(max_examples=5000, deadline=None, derandomize=True)
@given(st.integers(-(1 << 29), 1 << 29), multipliers, st.integers(1, 31), st.integers(-(1 << 28), 1 << 28))
@example(-1, 1 << 30, 1, 0)
@example(-(1 << 29), HIGHEST, 1, -(1 << 28))
def test_armv7em_sums_round_twice(value: int, multiplier: int, right_shift: int, addend: int) -> None:
    assert armv7em_sum(value, multiplier << 1, right_shift, addend) == rounded_twice(
        value, multiplier, right_shift, addend
    )


@given(st.integers(-255, 255))
def test_armv7em_halves_without_a_product(value: int) -> None:
    assert armv7em_sum(value << 20, 0, 1, 0) == value << 19


@settings(max_examples=5000, deadline=None, derandomize=True)
@given(sums, st.integers(0, HIGHEST), st.integers(1, 31), zero_points)
@example(LOWEST, HIGHEST, 1, -128)
@example(LOWEST, HIGHEST, 31, 0)
@example(LOWEST, 1 << 30, 31, 0)
@example(HIGHEST, HIGHEST, 1, 127)
@example(HIGHEST, HIGHEST, 31, 0)
@example(-1, HIGHEST, 1, 0)
@example(-3, HIGHEST, 1, 0)
@example(-1, 1 << 30, 1, 0)
@example(-6, HIGHEST, 2, 0)
def test_helium_rounds_twice(value: int, multiplier: int, right_shift: int, zero_point: int) -> None:
    assert helium(value, multiplier, right_shift, zero_point) == rounded_twice(
        value, multiplier, right_shift, zero_point
    )


@given(sums, st.integers(0, HIGHEST))
@example(-1, HIGHEST)
@example(LOWEST, HIGHEST)
def test_helium_rounds_once_where_nothing_is_shifted(value: int, multiplier: int) -> None:
    assert helium(value, multiplier, 0, 0) == (value * multiplier + (1 << 30)) >> 31


@settings(max_examples=5000, deadline=None, derandomize=True)
@given(
    st.integers(-MOST_VALUE, MOST_VALUE) | st.integers(-(1 << 12), 1 << 12),
    st.integers(0, HIGHEST),
    st.integers(1, 31),
    zero_points,
)
@example(MOST_VALUE, HIGHEST, 1, 127)
@example(-MOST_VALUE, HIGHEST, 1, -128)
@example(MOST_VALUE, (1 << 31) - (1 << 10), 1, 0)
@example(-MOST_VALUE, 0x3FEFFC00, 1, 0)
@example(-1, 1 << 30, 1, 0)
@example(-1, 1 << 29, 1, 0)
@example(-6, HIGHEST, 2, 0)
def test_armv6m_rounds_twice(value: int, multiplier: int, right_shift: int, zero_point: int) -> None:
    assert armv6m(value, multiplier, right_shift, zero_point) == rounded_twice(
        value, multiplier, right_shift, zero_point
    )


@settings(max_examples=2000, deadline=None, derandomize=True)
@given(st.integers(-(1 << 30), 1 << 30), multipliers, st.integers(1, 12), zero_points)
@example(MOST_VALUE + 1, 1 << 30, 12, -128)
@example(-MOST_VALUE - 1, 1 << 30, 12, 127)
def test_armv6m_clamps_what_it_saturates(value: int, multiplier: int, right_shift: int, zero_point: int) -> None:
    short_cut = armv6m(clamped(value, -MOST_VALUE, MOST_VALUE), multiplier, right_shift, zero_point)
    expected = rounded_twice(value, multiplier, right_shift, zero_point)
    assert clamped(short_cut, -128, 127) == clamped(expected, -128, 127)
