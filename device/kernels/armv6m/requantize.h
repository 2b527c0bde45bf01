// The output stage on a core whose multiplier yields 32 bits, equal to fixed_point.h to the bit.
//
// Let v be the sum with its bias, b the multiplier, e the shift to the right and n 1 where v < 0, otherwise 0.
// Rounding half up after the product and half away from zero after the shift is, in one,
//
//   floor((v * b + 2^30 - 2^31 n + 2^(30+e)) / 2^(31+e))   for b >= 0, e >= 1.
//
// (Half away from zero is half up after 1 is taken off a negative product. Where v < 0 and the product is
// rounded to 0 instead, both are 0.) With b = high * 2^21 + middle * 2^11 + low and signed parts, floors of
// floors yield the quotient from products that all fit a word where |v| < 2^21:
//
//   t = ((v * low >> 11) + v * middle >> 10) + v * high   is floor(v * b / 2^21),
//
// and what remains is t + 2^9 - 2^10 n, shifted by 10 + e and rounded with the last bit that is shifted out.

#ifndef REDS_KERNELS_ARMV6M_REQUANTIZE_H
#define REDS_KERNELS_ARMV6M_REQUANTIZE_H

#include <cstdint>

#include "kernels/fixed_point.h"
#include "kernels/kernels.h"

namespace reds {
namespace armv6m {

constexpr int32_t kMostValue = (1 << 21) - 1;  // of |v|
constexpr int32_t kMostProduct = INT8_MIN * INT8_MIN;

// How the sums of one output channel become elements.
struct Scale {
  int32_t low;
  int32_t middle;
  int32_t high;
  int32_t right_shift;  // 10 + e
};

// The largest magnitude of a sum of products, or kMostValue where that is smaller.
inline int32_t MostSum(int64_t products) {
  return products <= kMostValue / kMostProduct ? static_cast<int32_t>(products) * kMostProduct : kMostValue;
}

// What the sums of an output channel need before they are requantised with its Scale.
enum class Requantization {
  kDirect,     // nothing: no sum with its bias exceeds kMostValue
  kSaturated,  // to be saturated there, because what lies beyond is clamped anyway
  kGeneral,    // constants that have no Scale
};

inline Requantization RequantizationOf(const OutputStage<int8_t>& stage, int32_t channel, int32_t most_sum) {
  const int32_t multiplier = stage.multiplier[channel];
  const int32_t shift = stage.shift[channel];
  const int32_t most_bias = kMostValue - most_sum;
  if (multiplier < 0 || shift >= 0) return Requantization::kGeneral;
  if (stage.bias[channel] <= most_bias && stage.bias[channel] >= -most_bias) return Requantization::kDirect;
  // 2^21 * 2^30 / 2^(31+12) is 2^8: with any zero point it lies outside the range of int8.
  return multiplier >= 1 << 30 && shift >= -12 ? Requantization::kSaturated : Requantization::kGeneral;
}

// Whether all output channels are requantised directly.
inline bool AreDirect(const OutputStage<int8_t>& stage, int32_t channels, int32_t most_sum) {
  for (int32_t channel = 0; channel < channels; ++channel) {
    if (RequantizationOf(stage, channel, most_sum) != Requantization::kDirect) return false;
  }
  return true;
}

inline int32_t SignedLow(int32_t value, int bits) {
  return WrappingShiftLeft(value, 32 - bits) >> (32 - bits);
}

inline Scale MakeScale(const OutputStage<int8_t>& stage, int32_t channel) {
  const int32_t multiplier = stage.multiplier[channel];
  const int32_t low = SignedLow(multiplier, 11);
  // 2^31 where the multiplier is largest, which only an unsigned word holds.
  const uint32_t without_low = static_cast<uint32_t>(multiplier) - static_cast<uint32_t>(low);
  const int32_t above = static_cast<int32_t>(without_low >> 11);
  const int32_t middle = SignedLow(above, 10);
  return {low, middle, (above - middle) >> 10, 10 - stage.shift[channel]};
}

// Four sums, or four values of one output channel.
struct Four {
  int32_t of[4];
};

inline Four Sum(const Four& a, const Four& b) {
  return {a.of[0] + b.of[0], a.of[1] + b.of[1], a.of[2] + b.of[2], a.of[3] + b.of[3]};
}

inline Four WithBias(const Four& sums, int32_t bias) {
  return {WrappingAdd(sums.of[0], bias), WrappingAdd(sums.of[1], bias), WrappingAdd(sums.of[2], bias),
          WrappingAdd(sums.of[3], bias)};
}

// From a value to addend + the quotient above. The shift of the sign leaves n in the carry, the last one the bit
// that rounds. `get_addend` puts the addend into the register `other`.
#define REDS_REQUANTIZE(get_addend)         \
  "mov  %[quotient], %[value]\n"            \
  "muls %[quotient], %[low]\n"              \
  "asrs %[quotient], #11\n"                 \
  "mov  %[other], %[value]\n"               \
  "muls %[other], %[middle]\n"              \
  "adds %[quotient], %[other]\n"            \
  "asrs %[quotient], #10\n"                 \
  "asrs %[other], %[value], #31\n"          \
  "eors %[other], %[half]\n"                \
  "adcs %[quotient], %[other]\n"            \
  "muls %[value], %[high]\n"                \
  "adds %[quotient], %[value]\n" get_addend \
  "asrs %[quotient], %[right_shift]\n"      \
  "adcs %[quotient], %[other]\n"

// A value outside the range becomes 0 or the range.
#define REDS_CLAMP(register) \
  "cmp  " register ", %[range]\n"     \
  "bls  1f\n"                         \
  "mvns " register ", " register "\n" \
  "mov  %[other], %[range]\n"         \
  "asrs " register ", #31\n"          \
  "ands " register ", %[other]\n"     \
  "1:\n"

constexpr int32_t kHalf = 1 << 9;

// Stores an element from its sum with the bias.
inline void StoreOne(const OutputStage<int8_t>& stage, const Scale& scale, int32_t value, int8_t* output) {
  const int32_t minimum = stage.clamp.minimum;
  int32_t quotient, other;
  __asm__(".syntax unified\n"  //
          REDS_REQUANTIZE("mov %[other], %[addend]\n") REDS_CLAMP("%[quotient]")
          : [value] "+l"(value), [quotient] "=&l"(quotient), [other] "=&l"(other)
          : [low] "l"(scale.low), [middle] "l"(scale.middle), [high] "l"(scale.high),
            [right_shift] "l"(scale.right_shift), [half] "l"(kHalf), [addend] "h"(stage.zero_point - minimum),
            [range] "h"(stage.clamp.maximum - minimum)
          : "cc");
  *output = static_cast<int8_t>(quotient + minimum);
}

// Stores four elements, `step` apart, from their sums with the bias.
__attribute__((always_inline)) inline void StoreFour(const OutputStage<int8_t>& stage, const Scale& scale,
                                                     const Four& values, int8_t* output, int32_t step) {
  const int32_t minimum = stage.clamp.minimum;
  register int32_t value0 __asm__("r8") = values.of[0];
  register int32_t value1 __asm__("r9") = values.of[1];
  register int32_t value2 __asm__("r10") = values.of[2];
  register int32_t value3 __asm__("r11") = values.of[3];
  int32_t value, quotient, other;
#define REDS_REQUANTIZE_IN(register)               \
  "mov  %[value], " register "\n" REDS_REQUANTIZE( \
      "mov %[other], %[addend]\n") "mov  " register ", %[quotient]\n"
  __asm__(".syntax unified\n"  //
          REDS_REQUANTIZE_IN("r8") REDS_REQUANTIZE_IN("r9") REDS_REQUANTIZE_IN("r10")
              REDS_REQUANTIZE_IN("r11")
          : [value] "=&l"(value), [quotient] "=&l"(quotient), [other] "=&l"(other), "+h"(value0),
            "+h"(value1), "+h"(value2), "+h"(value3)
          : [low] "l"(scale.low), [middle] "l"(scale.middle), [high] "l"(scale.high),
            [right_shift] "l"(scale.right_shift), [half] "l"(kHalf), [addend] "h"(stage.zero_point - minimum)
          : "cc");
#undef REDS_REQUANTIZE_IN
#define REDS_STORE(register) \
  "mov  %[value], " register "\n"   \
  REDS_CLAMP("%[value]")            \
  "adds %[value], %[minimum]\n"     \
  "strb %[value], [%[output]]\n"
#define REDS_STEP "adds %[output], %[step]\n"
  __asm__ volatile(".syntax unified\n"  //
                   REDS_STORE("r8") REDS_STEP REDS_STORE("r9") REDS_STEP REDS_STORE("r10")
                       REDS_STEP REDS_STORE("r11")
                   : [value] "=&l"(value), [other] "=&l"(other), [output] "+l"(output)
                   : [range] "l"(stage.clamp.maximum - minimum), [minimum] "l"(minimum), [step] "l"(step),
                     "h"(value0), "h"(value1), "h"(value2), "h"(value3)
                   : "cc", "memory");
#undef REDS_STEP
#undef REDS_STORE
}

// Stores `count` elements of one channel, one at least, `step` apart, from their sums of products.
__attribute__((noinline)) inline void StoreAll(const OutputStage<int8_t>& stage, int32_t channel,
                                               const int32_t* sums, int32_t count, int8_t* output,
                                               int32_t step) {
  const Scale scale = MakeScale(stage, channel);
  const int32_t minimum = stage.clamp.minimum;
  const int32_t addend = stage.zero_point - minimum;
  const int32_t* const end = sums + count;
  register const int32_t* sum __asm__("r8") = sums;
  register int8_t* element __asm__("r9") = output;
  int32_t value, quotient, other;
  __asm__ volatile(
      ".syntax unified\n"
      "2:\n"
      "mov   %[other], %[sum]\n"
      "ldmia %[other]!, {%[value]}\n"
      "mov   %[sum], %[other]\n"
      "add   %[value], %[bias]\n"  //
      REDS_REQUANTIZE("ldr %[other], %[addend]\n")
      REDS_CLAMP("%[quotient]")
      "ldr   %[other], %[minimum]\n"
      "adds  %[quotient], %[other]\n"
      "mov   %[other], %[element]\n"
      "strb  %[quotient], [%[other]]\n"
      "add   %[element], %[step]\n"
      "ldr   %[other], %[end]\n"
      "cmp   %[sum], %[other]\n"
      "bne   2b\n"
      : [value] "=&l"(value), [quotient] "=&l"(quotient), [other] "=&l"(other), [sum] "+h"(sum),
        [element] "+h"(element)
      : [low] "l"(scale.low), [middle] "l"(scale.middle), [high] "l"(scale.high),
        [right_shift] "l"(scale.right_shift), [half] "l"(kHalf), [bias] "h"(stage.bias[channel]),
        [range] "h"(stage.clamp.maximum - minimum), [step] "h"(step), [minimum] "m"(minimum),
        [addend] "m"(addend), [end] "m"(end)
      : "cc", "memory");
}

#undef REDS_CLAMP
#undef REDS_REQUANTIZE

__attribute__((noinline)) inline void FinishGenerally(const OutputStage<int8_t>& stage, int32_t channel,
                                                      const int32_t* sums, int32_t count, int8_t* output,
                                                      int32_t step) {
  for (; count > 0; --count) {
    *output = reds::Finish(stage, channel, *sums++);
    output += step;
  }
}

// Changes sums such that with their bias they lie within kMostValue.
__attribute__((noinline)) inline void Saturate(int32_t bias, int32_t* sums, int32_t count) {
  for (; count > 0; --count) {
    const int32_t value = Clamped(WrappingAdd(*sums, bias), -kMostValue, kMostValue);
    *sums++ = static_cast<int32_t>(static_cast<uint32_t>(value) - static_cast<uint32_t>(bias));
  }
}

// Stores elements as StoreAll does, whatever the constants, from sums that are at most `most_sum` in magnitude
// or of any magnitude where that is kMostValue.
inline void Finish(const OutputStage<int8_t>& stage, int32_t most_sum, int32_t channel, int32_t* sums,
                   int32_t count, int8_t* output, int32_t step) {
  const Requantization requantization = RequantizationOf(stage, channel, most_sum);
  if (requantization == Requantization::kGeneral) {
    return FinishGenerally(stage, channel, sums, count, output, step);
  }
  if (requantization == Requantization::kSaturated) Saturate(stage.bias[channel], sums, count);
  StoreAll(stage, channel, sums, count, output, step);
}

}  // namespace armv6m
}  // namespace reds

#endif
