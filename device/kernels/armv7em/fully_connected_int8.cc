// Four rows of the weights at a time, so that an activation is loaded and widened once for four products.

#include <cstdint>

#include "kernels/armv7em/dual_products.h"
#include "kernels/armv7em/requantize.h"
#include "kernels/fixed_point.h"
#include "kernels/kernels.h"

namespace reds {
namespace {

constexpr int32_t kRows = 4;

void WriteFour(const FullyConnected<int8_t>& layer, bool have_scales, int32_t channel) {
  const int8_t* const rows = layer.weights + channel * layer.weights_pitch;
  const int8_t* input = layer.input;
  int8_t* output = layer.output + channel;
  for (int32_t sample = 0; sample < layer.samples; ++sample) {
    int32_t sums[kRows] = {};
    armv7em::AddProducts4Rows(input, rows, layer.weights_pitch, layer.input_channels, sums);
    armv7em::FinishFour(layer.stage, have_scales, channel, sums, output);
    input += layer.input_channels;
    output += layer.output_channels;
  }
}

void WriteOne(const FullyConnected<int8_t>& layer, int32_t channel) {
  const int8_t* const row = layer.weights + channel * layer.weights_pitch;
  const int8_t* input = layer.input;
  int8_t* output = layer.output + channel;
  for (int32_t sample = 0; sample < layer.samples; ++sample) {
    int32_t sum = 0;
    armv7em::AddProducts1Row(input, row, layer.input_channels, sum);
    *output = Finish(layer.stage, channel, sum);
    input += layer.input_channels;
    output += layer.output_channels;
  }
}

}  // namespace

void Run(const FullyConnected<int8_t>& layer) {
  const bool have_scales = armv7em::HaveScales(layer.stage, layer.output_channels);
  int32_t channel = 0;
  for (; channel + kRows <= layer.output_channels; channel += kRows) WriteFour(layer, have_scales, channel);
  for (; channel < layer.output_channels; ++channel) WriteOne(layer, channel);
}

}  // namespace reds
