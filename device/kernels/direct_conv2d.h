// The walk of a convolution that leaves out the taps in the padding, whose value is 0.

#ifndef REDS_KERNELS_DIRECT_CONV2D_H
#define REDS_KERNELS_DIRECT_CONV2D_H

#include <cstdint>

#include "kernels/fixed_point.h"
#include "kernels/kernels.h"
#include "kernels/taps.h"

namespace reds {
namespace direct_conv2d {

// One position of the output.
template <typename Element>
struct Position {
  const Conv2D<Element>& conv;
  const TapRange& rows;
  const TapRange& columns;
};

// The sums of products of kRows output channels whose weights begin `pitch` elements from each other.
template <int32_t kRows, typename Element, typename Sum>
inline void AddProducts(const Position<Element>& position, const Weight<Element>* weights, int32_t pitch,
                        Sum (&sums)[kRows]) {
  const Conv2D<Element>& conv = position.conv;
  const Window& window = conv.window;
  for (int32_t tap_y = position.rows.first; tap_y < position.rows.end; ++tap_y) {
    const int32_t y = position.rows.origin + tap_y * window.dilation_height;
    const int32_t x = position.columns.origin + position.columns.first * window.dilation_width;
    const Element* input = conv.input + (y * window.input_width + x) * conv.input_channels;
    const Weight<Element>* taps =
        weights + (tap_y * window.kernel_width + position.columns.first) * conv.weights_pitch;
    for (int32_t tap_x = position.columns.first; tap_x < position.columns.end; ++tap_x) {
      for (int32_t element = 0; element < conv.input_channels; ++element) {
#pragma GCC unroll 4
        for (int32_t row = 0; row < kRows; ++row) sums[row] += input[element] * taps[row * pitch + element];
      }
      input += window.dilation_width * conv.input_channels;
      taps += conv.weights_pitch;
    }
  }
}

template <int32_t kRows, typename Sum, typename Element>
inline Element* WriteBlock(const Position<Element>& position, int32_t channel, Element* output) {
  const Conv2D<Element>& conv = position.conv;
  const int32_t pitch = conv.window.kernel_height * conv.window.kernel_width * conv.weights_pitch;
  Sum sums[kRows] = {};
  AddProducts(position, conv.weights + channel * pitch, pitch, sums);
#pragma GCC unroll 4
  for (int32_t row = 0; row < kRows; ++row) *output++ = Finish(conv.stage, channel + row, sums[row]);
  return output;
}

// Computes kBlock output channels together, so that an activation is loaded once for all of their products.
template <int32_t kBlock, typename Sum, typename Element>
void Walk(const Conv2D<Element>& conv) {
  const Window& window = conv.window;
  const bool is_backward = IsBackward(conv);
  const int32_t first_y = is_backward ? window.output_height - 1 : 0;
  const int32_t first_x = is_backward ? window.output_width - 1 : 0;
  const int32_t step = is_backward ? -1 : 1;
  Element* output = conv.output + (first_y * window.output_width + first_x) * conv.output_channels;
  int32_t y = first_y;
  for (int32_t height = window.output_height; height > 0; --height, y += step) {
    const TapRange rows = RowsInside(window, y);
    int32_t x = first_x;
    for (int32_t width = window.output_width; width > 0; --width, x += step) {
      const TapRange columns = ColumnsInside(window, x);
      const Position<Element> position = {conv, rows, columns};
      Element* to = output;
      int32_t channel = 0;
      for (; channel + kBlock <= conv.output_channels; channel += kBlock) {
        to = WriteBlock<kBlock, Sum>(position, channel, to);
      }
      for (; channel < conv.output_channels; ++channel) to = WriteBlock<1, Sum>(position, channel, to);
      output += step * conv.output_channels;
    }
  }
}

}  // namespace direct_conv2d
}  // namespace reds

#endif
