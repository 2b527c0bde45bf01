// Each activation is loaded once and multiplied with its column of the weights. The columns of a row-major
// matrix are strided; so are the rows of one that Keras stores, (inputs, outputs), in the straight order.

#include "kernels/fixed_point.h"
#include "kernels/kernels.h"

namespace reds {
namespace {

constexpr int32_t kMaximumChannels = 1024;

template <typename Element>
inline void Walk(const FullyConnected<Element>& layer) {
  using Sum = decltype(Element{} * Element{});
  Sum sums[kMaximumChannels];
  const Element* input = layer.input;
  Element* output = layer.output;
  for (int32_t sample = 0; sample < layer.samples; ++sample) {
    for (int32_t channel = 0; channel < layer.output_channels; ++channel) sums[channel] = 0;
    for (int32_t i = 0; i < layer.input_channels; ++i) {
      const Sum activation = *input++;
      const Element* weight = layer.weights + i;
      for (int32_t channel = 0; channel < layer.output_channels; ++channel) {
        sums[channel] += activation * *weight;
        weight += layer.weights_pitch;
      }
    }
    for (int32_t channel = 0; channel < layer.output_channels; ++channel) {
      *output++ = Finish(layer.stage, channel, sums[channel]);
    }
  }
}

}  // namespace

void Run(const FullyConnected<int8_t>& layer) { Walk(layer); }
void Run(const FullyConnected<float>& layer) { Walk(layer); }

}  // namespace reds
