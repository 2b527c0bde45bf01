// Products of matrices of every type.

#ifndef REDS_KERNELS_BATCH_MATMUL_H
#define REDS_KERNELS_BATCH_MATMUL_H

#include <cstdint>

#include "kernels/kernels.h"

namespace reds {
namespace batch_matmul {

// Stores `finish(sum)` for every output element in order, where `multiply` makes the products that it sums.
template <typename Sum, typename Element, typename Multiply, typename Finish>
inline void Run(const Matrices<Element>& matrices, const Multiply& multiply, const Finish& finish) {
  const Element* first = matrices.first;
  const Element* second = matrices.second;
  Element* output = matrices.output;
  for (int32_t pairs_left = matrices.pairs; pairs_left > 0; --pairs_left) {
    for (int32_t row = 0; row < matrices.rows; ++row) {
      for (int32_t column = 0; column < matrices.columns; ++column) {
        const Element* left = first + row * matrices.first_row_step;
        const Element* right = second + column * matrices.second_column_step;
        Sum sum = 0;
        for (int32_t depth_left = matrices.depth; depth_left > 0; --depth_left) {
          sum += multiply(*left, *right);
          left += matrices.first_depth_step;
          right += matrices.second_depth_step;
        }
        *output++ = finish(sum);
      }
    }
    first += matrices.rows * matrices.depth;
    second += matrices.depth * matrices.columns;
  }
}

}  // namespace batch_matmul
}  // namespace reds

#endif
