#include "kernels/batch_matmul.h"
#include "kernels/fixed_point.h"
#include "kernels/kernels.h"

namespace reds {

void Run(const BatchMatMul<int8_t>& product) {
  batch_matmul::Run<int32_t>(
      product.matrices,
      [&product](int8_t first, int8_t second) {
        return (first - product.first_zero_point) * (second - product.second_zero_point);
      },
      [&product](int32_t sum) {
        return Requantized(sum, product.factor, product.zero_point, product.clamp);
      });
}

}  // namespace reds
