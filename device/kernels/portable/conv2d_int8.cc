#include "kernels/conv2d_int8.h"

namespace reds {
namespace {

struct Products {
  template <int32_t kRows>
  static void Add(const int8_t* input, const int8_t* weights, int32_t row_pitch, int32_t count,
                  int32_t (&sums)[kRows]) {
    for (int32_t element = 0; element < count; ++element) {
      const int32_t activation = input[element];
#pragma GCC unroll 4
      for (int32_t row = 0; row < kRows; ++row) sums[row] += activation * weights[row * row_pitch + element];
    }
  }
};

}  // namespace

void Run(const Conv2D<int8_t>& conv) { conv2d_int8::Walk<Products>(conv); }

}  // namespace reds
