// Four rows side by side, as kernels with more registers than the portable ones take them.

#include "kernels/fixed_point.h"
#include "kernels/kernels.h"

namespace reds {
namespace {

constexpr int32_t kRows = 4;

template <int32_t rows, typename Element>
inline void WalkRows(const FullyConnected<Element>& layer, int32_t channel) {
  const Element* const row = layer.weights + channel * layer.weights_pitch;
  const Element* input = layer.input;
  Element* output = layer.output + channel;
  for (int32_t sample = 0; sample < layer.samples; ++sample) {
    decltype(Element{} * Element{}) sums[rows] = {};
    for (int32_t i = 0; i < layer.input_channels; ++i) {
#pragma GCC unroll 4
      for (int32_t r = 0; r < rows; ++r) sums[r] += input[i] * row[r * layer.weights_pitch + i];
    }
#pragma GCC unroll 4
    for (int32_t r = 0; r < rows; ++r) output[r] = Finish(layer.stage, channel + r, sums[r]);
    input += layer.input_channels;
    output += layer.output_channels;
  }
}

template <typename Element>
inline void Walk(const FullyConnected<Element>& layer) {
  int32_t channel = 0;
  for (; channel + kRows <= layer.output_channels; channel += kRows) WalkRows<kRows>(layer, channel);
  for (; channel < layer.output_channels; ++channel) WalkRows<1>(layer, channel);
}

}  // namespace

void Run(const FullyConnected<int8_t>& layer) { Walk(layer); }
void Run(const FullyConnected<float>& layer) { Walk(layer); }

}  // namespace reds
