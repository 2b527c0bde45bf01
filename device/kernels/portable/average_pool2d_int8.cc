#include "kernels/fixed_point.h"
#include "kernels/kernels.h"
#include "kernels/pool.h"

namespace reds {

void RunAverage(const Pool2D<int8_t>& pool) {
  ForEachPatch(pool, [&pool](const Patch<int8_t>& patch) {
    int32_t sum = 0;
    ForEachElement(patch, [&sum](int8_t element) { sum += element; });
    const int32_t count = patch.rows * patch.columns;
    const int32_t average = (sum > 0 ? sum + count / 2 : sum - count / 2) / count;
    return static_cast<int8_t>(Clamped<int32_t>(average, pool.clamp.minimum, pool.clamp.maximum));
  });
}

}  // namespace reds
