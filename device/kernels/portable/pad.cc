#include <cstring>

#include "kernels/kernels.h"

namespace reds {
namespace {

uint8_t* Fill(uint8_t* output, uint8_t value, int32_t bytes) {
  const size_t size = static_cast<size_t>(bytes);
  std::memset(output, value, size);
  return output + size;
}

uint8_t* Copy(uint8_t* output, const uint8_t* input, int32_t bytes) {
  const size_t size = static_cast<size_t>(bytes);
  std::memcpy(output, input, size);
  return output + size;
}

}  // namespace

void Run(const Pad& pad) {
  const uint8_t* input = pad.input;
  uint8_t* output = Fill(pad.output, pad.value, pad.above);
  for (int32_t row = 0; row < pad.rows; ++row) {
    output = Fill(output, pad.value, pad.left);
    output = Copy(output, input, pad.row);
    output = Fill(output, pad.value, pad.right);
    input += pad.row;
  }
  Fill(output, pad.value, pad.below);
}

}  // namespace reds
