#include "kernels/fixed_point.h"
#include "kernels/kernels.h"

namespace reds {

void Run(const Mul<float>& product) {
  for (int32_t element = 0; element < product.elements; ++element) {
    product.output[element] = Clamped(product.first[element] * product.second[element], product.clamp.minimum,
                                      product.clamp.maximum);
  }
}

}  // namespace reds
