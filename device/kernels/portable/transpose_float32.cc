#include "kernels/kernels.h"
#include "kernels/transpose.h"

namespace reds {

void Run(const Transpose<float>& transpose) { transpose::Run(transpose); }

}  // namespace reds
