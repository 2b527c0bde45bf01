// One sample is multiplied with two rows of the weights at a time (row_pairs.h). Anything
// else takes four rows at a time, so that an activation is loaded and widened once for four products.

#include <cstdint>
#include <cstring>

#include "kernels/armv7em/dual_products.h"
#include "kernels/armv7em/requantize.h"
#include "kernels/armv7em/row_pairs.h"
#include "kernels/kernels.h"

namespace reds {
namespace {

using armv7em::RowPairs;

constexpr int32_t kRows = 4;

// Functions of their own, so that their frames do not lie under each other. Fewer rows than four are taken one by one,
// each as if it were four; of more, the last four may be computed again in part.
__attribute__((noinline)) void RunFourRows(const FullyConnected<int8_t>& layer) {
  const int32_t outputs = layer.output_channels;
  const int32_t rows = outputs < kRows ? 1 : kRows;
  const int32_t pitch = outputs < kRows ? 0 : layer.weights_pitch;
  for (int32_t next = 0; next < outputs; next += rows) {
    const int32_t channel = next + rows <= outputs ? next : outputs - rows;
    const int8_t* const row = layer.weights + channel * layer.weights_pitch;
    const int8_t* input = layer.input;
    int8_t* output = layer.output + channel;
    for (int32_t sample = 0; sample < layer.samples; ++sample) {
      int32_t sums[kRows];
      memcpy(sums, layer.stage.bias + channel, static_cast<size_t>(rows) * sizeof *sums);
      armv7em::AddProducts4Rows(input, row, pitch, layer.input_channels, sums);
      armv7em::FinishChannels(layer.stage, channel, channel + rows, sums, output);
      input += layer.input_channels;
      output += outputs;
    }
  }
}

__attribute__((noinline)) void RunRowPairs(const FullyConnected<int8_t>& layer) { RowPairs(layer).Run(); }

}  // namespace

void Run(const FullyConnected<int8_t>& layer) {
  if (RowPairs::Supports(layer)) {
    RunRowPairs(layer);
  } else {
    RunFourRows(layer);
  }
}

}  // namespace reds
