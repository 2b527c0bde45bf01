#include "kernels/kernels.h"

namespace reds {

void Run(const LeakyRelu& relu) {
  const Elementwise& all = relu.elements;
  for (int32_t element = 0; element < all.elements; ++element) {
    const float value = all.input[element];
    all.output[element] = value < 0.0f ? value * relu.slope : value;
  }
}

}  // namespace reds
