#include "kernels/fixed_point.h"
#include "kernels/kernels.h"

namespace reds {

void Run(const Relu<int8_t>& relu) {
  // Copies: the compiler cannot know that the output does not overwrite the operands.
  const int32_t minimum = relu.clamp.minimum;
  const int32_t maximum = relu.clamp.maximum;
  const int8_t* input = relu.input;
  int8_t* output = relu.output;
#pragma GCC unroll 4
  for (int32_t left = relu.elements; left > 0; --left) {
    *output++ = static_cast<int8_t>(Clamped<int32_t>(*input++, minimum, maximum));
  }
}

}  // namespace reds
