#include <cstring>

#include "kernels/kernels.h"

namespace reds {

void Run(const CopyChannels& copy) {
  const uint8_t* input = copy.input;
  uint8_t* output = copy.output;
  for (int32_t position = 0; position < copy.positions; ++position) {
    std::memcpy(output, input, static_cast<size_t>(copy.bytes));
    input += copy.input_pitch;
    output += copy.pitch;
  }
}

}  // namespace reds
