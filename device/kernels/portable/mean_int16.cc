#include "kernels/fixed_point.h"
#include "kernels/kernels.h"

namespace reds {

void Run(const Mean<int16_t>& mean) {
  for (int32_t channel = 0; channel < mean.channels; ++channel) {
    const int16_t* element = mean.input + channel;
    int32_t sum = 0;
    for (int32_t left = mean.positions; left > 0; --left) {
      sum += *element;
      element += mean.channels;
    }
    const int32_t average = MultiplyByQuantizedMultiplier(sum, mean.factor.multiplier, mean.factor.shift);
    mean.output[channel] = static_cast<int16_t>(Clamped(average, mean.clamp.minimum, mean.clamp.maximum));
  }
}

}  // namespace reds
