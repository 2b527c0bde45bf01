#include "kernels/direct_conv2d.h"

namespace reds {

void Run(const Conv2D<float>& conv) { direct_conv2d::Walk<4, float>(conv); }

}  // namespace reds
