#include "kernels/fixed_point.h"
#include "kernels/kernels.h"
#include "kernels/pool.h"

namespace reds {

// Rounded half away from zero.
void RunAverage(const Pool2D<int16_t>& pool) {
  ForEachPatch(pool, [&pool](const Patch<int16_t>& patch) {
    const int32_t count = patch.rows * patch.columns;
    int32_t sum = 0;
    ForEachElement(patch, [&sum](int16_t element) { sum += element; });
    const int32_t average = (sum > 0 ? sum + count / 2 : sum - count / 2) / count;
    return static_cast<int16_t>(Clamped<int32_t>(average, pool.clamp.minimum, pool.clamp.maximum));
  });
}

}  // namespace reds
