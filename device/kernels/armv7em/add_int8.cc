// Sums with the constants that TFLite gives them: an input of the larger scale has the factor 1/2, so that nothing of
// it is rounded. Any other constants, and clamps narrower than int8, are left to the portable sum.

#include "kernels/add_int8.h"

#include <cstdint>

#include "kernels/armv7em/requantize.h"
#include "kernels/kernels.h"

namespace reds {
namespace {

constexpr int32_t kLeftShift = 20;
constexpr int32_t kHalf = 1 << 30;  // the multiplier of the factor 1/2

bool IsHalf(const Factor& factor) { return factor.multiplier == kHalf && factor.shift == 0; }

bool IsRounded(const Factor& factor) { return factor.multiplier >= kHalf && factor.shift < 0; }

// A factor as in requantize.h, for shifts e >= 1: -2^(32 - e) always fits a signed word, and SMMLSR subtracts what it
// is multiplied with.
struct NegativeScale {
  int32_t doubled_multiplier;  // modulo 2^32
  int32_t negative_shift_factor;

  // addend + value * factor, for values whose product neither saturates nor overflows.
  int32_t Add(int32_t value, int32_t addend) const {
    int32_t result;
    __asm__(
        "smmlar %[result], %[value], %[multiplier], %[value]\n"
        "add    %[result], %[result], %[result], asr #31\n"
        "smmlsr %[result], %[result], %[factor], %[addend]\n"
        : [result] "=&r"(result)
        : [value] "r"(value), [multiplier] "r"(doubled_multiplier), [factor] "r"(negative_shift_factor),
          [addend] "r"(addend));
    return result;
  }
};

NegativeScale MakeScale(const Factor& factor) {
  return {WrappingShiftLeft(factor.multiplier, 1), WrappingShiftLeft(-1, 32 + factor.shift)};
}

// `halved` has the factor 1/2.
void RunHalved(const Add<int8_t>& sum, const Addend& halved, const Addend& other) {
  // The factor 1/2 is one without a product, for half of an even number.
  const NegativeScale scale = IsHalf(other.factor) ? NegativeScale{0, INT32_MIN} : MakeScale(other.factor);
  const NegativeScale output_scale = MakeScale(sum.factor);
  const int32_t halved_zero = halved.zero_point << (kLeftShift - 1);
  const int32_t other_zero = other.zero_point << kLeftShift;
  const int32_t zero_point = sum.zero_point;
  const int8_t* first = halved.elements;
  const int8_t* second = other.elements;
  int8_t* output = sum.output;
  for (const int8_t* const end = first + sum.elements; first != end;) {
    const int32_t half = (*first++ << (kLeftShift - 1)) - halved_zero;
    const int32_t total = scale.Add((*second++ << kLeftShift) - other_zero, half);
    *output++ = armv7em::SaturatedToInt8(output_scale.Add(total, zero_point));
  }
}

}  // namespace

void Run(const Add<int8_t>& sum) {
  const Factor& first = sum.first.factor;
  const Factor& second = sum.second.factor;
  if (sum.left_shift == kLeftShift && IsRounded(sum.factor) && armv7em::IsWholeRange(sum.clamp)) {
    if (IsHalf(first) && (IsHalf(second) || IsRounded(second))) return RunHalved(sum, sum.first, sum.second);
    if (IsHalf(second) && IsRounded(first)) return RunHalved(sum, sum.second, sum.first);
  }
  add_int8::Run(sum);
}

}  // namespace reds
