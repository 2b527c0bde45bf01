#include "src/rescale.h"

#include "kernels/fixed_point.h"
#include "src/float_bits.h"

namespace reds {
namespace {

constexpr int kMultiplierBits = 31;

// From this shift on every difference of two int8 values that is not zero is saturated, and 32 bits still hold it.
constexpr int32_t kSaturatingShift = 22;

// The quotient of two scales, with its multiplier rounded to the nearest.
Factor RatioOf(uint32_t dividend_bits, uint32_t divisor_bits) {
  uint32_t remainder = SignificandOf(dividend_bits);
  uint32_t divisor = SignificandOf(divisor_bits);
  int32_t shift = ExponentOf(dividend_bits) - ExponentOf(divisor_bits);
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
