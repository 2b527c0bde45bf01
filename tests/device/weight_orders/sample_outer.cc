// The straight order, that of TFLite Micro's reference kernel: all weights once for every sample.

#include "kernels/fixed_point.h"
#include "kernels/kernels.h"

namespace reds {
namespace {

template <typename Element>
inline void Walk(const FullyConnected<Element>& layer) {
  const Element* input = layer.input;
  Element* output = layer.output;
  for (int32_t sample = 0; sample < layer.samples; ++sample) {
    for (int32_t channel = 0; channel < layer.output_channels; ++channel) {
      const Element* row = layer.weights + channel * layer.weights_pitch;
      decltype(Element{} * Element{}) sum = 0;
      for (int32_t i = 0; i < layer.input_channels; ++i) sum += input[i] * row[i];
      *output++ = Finish(layer.stage, channel, sum);
    }
    input += layer.input_channels;
  }
}

}  // namespace

void Run(const FullyConnected<int8_t>& layer) { Walk(layer); }
void Run(const FullyConnected<float>& layer) { Walk(layer); }

}  // namespace reds
