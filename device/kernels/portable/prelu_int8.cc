#include "kernels/fixed_point.h"
#include "kernels/kernels.h"

namespace reds {

void Run(const PRelu<int8_t>& relu) {
  const int8_t* input = relu.input;
  int8_t* output = relu.output;
  for (int32_t left = relu.positions; left > 0; --left) {
    for (int32_t channel = 0; channel < relu.channels; ++channel) {
      const int32_t value = *input++ - relu.input_zero_point;
      const bool is_negative = value < 0;
      *output++ = Requantized(is_negative ? value * relu.slopes[channel] : value,
                              is_negative ? relu.negative : relu.positive, relu.zero_point, relu.clamp);
    }
  }
}

}  // namespace reds
