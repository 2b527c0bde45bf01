#include "kernels/exponential.h"
#include "kernels/kernels.h"

namespace reds {

void RunLogistic(const Elementwise& all) {
  for (int32_t element = 0; element < all.elements; ++element) {
    const float value = all.input[element];
    const float power = ExpOfNegative(value < 0.0f ? value : -value);
    all.output[element] = (value < 0.0f ? power : 1.0f) / (1.0f + power);
  }
}

}  // namespace reds
