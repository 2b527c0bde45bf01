#include "kernels/fixed_point.h"
#include "kernels/kernels.h"

namespace reds {

void Run(const Relu<int8_t>& relu) {
  for (int32_t element = 0; element < relu.elements; ++element) {
    relu.output[element] = Clamped(relu.input[element], relu.clamp.minimum, relu.clamp.maximum);
  }
}

}  // namespace reds
