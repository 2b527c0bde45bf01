#include "kernels/fixed_point.h"
#include "kernels/kernels.h"
#include "kernels/pool.h"

namespace reds {

void RunAverage(const Pool2D<float>& pool) {
  ForEachPatch(pool, [&pool](const Patch<float>& patch) {
    float sum = 0;
    ForEachElement(patch, [&sum](float element) { sum += element; });
    const float count = static_cast<float>(patch.rows * patch.columns);
    return Clamped(sum / count, pool.clamp.minimum, pool.clamp.maximum);
  });
}

}  // namespace reds
