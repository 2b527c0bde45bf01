// Exchanging the dimensions of a map, for every type.

#ifndef REDS_KERNELS_TRANSPOSE_H
#define REDS_KERNELS_TRANSPOSE_H

#include <cstdint>

#include "kernels/kernels.h"

namespace reds {
namespace transpose {

template <typename Element>
inline void Run(const Transpose<Element>& transpose) {
  const int32_t channels = transpose.sizes[2];
  const int32_t step = transpose.steps[2];
  const Element* row = transpose.input;
  Element* output = transpose.output;
  for (int32_t rows_left = transpose.sizes[0]; rows_left > 0; --rows_left) {
    const Element* position = row;
    for (int32_t columns_left = transpose.sizes[1]; columns_left > 0; --columns_left) {
      for (int32_t channel = 0; channel < channels; ++channel) *output++ = position[channel * step];
      position += transpose.steps[1];
    }
    row += transpose.steps[0];
  }
}

}  // namespace transpose
}  // namespace reds

#endif
