#include "kernels/fixed_point.h"
#include "kernels/kernels.h"
#include "kernels/pool.h"

namespace reds {

void RunMaximum(const Pool2D<int8_t>& pool) {
  ForEachPatch(pool, [&pool](const Patch<int8_t>& patch) {
    int8_t maximum = *patch.first;
    ForEachElement(patch, [&maximum](int8_t element) { maximum = element > maximum ? element : maximum; });
    return Clamped(maximum, pool.clamp.minimum, pool.clamp.maximum);
  });
}

}  // namespace reds
