// One sample is multiplied with two rows of the weights at a time (row_pairs.h). Anything
// else takes four rows at a time, so that an activation is loaded and widened once for four products.

#include <cstdint>

#include "kernels/armv7em/dual_products.h"
#include "kernels/armv7em/requantize.h"
#include "kernels/armv7em/row_pairs.h"
#include "kernels/kernels.h"

namespace reds {
namespace {

using armv7em::RowPairs;

constexpr int32_t kRows = 4;

void WriteFour(const FullyConnected<int8_t>& layer, int32_t channel) {
  const int8_t* const rows = layer.weights + channel * layer.weights_pitch;
  const int8_t* input = layer.input;
  int8_t* output = layer.output + channel;
  for (int32_t sample = 0; sample < layer.samples; ++sample) {
    const int32_t* const bias = layer.stage.bias + channel;
    int32_t sums[kRows] = {bias[0], bias[1], bias[2], bias[3]};
    armv7em::AddProducts4Rows(input, rows, layer.weights_pitch, layer.input_channels, sums);
    armv7em::FinishChannels(layer.stage, channel, channel + kRows, sums, output);
    input += layer.input_channels;
    output += layer.output_channels;
  }
}

void WriteOne(const FullyConnected<int8_t>& layer, int32_t channel) {
  const int8_t* const row = layer.weights + channel * layer.weights_pitch;
  const int8_t* input = layer.input;
  int8_t* output = layer.output + channel;
  for (int32_t sample = 0; sample < layer.samples; ++sample) {
    int32_t sum = layer.stage.bias[channel];
    armv7em::AddProducts1Row(input, row, layer.input_channels, sum);
    armv7em::FinishOneByOne(layer.stage, channel, channel + 1, &sum, output);
    input += layer.input_channels;
    output += layer.output_channels;
  }
}

// Functions of their own, so that their frames do not lie under each other.
__attribute__((noinline)) void RunFourRows(const FullyConnected<int8_t>& layer) {
  int32_t channel = 0;
  for (; channel + kRows <= layer.output_channels; channel += kRows) WriteFour(layer, channel);
  for (; channel < layer.output_channels; ++channel) WriteOne(layer, channel);
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
