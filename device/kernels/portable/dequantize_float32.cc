#include "kernels/kernels.h"

namespace reds {
namespace {

template <typename Element>
void RunAll(const Dequantize<Element>& dequantize) {
  for (int32_t index = dequantize.elements - 1; index >= 0; --index) {
    dequantize.output[index] =
        dequantize.scale * static_cast<float>(dequantize.input[index] - dequantize.zero_point);
  }
}

}  // namespace

void Run(const Dequantize<int8_t>& dequantize) { RunAll(dequantize); }
void Run(const Dequantize<int16_t>& dequantize) { RunAll(dequantize); }

}  // namespace reds
