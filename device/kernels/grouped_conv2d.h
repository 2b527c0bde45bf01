// The walk of a grouped convolution, which the element types have in common.
//
// Four output channels of a group are computed together, so that an activation is loaded once for four products.

#ifndef REDS_KERNELS_GROUPED_CONV2D_H
#define REDS_KERNELS_GROUPED_CONV2D_H

#include <cstdint>

#include "kernels/fixed_point.h"
#include "kernels/kernels.h"
#include "kernels/taps.h"

namespace reds {
namespace grouped_conv2d {

constexpr int32_t kBlock = 4;

// A group at one position of the output.
template <typename Element>
struct Position {
  const GroupedConv2D<Element>& conv;
  const TapRange& rows;
  const TapRange& columns;
  int32_t group;

  // Elements from one output channel's weights to the next one's.
  int32_t RowPitch() const {
    return conv.window.kernel_height * conv.window.kernel_width * conv.group_inputs;
  }
};

// sums[i] += products of the activations under the window and the weights of row i.
template <int32_t kRows, typename Element, typename Sum>
inline void SumInside(const Position<Element>& position, const Weight<Element>* weights, Sum (&sums)[kRows]) {
  const GroupedConv2D<Element>& conv = position.conv;
  const Window& window = conv.window;
  const int32_t channels = conv.groups * conv.group_inputs;
  const int32_t pitch = position.RowPitch();
  for (int32_t tap_y = position.rows.first; tap_y < position.rows.end; ++tap_y) {
    const int32_t y = position.rows.origin + tap_y * window.dilation_height;
    const int32_t x = position.columns.origin + position.columns.first * window.dilation_width;
    const Element* input =
        conv.input + (y * window.input_width + x) * channels + position.group * conv.group_inputs;
    const Weight<Element>* taps =
        weights + (tap_y * window.kernel_width + position.columns.first) * conv.group_inputs;
    for (int32_t tap_x = position.columns.first; tap_x < position.columns.end; ++tap_x) {
      for (int32_t element = 0; element < conv.group_inputs; ++element) {
        const Sum activation = input[element];
#pragma GCC unroll 4
        for (int32_t row = 0; row < kRows; ++row) sums[row] += activation * taps[row * pitch + element];
      }
      input += window.dilation_width * channels;
      taps += conv.group_inputs;
    }
  }
}

// Writes kRows output channels from `channel` on. Sums::Add does SumInside and what the element type needs beside it.
template <int32_t kRows, typename Sums, typename Element>
inline Element* WriteBlock(const Position<Element>& position, int32_t channel, Element* output) {
  typename Sums::Sum sums[kRows] = {};
  Sums::Add(position, position.conv.weights + channel * position.RowPitch(), sums);
#pragma GCC unroll 4
  for (int32_t row = 0; row < kRows; ++row) *output++ = Finish(position.conv.stage, channel + row, sums[row]);
  return output;
}

template <typename Sums, typename Element>
inline Element* WriteGroup(const Position<Element>& position, Element* output) {
  int32_t channel = position.group * position.conv.group_outputs;
  const int32_t end = channel + position.conv.group_outputs;
  for (; channel + kBlock <= end; channel += kBlock)
    output = WriteBlock<kBlock, Sums>(position, channel, output);
  for (; channel < end; ++channel) output = WriteBlock<1, Sums>(position, channel, output);
  return output;
}

template <typename Sums, typename Element>
void Walk(const GroupedConv2D<Element>& conv) {
  Element* output = conv.output;
  for (int32_t y = 0; y < conv.window.output_height; ++y) {
    const TapRange rows = RowsInside(conv.window, y);
    for (int32_t x = 0; x < conv.window.output_width; ++x) {
      const TapRange columns = ColumnsInside(conv.window, x);
      for (int32_t group = 0; group < conv.groups; ++group) {
        output = WriteGroup<Sums>(Position<Element>{conv, rows, columns, group}, output);
      }
    }
  }
}

}  // namespace grouped_conv2d
}  // namespace reds

#endif
