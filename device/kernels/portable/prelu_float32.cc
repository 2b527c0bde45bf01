#include "kernels/kernels.h"

namespace reds {

void Run(const PRelu<float>& relu) {
  const float* input = relu.input;
  float* output = relu.output;
  for (int32_t left = relu.positions; left > 0; --left) {
    for (int32_t channel = 0; channel < relu.channels; ++channel) {
      const float value = *input++;
      *output++ = value < 0.0f ? value * relu.slopes[channel] : value;
    }
  }
}

}  // namespace reds
