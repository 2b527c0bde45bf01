// The walk of an int8 convolution over map and weights where they lie, without a buffer.
//
// Four output channels are computed together, so that an activation is loaded once for four products. Where
// the taps of a row lie next to each other in the map and in the weights they are one long run. How a run is
// summed is up to the instruction set.

#ifndef REDS_KERNELS_CONV2D_INT8_H
#define REDS_KERNELS_CONV2D_INT8_H

#include <cstdint>

#include "kernels/fixed_point.h"
#include "kernels/kernels.h"
#include "kernels/taps.h"

namespace reds {
namespace conv2d_int8 {

constexpr int32_t kBlock = 4;

// sums[i] += weights of row i.
template <int32_t kRows>
inline void AddWeights(const int8_t* weights, int32_t row_pitch, int32_t count, int32_t (&sums)[kRows]) {
  for (int32_t element = 0; element < count; ++element) {
#pragma GCC unroll 4
    for (int32_t row = 0; row < kRows; ++row) sums[row] += weights[row * row_pitch + element];
  }
}

// One position of the output. Products::Add(input, weights, row_pitch, count, sums) does
// sums[i] += products of `count` activations and the weights of row i, for 1 or kBlock rows.
template <typename Products>
class Position {
 public:
  Position(const Conv2D<int8_t>& conv, const TapRange& rows, const TapRange& columns)
      : conv_(conv), rows_(rows), columns_(columns) {
    const Window& window = conv.window;
    const bool contiguous = conv.input_channels == conv.weights_pitch && window.dilation_width == 1;
    taps_per_run_ = contiguous ? columns.end - columns.first : 1;
    clipped_ =
        rows.end - rows.first < window.kernel_height || columns.end - columns.first < window.kernel_width;
  }

  // The sums of products of kRows output channels.
  template <int32_t kRows>
  void Sum(int32_t channel, int32_t (&sums)[kRows]) const {
    const int32_t pitch = RowPitch();
    const int8_t* weights = conv_.weights + channel * pitch;
    SumInside(weights, pitch, sums);
    if (!clipped_ || conv_.input_zero_point == 0) return;
    int32_t outside[kRows] = {};
    SumOutside(weights, pitch, outside);
#pragma GCC unroll 4
    for (int32_t row = 0; row < kRows; ++row) sums[row] += conv_.input_zero_point * outside[row];
  }

 private:
  int32_t RowPitch() const {
    return conv_.window.kernel_height * conv_.window.kernel_width * conv_.weights_pitch;
  }

  template <int32_t kRows>
  void SumInside(const int8_t* weights, int32_t pitch, int32_t (&sums)[kRows]) const {
    const Window& window = conv_.window;
    const int32_t run = taps_per_run_ * conv_.input_channels;
    const int32_t input_step = taps_per_run_ * window.dilation_width * conv_.input_channels;
    const int32_t weights_step = taps_per_run_ * conv_.weights_pitch;
    for (int32_t tap_y = rows_.first; tap_y < rows_.end; ++tap_y) {
      const int32_t y = rows_.origin + tap_y * window.dilation_height;
      const int32_t x = columns_.origin + columns_.first * window.dilation_width;
      const int8_t* input = conv_.input + (y * window.input_width + x) * conv_.input_channels;
      const int8_t* taps = weights + (tap_y * window.kernel_width + columns_.first) * conv_.weights_pitch;
      for (int32_t tap_x = columns_.first; tap_x < columns_.end; tap_x += taps_per_run_) {
        Products::Add(input, taps, pitch, run, sums);
        input += input_step;
        taps += weights_step;
      }
    }
  }

  template <int32_t kRows>
  void SumOutside(const int8_t* weights, int32_t pitch, int32_t (&sums)[kRows]) const {
    const Window& window = conv_.window;
    for (int32_t tap_y = 0; tap_y < window.kernel_height; ++tap_y) {
      const bool row_inside = tap_y >= rows_.first && tap_y < rows_.end;
      for (int32_t tap_x = 0; tap_x < window.kernel_width; ++tap_x) {
        if (!row_inside || tap_x < columns_.first || tap_x >= columns_.end) {
          AddWeights(weights, pitch, conv_.input_channels, sums);
        }
        weights += conv_.weights_pitch;
      }
    }
  }

  const Conv2D<int8_t>& conv_;
  const TapRange& rows_;
  const TapRange& columns_;
  int32_t taps_per_run_;
  bool clipped_;
};

template <int32_t kRows, typename Products>
inline int8_t* WriteBlock(const Conv2D<int8_t>& conv, const Position<Products>& position, int32_t channel,
                          int8_t* output) {
  int32_t sums[kRows] = {};
  position.Sum(channel, sums);
#pragma GCC unroll 4
  for (int32_t row = 0; row < kRows; ++row) *output++ = Finish(conv.stage, channel + row, sums[row]);
  return output;
}

template <typename Products>
void Walk(const Conv2D<int8_t>& conv) {
  const Window& window = conv.window;
  const bool is_backward = IsBackward(conv);
  const int32_t first_y = is_backward ? window.output_height - 1 : 0;
  const int32_t first_x = is_backward ? window.output_width - 1 : 0;
  const int32_t step = is_backward ? -1 : 1;
  int8_t* output = conv.output + (first_y * window.output_width + first_x) * conv.output_channels;
  int32_t y = first_y;
  for (int32_t height = window.output_height; height > 0; --height, y += step) {
    const TapRange rows = RowsInside(window, y);
    int32_t x = first_x;
    for (int32_t width = window.output_width; width > 0; --width, x += step) {
      const TapRange columns = ColumnsInside(window, x);
      const Position<Products> position(conv, rows, columns);
      int8_t* to = output;
      int32_t channel = 0;
      for (; channel + kBlock <= conv.output_channels; channel += kBlock) {
        to = WriteBlock<kBlock>(conv, position, channel, to);
      }
      for (; channel < conv.output_channels; ++channel) to = WriteBlock<1>(conv, position, channel, to);
      output += step * conv.output_channels;
    }
  }
}

}  // namespace conv2d_int8
}  // namespace reds

#endif
