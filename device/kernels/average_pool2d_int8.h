// What average pools of int8 maps share.

#ifndef REDS_KERNELS_AVERAGE_POOL2D_INT8_H
#define REDS_KERNELS_AVERAGE_POOL2D_INT8_H

#include <cstdint>

#include "kernels/fixed_point.h"
#include "kernels/kernels.h"
#include "kernels/pool.h"

namespace reds {
namespace average_pool2d_int8 {

// The average that is stored, rounded half away from zero.
inline __attribute__((noinline)) int8_t Rounded(int32_t sum, int32_t count, const Clamp<int8_t>& clamp) {
  const int32_t average = (sum > 0 ? sum + count / 2 : sum - count / 2) / count;
  return static_cast<int8_t>(Clamped<int32_t>(average, clamp.minimum, clamp.maximum));
}

inline int8_t Average(const Patch<int8_t>& patch, const Clamp<int8_t>& clamp) {
  int32_t sum = 0;
  ForEachElement(patch, [&sum](int8_t element) { sum += element; });
  return Rounded(sum, patch.rows * patch.columns, clamp);
}

}  // namespace average_pool2d_int8
}  // namespace reds

#endif
