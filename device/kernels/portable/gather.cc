#include <cstring>

#include "kernels/kernels.h"

namespace reds {

void Run(const Gather& gather) {
  uint8_t* output = gather.output;
  for (int32_t y = 0; y < gather.output_rows; ++y) {
    const uint8_t* row = gather.input + gather.rows[y] * gather.row;
    for (int32_t x = 0; x < gather.output_columns; ++x) {
      std::memcpy(output, row + gather.columns[x] * gather.position, static_cast<size_t>(gather.position));
      output += gather.position;
    }
  }
}

}  // namespace reds
