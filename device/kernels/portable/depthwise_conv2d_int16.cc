#include "kernels/direct_depthwise_conv2d.h"

namespace reds {

void Run(const DepthwiseConv2D<int16_t>& conv) { direct_depthwise_conv2d::Walk<int64_t>(conv); }

}  // namespace reds
