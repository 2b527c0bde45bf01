// Four rows of the weights at a time, so that an activation is loaded once for four products.

#include <cstdint>

#include "kernels/helium/requantize.h"
#include "kernels/helium/row_fours.h"
#include "kernels/kernels.h"

namespace reds {

void Run(const FullyConnected<int8_t>& layer) {
  const int32_t outputs = layer.output_channels;
  const int8_t* row = layer.weights;
  for (int32_t channel = 0; channel < outputs; channel += helium::kLanes) {
    helium::Requantizer requantizer(layer.stage, channel, outputs);
    helium::RowFour rows(row, layer.weights_pitch, outputs - channel, requantizer.Biases());
    const int8_t* input = layer.input;
    int8_t* output = layer.output + channel;
    for (int32_t sample = 0; sample < layer.samples; ++sample) {
      requantizer.StoreBiased(rows.Sums(input, layer.input_channels), output);
      input += layer.input_channels;
      output += outputs;
    }
    row += helium::kLanes * layer.weights_pitch;
  }
}

}  // namespace reds
