// libreds' order on weights without gaps, as if the file were packed for this very subnetwork: the best that
// any packing of nested subnetworks can reach. The numbers that it computes are not the network's.

#include "kernels/fixed_point.h"
#include "kernels/kernels.h"

namespace reds {
namespace {

template <typename Element>
inline void Walk(const FullyConnected<Element>& layer) {
  const Element* weight = layer.weights;
  for (int32_t channel = 0; channel < layer.output_channels; ++channel) {
    for (int32_t sample = 0; sample < layer.samples; ++sample) {
      const Element* const input = layer.input + sample * layer.input_channels;
      decltype(Element{} * Element{}) sum = 0;
      for (int32_t i = 0; i < layer.input_channels; ++i) sum += input[i] * weight[i];
      layer.output[sample * layer.output_channels + channel] = Finish(layer.stage, channel, sum);
    }
    weight += layer.input_channels;
  }
}

}  // namespace

void Run(const FullyConnected<int8_t>& layer) { Walk(layer); }
void Run(const FullyConnected<float>& layer) { Walk(layer); }

}  // namespace reds
