"""The four sums that device/kernels/armv6m/packed_products.h puts into three words come out of them again."""

from hypothesis import example, given, settings
from hypothesis import strategies as st

MOST_SUM = 256 * 128 * 128

sums = st.integers(-MOST_SUM, MOST_SUM)


def unsigned(value: int) -> int:
    return value % (1 << 32)


def signed(value: int, bits: int) -> int:
    return (value + (1 << (bits - 1))) % (1 << bits) - (1 << (bits - 1))


def unpacked(a: int, b: int, c: int) -> tuple[int, int, int, int]:
    """`armv6m::Unpacked`, operation by operation."""
    low0, low2 = signed(a, 16), signed(b, 16)
    s1_and_carry0 = unsigned(a - low0) >> 16
    s3_and_carry2 = unsigned(b - low2) >> 16
    carry0 = signed(s1_and_carry0 - c, 8)
    s3_low_byte = unsigned(c - (s1_and_carry0 - carry0)) >> 8
    carry2 = signed(s3_and_carry2 - s3_low_byte, 8)
    s1_low = unsigned(c - ((s3_and_carry2 - carry2) << 8))
    s1 = signed(s1_low << 8, 32) >> 8
    return signed(low0 + (carry0 << 16), 32), s1, signed(low2 + (carry2 << 16), 32), signed(c - s1, 32) >> 8


@settings(max_examples=5000, deadline=None, derandomize=True)
@given(sums, sums, sums, sums)
@example(MOST_SUM, MOST_SUM, MOST_SUM, MOST_SUM)
@example(-MOST_SUM, -MOST_SUM, -MOST_SUM, -MOST_SUM)
@example(MOST_SUM, -MOST_SUM, MOST_SUM, -MOST_SUM)
@example(-MOST_SUM, MOST_SUM, -MOST_SUM, MOST_SUM)
@example(-1, 0, 0, -1)
def test_sums_survive_packing(s0: int, s1: int, s2: int, s3: int) -> None:
    a = unsigned(s0 + (s1 << 16))
    b = unsigned(s2 + (s3 << 16))
    c = unsigned(s1 + (s3 << 8))
    assert unpacked(a, b, c) == (s0, s1, s2, s3)
