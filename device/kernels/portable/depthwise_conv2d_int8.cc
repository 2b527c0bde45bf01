#include "kernels/depthwise_conv2d_int8.h"

namespace reds {

void Run(const DepthwiseConv2D<int8_t>& conv) { depthwise_conv2d_int8::Walk<4>(conv); }

}  // namespace reds
