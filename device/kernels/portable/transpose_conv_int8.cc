#include "kernels/kernels.h"
#include "kernels/transpose_conv.h"

namespace reds {

void Run(const TransposeConv<int8_t>& transpose) { transpose_conv::Run<int32_t>(transpose.conv); }

}  // namespace reds
