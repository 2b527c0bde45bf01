#include "kernels/fixed_point.h"
#include "kernels/kernels.h"

namespace reds {

void Run(const Mul<int8_t>& product) {
  for (int32_t element = 0; element < product.elements; ++element) {
    const int32_t first = product.first[element] - product.first_zero_point;
    const int32_t second = product.second[element] - product.second_zero_point;
    product.output[element] = Requantized(first * second, product.factor, product.zero_point, product.clamp);
  }
}

}  // namespace reds
