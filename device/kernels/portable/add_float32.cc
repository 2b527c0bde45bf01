#include "kernels/fixed_point.h"
#include "kernels/kernels.h"

namespace reds {

void Run(const Add<float>& sum) {
  for (int32_t element = 0; element < sum.elements; ++element) {
    sum.output[element] =
        Clamped(sum.first[element] + sum.sign * sum.second[element], sum.clamp.minimum, sum.clamp.maximum);
  }
}

}  // namespace reds
