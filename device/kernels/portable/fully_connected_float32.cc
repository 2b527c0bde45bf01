// The weights are walked once, row by row in memory order, whatever the prefix and the number of samples.

#include "kernels/fixed_point.h"
#include "kernels/kernels.h"

namespace reds {
namespace {

float DotProduct(const float* a, const float* b, int32_t count) {
  float sum = 0;
  const float* const unrolled_end = a + (count & ~3);
  const float* const end = a + count;
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

void Run(const FullyConnected<float>& layer) {
  const float* row = layer.weights;
  for (int32_t channel = 0; channel < layer.output_channels; ++channel) {
    const float* input = layer.input;
    float* output = layer.output + channel;
    for (int32_t sample = 0; sample < layer.samples; ++sample) {
      *output = Finish(layer.stage, channel, DotProduct(input, row, layer.input_channels));
      input += layer.input_channels;
      output += layer.output_channels;
    }
    row += layer.weights_pitch;
  }
}

}  // namespace reds
