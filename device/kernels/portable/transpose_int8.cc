#include "kernels/kernels.h"
#include "kernels/transpose.h"

namespace reds {

void Run(const Transpose<int8_t>& transpose) { transpose::Run(transpose); }

}  // namespace reds
