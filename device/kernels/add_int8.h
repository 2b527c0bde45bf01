// The sum or the difference of two int8 maps with any constants.

#ifndef REDS_KERNELS_ADD_INT8_H
#define REDS_KERNELS_ADD_INT8_H

#include <cstdint>

#include "kernels/fixed_point.h"
#include "kernels/kernels.h"

namespace reds {
namespace add_int8 {

// Multiplies by a factor and rounds as `MultiplyByQuantizedMultiplier` does, for magnitudes up to 2^29: those
// neither saturate a product nor overflow when half a unit is added.
class Scale {
 public:
  explicit Scale(const Factor& factor)
      : multiplier_(factor.multiplier),
        right_shift_(-factor.shift),
        half_(right_shift_ > 0 ? int32_t{1} << (right_shift_ - 1) : 0),
        below_zero_(right_shift_ > 0 ? -1 : 0) {}

  // Halves go up after the product, and away from zero after the shift.
  int32_t Of(int32_t value) const {
    const int32_t product = static_cast<int32_t>((int64_t{value} * multiplier_ + (int64_t{1} << 30)) >> 31);
    return (product + half_ + ((product >> 31) & below_zero_)) >> right_shift_;
  }

 private:
  int32_t multiplier_;
  int32_t right_shift_;
  int32_t half_;
  int32_t below_zero_;
};

inline void Run(const Add<int8_t>& sum) {
  // Copies: the compiler cannot know that the output does not overwrite the operands.
  const Scale first_scale(sum.first_addend.factor);
  const Scale second_scale(sum.second_addend.factor);
  const Scale output_scale(sum.factor);
  const int32_t first_zero_point = sum.first_addend.zero_point;
  const int32_t second_zero_point = sum.second_addend.zero_point;
  const int32_t zero_point = sum.zero_point;
  const int32_t left_shift = sum.left_shift;
  const int32_t sign = sum.sign;
  const Clamp<int32_t> clamp = sum.clamp;
  const int8_t* first = sum.first;
  const int8_t* second = sum.second;
  int8_t* output = sum.output;
  for (int32_t left = sum.elements; left > 0; --left) {
    const int32_t first_value = WrappingShiftLeft(*first++ - first_zero_point, left_shift);
    const int32_t second_value = WrappingShiftLeft(*second++ - second_zero_point, left_shift);
    const int32_t total = first_scale.Of(first_value) + sign * second_scale.Of(second_value);
    const int32_t shifted = output_scale.Of(total) + zero_point;
    *output++ = static_cast<int8_t>(Clamped(shifted, clamp.minimum, clamp.maximum));
  }
}

}  // namespace add_int8
}  // namespace reds

#endif
