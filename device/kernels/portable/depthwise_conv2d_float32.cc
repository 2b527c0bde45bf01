#include "kernels/fixed_point.h"
#include "kernels/kernels.h"
#include "kernels/taps.h"

namespace reds {
namespace {

// The sum of products of one channel that begins at `input` and `weights`.
float Sum(const DepthwiseConv2D<float>& conv, const TapRange& rows, const TapRange& columns,
          const float* input, const float* weights) {
  const Window& window = conv.window;
  float sum = 0;
  for (int32_t tap_y = rows.first; tap_y < rows.end; ++tap_y) {
    const int32_t y = rows.origin + tap_y * window.dilation_height;
    const int32_t x = columns.origin + columns.first * window.dilation_width;
    const float* activation = input + (y * window.input_width + x) * conv.input_channels;
    const float* weight = weights + (tap_y * window.kernel_width + columns.first) * conv.weights_pitch;
    for (int32_t tap_x = columns.first; tap_x < columns.end; ++tap_x) {
      sum += *activation * *weight;
      activation += window.dilation_width * conv.input_channels;
      weight += conv.weights_pitch;
    }
  }
  return sum;
}

}  // namespace

void Run(const DepthwiseConv2D<float>& conv) {
  float* output = conv.output;
  for (int32_t y = 0; y < conv.window.output_height; ++y) {
    const TapRange rows = RowsInside(conv.window, y);
    for (int32_t x = 0; x < conv.window.output_width; ++x) {
      const TapRange columns = ColumnsInside(conv.window, x);
      int32_t channel = 0;
      for (int32_t input_channel = 0; input_channel < conv.input_channels; ++input_channel) {
        for (int32_t copy = 0; copy < conv.multiplier; ++copy, ++channel) {
          const float sum = Sum(conv, rows, columns, conv.input + input_channel, conv.weights + channel);
          *output++ = Finish(conv.stage, channel, sum);
        }
      }
    }
  }
}

}  // namespace reds
