#include "kernels/fixed_point.h"
#include "kernels/kernels.h"
#include "kernels/pool.h"

namespace reds {

void RunMaximum(const Pool2D<int16_t>& pool) {
  ForEachPatch(pool, [&pool](const Patch<int16_t>& patch) {
    int16_t maximum = *patch.first;
    ForEachElement(patch, [&maximum](int16_t element) { maximum = element > maximum ? element : maximum; });
    return Clamped(maximum, pool.clamp.minimum, pool.clamp.maximum);
  });
}

}  // namespace reds
