// Sums with the constants that TFLite gives them: an input of the larger scale has the factor 1/2, so that nothing of
// it is rounded. Differences, any other constants, and clamps narrower than int8 are left to the portable sum.

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

// An input of a sum.
struct Operand {
  const int8_t* elements;
  const Addend& addend;
};

// `halved` has the factor 1/2.
void RunHalved(const Add<int8_t>& sum, const Operand& halved, const Operand& other) {
  // The factor 1/2 is one without a product, for half of an even number.
  const Factor& factor = other.addend.factor;
  const NegativeScale scale = IsHalf(factor) ? NegativeScale{0, INT32_MIN} : MakeScale(factor);
  const NegativeScale output_scale = MakeScale(sum.factor);
  const int32_t halved_zero = halved.addend.zero_point << (kLeftShift - 1);
  const int32_t other_zero = other.addend.zero_point << kLeftShift;
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
  const Operand first = {sum.first, sum.first_addend};
  const Operand second = {sum.second, sum.second_addend};
  const bool is_usual = sum.sign > 0 && sum.left_shift == kLeftShift;
  if (is_usual && IsRounded(sum.factor) && armv7em::IsWholeRange(sum.clamp)) {
    const Factor& factor = second.addend.factor;
    if (IsHalf(first.addend.factor) && (IsHalf(factor) || IsRounded(factor)))
      return RunHalved(sum, first, second);
    if (IsHalf(factor) && IsRounded(first.addend.factor)) return RunHalved(sum, second, first);
  }
  add_int8::Run(sum);
}

}  // namespace reds
