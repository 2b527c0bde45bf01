// The weights are walked once, row by row in memory order, whatever the prefix and the number of samples.

#include "kernels/fixed_point.h"
#include "kernels/kernels.h"

namespace reds {
namespace {

int64_t DotProduct(const int16_t* a, const int8_t* b, int32_t count) {
  int64_t sum = 0;
#pragma GCC unroll 8
  for (int32_t element = 0; element < count; ++element) sum += a[element] * b[element];
  return sum;
}

}  // namespace

void Run(const FullyConnected<int16_t>& layer) {
  const int8_t* row = layer.weights;
  for (int32_t channel = 0; channel < layer.output_channels; ++channel) {
    const int16_t* input = layer.input;
    int16_t* output = layer.output + channel;
    for (int32_t sample = 0; sample < layer.samples; ++sample) {
      *output = Finish(layer.stage, channel, DotProduct(input, row, layer.input_channels));
      input += layer.input_channels;
      output += layer.output_channels;
    }
    row += layer.weights_pitch;
  }
}

}  // namespace reds
