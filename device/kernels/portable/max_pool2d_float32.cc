#include "kernels/fixed_point.h"
#include "kernels/kernels.h"
#include "kernels/pool.h"

namespace reds {

void RunMaximum(const Pool2D<float>& pool) {
  ForEachPatch(pool, [&pool](const Patch<float>& patch) {
    float maximum = *patch.first;
    ForEachElement(patch, [&maximum](float element) { maximum = element > maximum ? element : maximum; });
    return Clamped(maximum, pool.clamp.minimum, pool.clamp.maximum);
  });
}

}  // namespace reds
