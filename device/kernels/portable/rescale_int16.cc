#include "kernels/fixed_point.h"
#include "kernels/kernels.h"

namespace reds {

void Run(const Rescale& rescale) {
  for (int32_t index = 0; index < rescale.elements; ++index) {
    const int32_t scaled =
        MultiplyByQuantizedMultiplier(rescale.input[index], rescale.factor.multiplier, rescale.factor.shift);
    rescale.output[index] =
        static_cast<int16_t>(Clamped(scaled, rescale.clamp.minimum, rescale.clamp.maximum));
  }
}

}  // namespace reds
