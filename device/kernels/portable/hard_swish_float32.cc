#include "kernels/fixed_point.h"
#include "kernels/kernels.h"

namespace reds {

void RunHardSwish(const Elementwise& all) {
  for (int32_t element = 0; element < all.elements; ++element) {
    const float value = all.input[element];
    all.output[element] = value * Clamped(value + 3.0f, 0.0f, 6.0f) / 6.0f;
  }
}

}  // namespace reds
