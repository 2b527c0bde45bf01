// Four channels are computed together and their sums stay in registers over all taps.

#include "kernels/fixed_point.h"
#include "kernels/kernels.h"
#include "kernels/taps.h"

namespace reds {
namespace {

constexpr int32_t kBlock = 4;

// One position of the output.
struct Position {
  const DepthwiseConv2D<int8_t>& conv;
  TapRange rows;
  TapRange columns;
  const int8_t* input;  // where the first tap inside the map lies

  bool IsClipped() const {
    return rows.end - rows.first < conv.window.kernel_height || columns.end - columns.first < conv.window.kernel_width;
  }
};

Position MakePosition(const DepthwiseConv2D<int8_t>& conv, int32_t y, int32_t x) {
  const Window& window = conv.window;
  const TapRange rows = RowsInside(window, y);
  const TapRange columns = ColumnsInside(window, x);
  const int32_t row = rows.origin + rows.first * window.dilation_height;
  const int32_t column = columns.origin + columns.first * window.dilation_width;
  return {conv, rows, columns, conv.input + (row * window.input_width + column) * conv.input_channels};
}

// Products of the taps inside the map, for kChannels channels that begin at `input` and `weights`.
template <int32_t kChannels>
inline void SumInside(const Position& position, const int8_t* input, const int8_t* weights,
                      int32_t (&sums)[kChannels]) {
  const DepthwiseConv2D<int8_t>& conv = position.conv;
  const Window& window = conv.window;
  const int32_t taps = position.columns.end - position.columns.first;
  const int32_t input_step = window.dilation_width * conv.input_channels;
  const int32_t next_row = window.dilation_height * window.input_width * conv.input_channels - taps * input_step;
  const int32_t next_weights = (window.kernel_width - taps) * conv.weights_pitch;
  weights += (position.rows.first * window.kernel_width + position.columns.first) * conv.weights_pitch;
  for (int32_t tap_y = position.rows.first; tap_y < position.rows.end; ++tap_y) {
    for (int32_t tap_x = 0; tap_x < taps; ++tap_x) {
      for (int32_t channel = 0; channel < kChannels; ++channel) sums[channel] += input[channel] * weights[channel];
      input += input_step;
      weights += conv.weights_pitch;
    }
    input += next_row;
    weights += next_weights;
  }
}

// Weights of the taps in the padding.
template <int32_t kChannels>
void SumOutside(const Position& position, const int8_t* weights, int32_t (&sums)[kChannels]) {
  const Window& window = position.conv.window;
  for (int32_t tap_y = 0; tap_y < window.kernel_height; ++tap_y) {
    const bool row_inside = tap_y >= position.rows.first && tap_y < position.rows.end;
    for (int32_t tap_x = 0; tap_x < window.kernel_width; ++tap_x) {
      if (!row_inside || tap_x < position.columns.first || tap_x >= position.columns.end) {
        for (int32_t channel = 0; channel < kChannels; ++channel) sums[channel] += weights[channel];
      }
      weights += position.conv.weights_pitch;
    }
  }
}

// Output channels [channel, channel + kChannels), whose input channels begin at `input`.
template <int32_t kChannels>
inline int8_t* WriteBlock(const Position& position, const int8_t* input, int32_t channel, int8_t* output) {
  const DepthwiseConv2D<int8_t>& conv = position.conv;
  const int8_t* weights = conv.weights + channel;
  int32_t sums[kChannels] = {};
  SumInside(position, input, weights, sums);
  if (conv.input_zero_point != 0 && position.IsClipped()) {
    int32_t outside[kChannels] = {};
    SumOutside(position, weights, outside);
    for (int32_t i = 0; i < kChannels; ++i) sums[i] += conv.input_zero_point * outside[i];
  }
  for (int32_t i = 0; i < kChannels; ++i) *output++ = Finish(conv.stage, channel + i, sums[i]);
  return output;
}

// Every input channel makes one output channel.
int8_t* WriteChannels(const Position& position, int8_t* output) {
  const int32_t channels = position.conv.input_channels;
  int32_t channel = 0;
  for (; channel + kBlock <= channels; channel += kBlock) {
    output = WriteBlock<kBlock>(position, position.input + channel, channel, output);
  }
  for (; channel < channels; ++channel) output = WriteBlock<1>(position, position.input + channel, channel, output);
  return output;
}

// Every input channel makes `multiplier` output channels.
int8_t* WriteMultipliedChannels(const Position& position, int8_t* output) {
  int32_t channel = 0;
  for (int32_t input_channel = 0; input_channel < position.conv.input_channels; ++input_channel) {
    for (int32_t copy = 0; copy < position.conv.multiplier; ++copy) {
      output = WriteBlock<1>(position, position.input + input_channel, channel++, output);
    }
  }
  return output;
}

}  // namespace

void Run(const DepthwiseConv2D<int8_t>& conv) {
  int8_t* output = conv.output;
  for (int32_t y = 0; y < conv.window.output_height; ++y) {
    for (int32_t x = 0; x < conv.window.output_width; ++x) {
      const Position position = MakePosition(conv, y, x);
      output = conv.multiplier == 1 ? WriteChannels(position, output) : WriteMultipliedChannels(position, output);
    }
  }
}

}  // namespace reds
