// The weights are walked once, row by row in memory order, whatever the prefix and the number of samples.

#include "kernels/fixed_point.h"
#include "kernels/kernels.h"

namespace reds {
namespace {

int32_t DotProduct(const int8_t* a, const int8_t* b, int32_t count) {
  int32_t sum = 0;
  const int8_t* const unrolled_end = a + (count & ~3);
  const int8_t* const end = a + count;
  for (; a != unrolled_end; a += 4, b += 4) {
    sum += a[0] * b[0];
    sum += a[1] * b[1];
    sum += a[2] * b[2];
    sum += a[3] * b[3];
  }
  for (; a != end; ++a, ++b) sum += *a * *b;
  return sum;
}

}  // namespace

void Run(const FullyConnected<int8_t>& layer) {
  const int8_t* row = layer.weights;
  for (int32_t channel = 0; channel < layer.output_channels; ++channel) {
    const int8_t* input = layer.input;
    int8_t* output = layer.output + channel;
    for (int32_t sample = 0; sample < layer.samples; ++sample) {
      *output = Finish(layer.stage, channel, DotProduct(input, row, layer.input_channels));
      input += layer.input_channels;
      output += layer.output_channels;
    }
    row += layer.weights_pitch;
  }
}

}  // namespace reds
