#include "kernels/average_pool2d_int8.h"

#include "kernels/kernels.h"
#include "kernels/pool.h"

namespace reds {

void RunAverage(const Pool2D<int8_t>& pool) {
  ForEachPatch(
      pool, [&pool](const Patch<int8_t>& patch) { return average_pool2d_int8::Average(patch, pool.clamp); });
}

}  // namespace reds
