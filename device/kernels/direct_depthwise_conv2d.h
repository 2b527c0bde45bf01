// The walk of a depthwise convolution that leaves out the taps in the padding, whose value is 0.

#ifndef REDS_KERNELS_DIRECT_DEPTHWISE_CONV2D_H
#define REDS_KERNELS_DIRECT_DEPTHWISE_CONV2D_H

#include <cstdint>

#include "kernels/fixed_point.h"
#include "kernels/kernels.h"
#include "kernels/taps.h"

namespace reds {
namespace direct_depthwise_conv2d {

// The sum of products of one channel that begins at `input` and `weights`.
template <typename Sum, typename Element>
inline Sum SumOfProducts(const DepthwiseConv2D<Element>& conv, const TapRange& rows, const TapRange& columns,
                         const Element* input, const Weight<Element>* weights) {
  const Window& window = conv.window;
  Sum sum = 0;
  for (int32_t tap_y = rows.first; tap_y < rows.end; ++tap_y) {
    const int32_t y = rows.origin + tap_y * window.dilation_height;
    const int32_t x = columns.origin + columns.first * window.dilation_width;
    const Element* activation = input + (y * window.input_width + x) * conv.input_channels;
    const Weight<Element>* weight =
        weights + (tap_y * window.kernel_width + columns.first) * conv.weights_pitch;
    for (int32_t tap_x = columns.first; tap_x < columns.end; ++tap_x) {
      sum += *activation * *weight;
      activation += window.dilation_width * conv.input_channels;
      weight += conv.weights_pitch;
    }
  }
  return sum;
}

template <typename Sum, typename Element>
void Walk(const DepthwiseConv2D<Element>& conv) {
  Element* output = conv.output;
  for (int32_t y = 0; y < conv.window.output_height; ++y) {
    const TapRange rows = RowsInside(conv.window, y);
    for (int32_t x = 0; x < conv.window.output_width; ++x) {
      const TapRange columns = ColumnsInside(conv.window, x);
      int32_t channel = 0;
      for (int32_t input_channel = 0; input_channel < conv.input_channels; ++input_channel) {
        for (int32_t copy = 0; copy < conv.multiplier; ++copy, ++channel) {
          const Sum sum =
              SumOfProducts<Sum>(conv, rows, columns, conv.input + input_channel, conv.weights + channel);
          *output++ = Finish(conv.stage, channel, sum);
        }
      }
    }
  }
}

}  // namespace direct_depthwise_conv2d
}  // namespace reds

#endif
