#include "kernels/fixed_point.h"
#include "kernels/kernels.h"

namespace reds {

void Run(const Mean<int8_t>& mean) {
  for (int32_t channel = 0; channel < mean.channels; ++channel) {
    const int8_t* element = mean.input + channel;
    int32_t sum = 0;
    for (int32_t left = mean.positions; left > 0; --left) {
      sum += *element - mean.input_zero_point;
      element += mean.channels;
    }
    mean.output[channel] = Requantized(sum, mean.factor, mean.zero_point, mean.clamp);
  }
}

}  // namespace reds
