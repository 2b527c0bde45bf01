// The output stage of four channels at a time.
//
// To the bit as MultiplyByQuantizedMultiplier of fixed_point.h:
//   - VSHL by an exponent that is not negative drops the bits that do not fit, as WrappingShiftLeft does.
//   - VQRDMULH is round(2 * a * b / 2^32), half up, saturated: MultiplyHigh.
//   - VRSHL by -n is floor((value + 2^(n-1)) / 2^n) of the exact sum: half up. With 1 taken from a negative value first it
//     is half away from zero, since only halves change: no other remainder is 2^(n-1). INT32_MIN stays what it is by
//     saturation, and is -2^(31-n) either way for an n from 1 to 31. Nothing may be taken where n is 0.

#ifndef REDS_KERNELS_HELIUM_REQUANTIZE_H
#define REDS_KERNELS_HELIUM_REQUANTIZE_H

#include <arm_mve.h>

#include <cstdint>

#include "kernels/kernels.h"

namespace reds {
namespace helium {

// Channels of a vector of sums.
constexpr int32_t kLanes = 4;

// round(value / 2^-exponent), half away from zero, for exponents from -31 to 0.
inline int32x4_t DividedByPowerOfTwo(int32x4_t value, int32x4_t exponent) {
  // -1 where both are negative.
  const int32x4_t correction = vshrq_n_s32(vandq_s32(value, exponent), 31);
  return vrshlq_s32(vqaddq_s32(value, correction), exponent);
}

// What the sums of the channels from `channel` up to `end`, but at most kLanes, are requantised with. Nothing is read of
// channels from `end` on. GCC 12 keeps one that is const in memory.
class Requantizer {
 public:
  __attribute__((always_inline)) Requantizer(const OutputStage<int8_t>& stage, int32_t channel, int32_t end)
      : lanes_(vctp32q(static_cast<uint32_t>(end - channel))), zero_point_(stage.zero_point) {
    const int32x4_t shift = vldrbq_z_s32(stage.shift + channel, lanes_);
    const int32x4_t zero = vdupq_n_s32(0);
    bias_ = vldrwq_z_s32(stage.bias + channel, lanes_);
    multiplier_ = vldrwq_z_s32(stage.multiplier + channel, lanes_);
    left_ = vmaxq_s32(shift, zero);
    right_ = vminq_s32(shift, zero);
    minimum_ = vdupq_n_s32(stage.clamp.minimum);
    maximum_ = vdupq_n_s32(stage.clamp.maximum);
  }

  // What sums of products may begin with.
  __attribute__((always_inline)) int32x4_t Biases() const { return bias_; }

  // The elements to store, from sums of products with their biases.
  __attribute__((always_inline)) int32x4_t RequantizedBiased(int32x4_t sums) const {
    const int32x4_t shifted = vshlq_s32(sums, left_);
    const int32x4_t scaled = DividedByPowerOfTwo(vqrdmulhq_s32(shifted, multiplier_), right_);
    const int32x4_t moved = vaddq_n_s32(scaled, zero_point_);
    return vminq_s32(vmaxq_s32(moved, minimum_), maximum_);
  }

  // The same without their biases.
  __attribute__((always_inline)) int32x4_t Requantized(int32x4_t sums) const {
    return RequantizedBiased(vaddq_s32(sums, bias_));
  }

  // Stores elements side by side, from the first channel's place on.
  __attribute__((always_inline)) void StoreElements(int32x4_t elements, int8_t* output) const {
    vstrbq_p_s32(output, elements, lanes_);
  }

  // The same from sums of products with their biases.
  __attribute__((always_inline)) void StoreBiased(int32x4_t sums, int8_t* output) const {
    StoreElements(RequantizedBiased(sums), output);
  }

  // The same without their biases.
  __attribute__((always_inline)) void Store(int32x4_t sums, int8_t* output) const {
    StoreElements(Requantized(sums), output);
  }

 private:
  mve_pred16_t lanes_;  // those with a channel
  int32_t zero_point_;
  int32x4_t bias_;
  int32x4_t multiplier_;
  int32x4_t left_;   // exponents that are not negative
  int32x4_t right_;  // exponents that are not positive
  int32x4_t minimum_;
  int32x4_t maximum_;
};

}  // namespace helium
}  // namespace reds

#endif
