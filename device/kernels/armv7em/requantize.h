// The output stage with the DSP instructions, equal to fixed_point.h to the bit.
//
// Let a be the sum, b the multiplier, e the shift to the right. SMMLAR d, n, m, x gives
// x + floor((n * m + 2^31) / 2^32), from the exact product.
//
// 1. round(a * b / 2^31) = floor((a * 2b + 2^31) / 2^32). For b >= 2^30 the word that holds 2b stands for
//    2b - 2^32 when it is signed, so that SMMLAR with x = a adds what is missing, a * 2^32 / 2^32.
// 2. Half away from zero at the division by 2^e is half up after 1 is taken off a negative value v, and
//    floor((v + 2^(e-1)) / 2^e) = floor((v * 2^(32-e) + 2^31) / 2^32). For e >= 2 the factor fits a signed
//    word, and SMMLAR with x = the zero point adds that for nothing.
//
// Taking 1 off never wraps: |round(a * b / 2^31)| < 2^31 for b < 2^31.

#ifndef REDS_KERNELS_ARMV7EM_REQUANTIZE_H
#define REDS_KERNELS_ARMV7EM_REQUANTIZE_H

#include <cstdint>

#include "kernels/fixed_point.h"
#include "kernels/kernels.h"

namespace reds {
namespace armv7em {

// addend + round(a * b / 2^32), half up.
inline int32_t MultiplyHighAdd(int32_t a, int32_t b, int32_t addend) {
  int32_t result;
  __asm__("smmlar %0, %1, %2, %3" : "=r"(result) : "r"(a), "r"(b), "r"(addend));
  return result;
}

// How the sums of one output channel are scaled.
struct Scale {
  int32_t doubled_multiplier;  // modulo 2^32
  int32_t shift_factor;        // 2^(32 - e)
};

inline bool HasScale(int32_t multiplier, int32_t shift) { return multiplier >= 1 << 30 && shift <= -2; }

inline Scale MakeScale(int32_t multiplier, int32_t shift) {
  return {WrappingShiftLeft(multiplier, 1), 1 << (32 + shift)};
}

// Whether every channel has a Scale, as those of all models with scales of common size do.
inline bool HaveScales(const OutputStage<int8_t>& stage, int32_t channels) {
  for (int32_t channel = 0; channel < channels; ++channel) {
    if (!HasScale(stage.multiplier[channel], stage.shift[channel])) return false;
  }
  return true;
}

// From the sum, with its bias, to the value before the clamp.
inline int32_t Requantized(int32_t sum, const Scale& scale, int32_t zero_point) {
  const int32_t product = MultiplyHighAdd(sum, scale.doubled_multiplier, sum);
  return MultiplyHighAdd(product + (product >> 31), scale.shift_factor, zero_point);
}

inline int32_t SaturatedToInt8(int32_t value) {
  int32_t result;
  __asm__("ssat %0, #8, %1" : "=r"(result) : "r"(value));
  return result;
}

inline bool IsWholeRange(const Clamp<int32_t>& clamp) {
  return clamp.minimum == INT8_MIN && clamp.maximum == INT8_MAX;
}

// Clamps four values. A range that is all of int8, as after most activations, needs no comparison.
inline void ClampFour(const Clamp<int32_t>& clamp, int32_t (&values)[4]) {
  if (IsWholeRange(clamp)) {
#pragma GCC unroll 4
    for (int32_t& value : values) value = SaturatedToInt8(value);
  } else {
#pragma GCC unroll 4
    for (int32_t& value : values) value = Clamped(value, clamp.minimum, clamp.maximum);
  }
}

// The elements to store for four output channels, from their sums of products.
inline void FinishFour(const OutputStage<int8_t>& stage, bool have_scales, int32_t channel,
                       int32_t (&sums)[4], int8_t* output) {
  if (have_scales) {
#pragma GCC unroll 4
    for (int32_t i = 0; i < 4; ++i) {
      const Scale scale = MakeScale(stage.multiplier[channel + i], stage.shift[channel + i]);
      sums[i] = Requantized(WrappingAdd(sums[i], stage.bias[channel + i]), scale, stage.zero_point);
    }
    ClampFour(stage.clamp, sums);
#pragma GCC unroll 4
    for (int32_t i = 0; i < 4; ++i) output[i] = static_cast<int8_t>(sums[i]);
  } else {
    for (int32_t i = 0; i < 4; ++i) output[i] = Finish(stage, channel + i, sums[i]);
  }
}

}  // namespace armv7em
}  // namespace reds

#endif
