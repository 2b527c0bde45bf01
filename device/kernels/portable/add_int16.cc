#include "kernels/fixed_point.h"
#include "kernels/kernels.h"

namespace reds {
namespace {

int32_t Scaled(int32_t value, const Factor& factor) {
  return MultiplyByQuantizedMultiplier(value, factor.multiplier, factor.shift);
}

}  // namespace

void Run(const Add<int16_t>& sum) {
  for (int32_t index = 0; index < sum.elements; ++index) {
    const int32_t first = Scaled(WrappingShiftLeft(sum.first[index], sum.left_shift), sum.first_factor);
    const int32_t second = Scaled(WrappingShiftLeft(sum.second[index], sum.left_shift), sum.second_factor);
    const int32_t total = Scaled(WrappingAdd(first, second), sum.factor);
    sum.output[index] = static_cast<int16_t>(Clamped(total, sum.clamp.minimum, sum.clamp.maximum));
  }
}

}  // namespace reds
