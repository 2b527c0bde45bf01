#include "kernels/kernels.h"

namespace reds {

void Run(const Lookup& lookup) {
#pragma GCC unroll 4
  for (int32_t element = 0; element < lookup.elements; ++element) {
    lookup.output[element] = lookup.table[static_cast<uint8_t>(lookup.input[element])];
  }
}

}  // namespace reds
