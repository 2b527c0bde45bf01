// The walk of an int8 depthwise convolution over map and weights where they lie, without a buffer.
// kBlock channels are computed together and their sums stay in registers over all taps.

#ifndef REDS_KERNELS_DEPTHWISE_CONV2D_INT8_H
#define REDS_KERNELS_DEPTHWISE_CONV2D_INT8_H

#include <cstdint>

#include "kernels/fixed_point.h"
#include "kernels/kernels.h"
#include "kernels/taps.h"

namespace reds {
namespace depthwise_conv2d_int8 {

// One position of the output.
struct Position {
  const DepthwiseConv2D<int8_t>& conv;
  TapRange rows;
  TapRange columns;
  bool is_clipped;  // some taps lie in the padding

  // Where channel 0 of tap (0, 0) lies, inside the map or not.
  const int8_t* Tap(int32_t tap_y, int32_t tap_x) const {
    const int32_t y = rows.origin + tap_y * conv.window.dilation_height;
    const int32_t x = columns.origin + tap_x * conv.window.dilation_width;
    return conv.input + (y * conv.window.input_width + x) * conv.input_channels;
  }
};

inline Position MakePosition(const DepthwiseConv2D<int8_t>& conv, int32_t y, int32_t x) {
  const TapsInMap taps = TapsAt(conv.window, y, x);
  const TapRange& rows = taps.rows;
  const TapRange& columns = taps.columns;
  const bool is_clipped = rows.end - rows.first < conv.window.kernel_height ||
                          columns.end - columns.first < conv.window.kernel_width;
  return {conv, rows, columns, is_clipped};
}

template <int32_t kChannels>
inline void AddProducts(const int8_t* input, const int8_t* weights, int32_t (&sums)[kChannels]) {
#pragma GCC unroll 4
  for (int32_t channel = 0; channel < kChannels; ++channel)
    sums[channel] += input[channel] * weights[channel];
}

// The sums of all taps, where all lie in the map, for kChannels channels that begin at `channel` and
// `weights`.
template <int32_t kChannels>
inline void SumInside(const Position& position, int32_t channel, const int8_t* weights,
                      int32_t (&sums)[kChannels]) {
  const DepthwiseConv2D<int8_t>& conv = position.conv;
  const Window& window = conv.window;
  const int32_t step = window.dilation_width * conv.input_channels;
  const int32_t next_row =
      window.dilation_height * window.input_width * conv.input_channels - window.kernel_width * step;
  const int8_t* input = position.Tap(0, 0) + channel;
  for (int32_t tap_y = 0; tap_y < window.kernel_height; ++tap_y) {
    for (int32_t tap_x = 0; tap_x < window.kernel_width; ++tap_x) {
      AddProducts(input, weights, sums);
      input += step;
      weights += conv.weights_pitch;
    }
    input += next_row;
  }
}

// The same where some taps lie in the padding.
template <int32_t kChannels>
inline void SumClipped(const Position& position, int32_t channel, const int8_t* weights,
                       int32_t (&sums)[kChannels]) {
  const DepthwiseConv2D<int8_t>& conv = position.conv;
  int8_t padding[kChannels];
  for (int8_t& element : padding) element = static_cast<int8_t>(conv.input_zero_point);
  for (int32_t tap_y = 0; tap_y < conv.window.kernel_height; ++tap_y) {
    const bool row_inside = tap_y >= position.rows.first && tap_y < position.rows.end;
    for (int32_t tap_x = 0; tap_x < conv.window.kernel_width; ++tap_x) {
      const bool inside = row_inside && tap_x >= position.columns.first && tap_x < position.columns.end;
      AddProducts(inside ? position.Tap(tap_y, tap_x) + channel : padding, weights, sums);
      weights += conv.weights_pitch;
    }
  }
}

// Output channels from `channel` on, whose input channels begin at `input_channel`.
template <int32_t kChannels>
inline int8_t* WriteBlock(const Position& position, int32_t input_channel, int32_t channel, int8_t* output) {
  const int8_t* weights = position.conv.weights + channel;
  int32_t sums[kChannels] = {};
  if (position.is_clipped) {
    SumClipped(position, input_channel, weights, sums);
  } else {
    SumInside(position, input_channel, weights, sums);
  }
#pragma GCC unroll 4
  for (int32_t i = 0; i < kChannels; ++i) *output++ = Finish(position.conv.stage, channel + i, sums[i]);
  return output;
}

// Every input channel makes one output channel.
template <int32_t kBlock>
inline int8_t* WriteChannels(const Position& position, int8_t* output) {
  const int32_t channels = position.conv.input_channels;
  int32_t channel = 0;
  for (; channel + kBlock <= channels; channel += kBlock) {
    output = WriteBlock<kBlock>(position, channel, channel, output);
  }
  for (; channel < channels; ++channel) output = WriteBlock<1>(position, channel, channel, output);
  return output;
}

// Every input channel makes `multiplier` output channels.
inline int8_t* WriteMultipliedChannels(const Position& position, int8_t* output) {
  int32_t channel = 0;
  for (int32_t input_channel = 0; input_channel < position.conv.input_channels; ++input_channel) {
    for (int32_t copy = 0; copy < position.conv.multiplier; ++copy) {
      output = WriteBlock<1>(position, input_channel, channel++, output);
    }
  }
  return output;
}

template <int32_t kBlock>
inline void Walk(const DepthwiseConv2D<int8_t>& conv) {
  int8_t* output = conv.output;
  for (int32_t y = 0; y < conv.window.output_height; ++y) {
    for (int32_t x = 0; x < conv.window.output_width; ++x) {
      const Position position = MakePosition(conv, y, x);
      output = conv.multiplier == 1 ? WriteChannels<kBlock>(position, output)
                                    : WriteMultipliedChannels(position, output);
    }
  }
}

}  // namespace depthwise_conv2d_int8
}  // namespace reds

#endif
