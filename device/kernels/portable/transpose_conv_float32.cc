#include "kernels/kernels.h"
#include "kernels/transpose_conv.h"

namespace reds {

void Run(const TransposeConv<float>& transpose) { transpose_conv::Run<float>(transpose.conv); }

}  // namespace reds
