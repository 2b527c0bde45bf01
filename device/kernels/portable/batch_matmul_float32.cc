#include "kernels/batch_matmul.h"
#include "kernels/kernels.h"

namespace reds {

void Run(const BatchMatMul<float>& product) {
  batch_matmul::Run<float>(
      product.matrices, [](float first, float second) { return first * second; },
      [](float sum) { return sum; });
}

}  // namespace reds
