// Windows of 3 x 3 with strides of 1 or two columns go channel by channel (depthwise_blocks.h). Others go over the map where it
// lies, four channels after the other. Of these a position is written when all of its window has been read.

#include "kernels/depthwise_conv2d_int8.h"

#include <arm_mve.h>

#include <cstdint>

#include "kernels/armv7em/requantize.h"
#include "kernels/helium/depthwise_blocks.h"
#include "kernels/helium/requantize.h"
#include "kernels/kernels.h"

namespace reds {
namespace {

using depthwise_conv2d_int8::MakePosition;
using depthwise_conv2d_int8::Position;
using helium::DepthwiseBlocks;

// Adds the products of some taps of a row, which lie `step` and `pitch` elements apart.
inline void AddTaps(const int8_t* input, int32_t step, const int8_t* weights, int32_t pitch, int32_t count,
                    mve_pred16_t lanes, int32x4_t& sums) {
  if (count <= 0) return;
  int32x4_t elements, taps;
  // One predicate for both loads.
  __asm__ volatile(
      "vmsr       p0, %[lanes]\n"
      "dls        lr, %[count]\n"
      "1:\n"
      "vpstt\n"
      "vldrbt.s32 %q[elements], [%[input]]\n"
      "vldrbt.s32 %q[taps], [%[weights]]\n"
      "add        %[input], %[step]\n"
      "vmul.i32   %q[elements], %q[elements], %q[taps]\n"
      "add        %[weights], %[pitch]\n"
      "vadd.i32   %q[sums], %q[sums], %q[elements]\n"
      "le         lr, 1b\n"
      : [sums] "+&w"(sums), [elements] "=&w"(elements), [taps] "=&w"(taps), [input] "+&l"(input),
        [weights] "+&l"(weights)
      : [step] "r"(step), [pitch] "r"(pitch), [count] "r"(count), [lanes] "r"(lanes)
      : "lr", "cc", "memory");
}

// The sums of all taps, where all lie in the map, for channels that begin at `row` and `weights`.
inline int32x4_t SumInside(const DepthwiseConv2D<int8_t>& conv, const int8_t* row, const int8_t* weights,
                           mve_pred16_t lanes) {
  const Window& window = conv.window;
  const int32_t step = window.dilation_width * conv.input_channels;
  const int32_t row_step = window.dilation_height * window.input_width * conv.input_channels;
  const int32_t pitch = conv.weights_pitch;
  int32x4_t sums = vdupq_n_s32(0);
  for (int32_t rows = window.kernel_height; rows > 0; --rows) {
    AddTaps(row, step, weights, pitch, window.kernel_width, lanes, sums);
    row += row_step;
    weights += window.kernel_width * pitch;
  }
  return sums;
}

// The same where some taps lie in the padding. A function of its own, so that its frame does not lie under the walk.
__attribute__((noinline)) int32x4_t SumClipped(const Position& position, int32_t channel,
                                               mve_pred16_t lanes) {
  const DepthwiseConv2D<int8_t>& conv = position.conv;
  const int32_t width = conv.window.kernel_width;
  const int32_t pitch = conv.weights_pitch;
  const int32_t step = conv.window.dilation_width * conv.input_channels;
  int8_t padding[helium::kLanes];
  for (int8_t& element : padding) element = static_cast<int8_t>(conv.input_zero_point);
  const int8_t* weights = conv.weights + channel;
  int32x4_t sums = vdupq_n_s32(0);
  for (int32_t tap_y = 0; tap_y < conv.window.kernel_height; ++tap_y) {
    const bool row_inside = tap_y >= position.rows.first && tap_y < position.rows.end;
    const int32_t first = row_inside ? position.columns.first : width;
    const int32_t end = row_inside ? position.columns.end : width;
    AddTaps(padding, 0, weights, pitch, first, lanes, sums);
    if (first < end) {
      AddTaps(position.Tap(tap_y, first) + channel, step, weights + first * pitch, pitch, end - first, lanes,
              sums);
    }
    AddTaps(padding, 0, weights + end * pitch, pitch, width - end, lanes, sums);
    weights += width * pitch;
  }
  return sums;
}

// Four channels of the whole map, or those that are left.
__attribute__((noinline)) void RunFour(const DepthwiseConv2D<int8_t>& conv, int32_t channel) {
  const Window& window = conv.window;
  const int32_t channels = conv.input_channels;
  const mve_pred16_t lanes = vctp32q(static_cast<uint32_t>(channels - channel));
  helium::Requantizer requantizer(conv.stage, channel, channels);
  const int32_t last_row = window.input_height - 1 - (window.kernel_height - 1) * window.dilation_height;
  const int32_t last_column = window.input_width - 1 - (window.kernel_width - 1) * window.dilation_width;
  const int8_t* const weights = conv.weights + channel;
  int8_t* output = conv.output + channel;
  for (int32_t y = 0; y < window.output_height; ++y) {
    const int32_t input_y = y * window.stride_height - window.padding_top;
    const bool row_inside = input_y >= 0 && input_y <= last_row;
    const int8_t* const row = conv.input + input_y * window.input_width * channels + channel;
    int32_t input_x = -window.padding_left;
    for (int32_t x = 0; x < window.output_width; ++x) {
      const bool inside = row_inside && input_x >= 0 && input_x <= last_column;
      const int32x4_t sums = inside ? SumInside(conv, row + input_x * channels, weights, lanes)
                                    : SumClipped(MakePosition(conv, y, x), channel, lanes);
      requantizer.Store(sums, output);
      input_x += window.stride_width;
      output += channels;
    }
  }
}

bool IsThreeByThree(const Window& window) {
  return window.kernel_height == 3 && window.kernel_width == 3 && window.dilation_height == 1 &&
         window.dilation_width == 1;
}

// Functions of their own, so that their frames do not lie under each other.
__attribute__((noinline)) void RunBlocks(const DepthwiseConv2D<int8_t>& conv) {
  DepthwiseBlocks(conv).Run();
  armv7em::ClampMap(conv.stage.clamp, conv.output,
                    conv.window.output_height * conv.window.output_width * conv.input_channels);
}

}  // namespace

void Run(const DepthwiseConv2D<int8_t>& conv) {
  if (conv.multiplier != 1) return depthwise_conv2d_int8::Walk<1>(conv);
  if (IsThreeByThree(conv.window) && DepthwiseBlocks::IsStride(conv.window) &&
      DepthwiseBlocks::Supports(conv))
    return RunBlocks(conv);
  for (int32_t channel = 0; channel < conv.input_channels; channel += helium::kLanes) RunFour(conv, channel);
}

}  // namespace reds
