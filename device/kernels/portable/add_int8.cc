#include "kernels/add_int8.h"

#include "kernels/kernels.h"

namespace reds {

void Run(const Add<int8_t>& sum) { add_int8::Run(sum); }

}  // namespace reds
