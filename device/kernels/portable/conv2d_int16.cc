#include "kernels/direct_conv2d.h"

namespace reds {

void Run(const Conv2D<int16_t>& conv) { direct_conv2d::Walk<2, int64_t>(conv); }

}  // namespace reds
