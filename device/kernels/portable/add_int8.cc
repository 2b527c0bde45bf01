#include "kernels/fixed_point.h"
#include "kernels/kernels.h"

namespace reds {
namespace {

int32_t Multiplied(int32_t value, const Factor& factor) {
  return DivideByPowerOfTwo(MultiplyHigh(value, factor.multiplier), -factor.shift);
}

int32_t Scaled(const Addend& addend, int32_t element, int32_t left_shift) {
  const int32_t value = addend.elements[element] - addend.zero_point;
  return Multiplied(WrappingShiftLeft(value, left_shift), addend.factor);
}

}  // namespace

void Run(const Add<int8_t>& sum) {
  for (int32_t element = 0; element < sum.elements; ++element) {
    const int32_t total =
        WrappingAdd(Scaled(sum.first, element, sum.left_shift), Scaled(sum.second, element, sum.left_shift));
    const int32_t shifted = WrappingAdd(Multiplied(total, sum.factor), sum.zero_point);
    sum.output[element] = static_cast<int8_t>(Clamped(shifted, sum.clamp.minimum, sum.clamp.maximum));
  }
}

}  // namespace reds
