#include <cstring>

#include "kernels/kernels.h"

namespace reds {

void Run(const Repeat& repeat) {
  const size_t position = static_cast<size_t>(repeat.position);
  const uint8_t* row = repeat.input;
  uint8_t* output = repeat.output;
  for (int32_t rows_left = repeat.rows; rows_left > 0; --rows_left) {
    const uint8_t* input = row;
    for (int32_t row_times = repeat.row_times; row_times > 0; --row_times) {
      input = row;
      for (int32_t columns_left = repeat.columns; columns_left > 0; --columns_left) {
        for (int32_t times = repeat.column_times; times > 0; --times) {
          std::memcpy(output, input, position);
          output += position;
        }
        input += position;
      }
    }
    row = input;
  }
}

}  // namespace reds
