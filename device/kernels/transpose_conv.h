// Transposed convolutions of every type.

#ifndef REDS_KERNELS_TRANSPOSE_CONV_H
#define REDS_KERNELS_TRANSPOSE_CONV_H

#include <cstdint>

#include "kernels/fixed_point.h"
#include "kernels/kernels.h"

namespace reds {
namespace transpose_conv {

// The first tap by which an input reaches an output, and that input. With each further stride of taps comes the
// input before.
struct Reach {
  int32_t tap;
  int32_t input;
};

// `place` is the output's with the padding added.
inline Reach ReachOf(int32_t place, int32_t stride, int32_t inputs) {
  const int32_t input = place / stride;
  const int32_t beyond = input < inputs ? 0 : input - (inputs - 1);
  return {place - (input - beyond) * stride, input - beyond};
}

// Calls `add(input, weights)` with the first channels of every pair that an output position sums.
template <typename Element, typename Add>
inline void ForEachTap(const Conv2D<Element>& conv, const Reach& rows, const Reach& columns,
                       const Element* weights, const Add& add) {
  const Window& window = conv.window;
  int32_t y = rows.input;
  for (int32_t i = rows.tap; y >= 0 && i < window.kernel_height; i += window.stride_height, --y) {
    int32_t x = columns.input;
    for (int32_t j = columns.tap; x >= 0 && j < window.kernel_width; j += window.stride_width, --x) {
      add(conv.input + (y * window.input_width + x) * conv.input_channels,
          weights + (i * window.kernel_width + j) * conv.weights_pitch);
    }
  }
}

// Sum is the type of a sum of products of Element.
template <typename Sum, typename Element>
inline void Run(const Conv2D<Element>& conv) {
  const Window& window = conv.window;
  const int32_t filter = window.kernel_height * window.kernel_width * conv.weights_pitch;
  const Sum zero_point = static_cast<Sum>(conv.input_zero_point);
  Element* output = conv.output;
  for (int32_t y = 0; y < window.output_height; ++y) {
    const Reach rows = ReachOf(y + window.padding_top, window.stride_height, window.input_height);
    for (int32_t x = 0; x < window.output_width; ++x) {
      const Reach columns = ReachOf(x + window.padding_left, window.stride_width, window.input_width);
      const Element* weights = conv.weights;
      for (int32_t channel = 0; channel < conv.output_channels; ++channel) {
        Sum sum = 0;
        ForEachTap(conv, rows, columns, weights, [&](const Element* input, const Element* weight) {
          for (int32_t left = conv.input_channels; left > 0; --left) {
            sum += (*input++ - zero_point) * *weight++;
          }
        });
        *output++ = Finish(conv.stage, channel, sum);
        weights += filter;
      }
    }
  }
}

}  // namespace transpose_conv
}  // namespace reds

#endif
