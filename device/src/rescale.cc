#include "src/rescale.h"

#include "kernels/fixed_point.h"

namespace reds {
namespace {

// The bits of a float32. Scales of a sound file are positive and normal; others give some factor, too.
constexpr int kFractionBits = 23;
constexpr uint32_t kLeadingBit = uint32_t{1} << kFractionBits;

uint32_t Significand(uint32_t bits) { return (bits & (kLeadingBit - 1)) | kLeadingBit; }
int32_t Exponent(uint32_t bits) { return static_cast<int32_t>(bits >> kFractionBits & 0xFF); }

constexpr int kMultiplierBits = 31;

// From this shift on every difference of two int8 values that is not zero is saturated, and 32 bits still hold it.
constexpr int32_t kSaturatingShift = 22;

// The quotient of two scales, with its multiplier rounded to the nearest.
Factor RatioOf(uint32_t dividend_bits, uint32_t divisor_bits) {
  uint32_t remainder = Significand(dividend_bits);
  uint32_t divisor = Significand(divisor_bits);
  int32_t shift = Exponent(dividend_bits) - Exponent(divisor_bits);
  if (remainder >= divisor) {
    divisor <<= 1;
    ++shift;
  }
  if (shift < -kMultiplierBits) return {0, 0};
  uint32_t multiplier = 0;
  for (int bit = 0; bit < kMultiplierBits; ++bit) {
    remainder <<= 1;
    multiplier <<= 1;
    if (remainder >= divisor) {
      remainder -= divisor;
      multiplier |= 1;
    }
  }
  if (2 * remainder >= divisor) ++multiplier;
  return {static_cast<int32_t>(multiplier), shift > kSaturatingShift ? kSaturatingShift : shift};
}

}  // namespace

void FillRescaled(const schema::Tensor& from, const schema::Tensor& to, int8_t (&table)[kRescaled]) {
  const Factor factor = RatioOf(BitsOf(from.scale()), BitsOf(to.scale()));
  for (int32_t element = INT8_MIN; element <= INT8_MAX; ++element) {
    table[static_cast<uint8_t>(element)] =
        Requantized(element - from.zero_point(), factor, to.zero_point(), {INT8_MIN, INT8_MAX});
  }
}

}  // namespace reds
