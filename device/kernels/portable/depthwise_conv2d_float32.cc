#include "kernels/direct_depthwise_conv2d.h"

namespace reds {

void Run(const DepthwiseConv2D<float>& conv) { direct_depthwise_conv2d::Walk<float>(conv); }

}  // namespace reds
