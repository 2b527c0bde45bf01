// Windows of 3 x 3 with stride 1 go channel by channel (depthwise_blocks.h). Others go position by position over the
// map where it lies, four channels at a time. Of these a position is written when all of it has been read.

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

// The sums of all taps, where all lie in the map, for channels that begin at `channel`.
int32x4_t SumInside(const Position& position, int32_t channel, mve_pred16_t lanes) {
  const DepthwiseConv2D<int8_t>& conv = position.conv;
  const Window& window = conv.window;
  const int32_t step = window.dilation_width * conv.input_channels;
  const int32_t row_step = window.dilation_height * window.input_width * conv.input_channels;
  const int8_t* weights = conv.weights + channel;
  const int8_t* row = position.Tap(0, 0) + channel;
  int32x4_t sums = vdupq_n_s32(0);
  for (int32_t rows = window.kernel_height; rows > 0; --rows) {
    const int8_t* input = row;
    for (int32_t columns = window.kernel_width; columns > 0; --columns) {
      const int32x4_t products = vmulq_s32(vldrbq_z_s32(input, lanes), vldrbq_z_s32(weights, lanes));
      sums = vaddq_s32(sums, products);
      input += step;
      weights += conv.weights_pitch;
    }
    row += row_step;
  }
  return sums;
}

// The same where some taps lie in the padding.
int32x4_t SumClipped(const Position& position, int32_t channel, mve_pred16_t lanes) {
  const DepthwiseConv2D<int8_t>& conv = position.conv;
  const int32x4_t padding = vdupq_n_s32(conv.input_zero_point);
  const int8_t* weights = conv.weights + channel;
  int32x4_t sums = vdupq_n_s32(0);
  for (int32_t tap_y = 0; tap_y < conv.window.kernel_height; ++tap_y) {
    const bool row_inside = tap_y >= position.rows.first && tap_y < position.rows.end;
    for (int32_t tap_x = 0; tap_x < conv.window.kernel_width; ++tap_x) {
      const bool inside = row_inside && tap_x >= position.columns.first && tap_x < position.columns.end;
      const int32x4_t elements = inside ? vldrbq_z_s32(position.Tap(tap_y, tap_x) + channel, lanes) : padding;
      sums = vaddq_s32(sums, vmulq_s32(elements, vldrbq_z_s32(weights, lanes)));
      weights += conv.weights_pitch;
    }
  }
  return sums;
}

void WritePosition(const Position& position, int8_t* output) {
  const int32_t channels = position.conv.input_channels;
  for (int32_t channel = 0; channel < channels; channel += helium::kLanes) {
    const mve_pred16_t lanes = vctp32q(static_cast<uint32_t>(channels - channel));
    const int32x4_t sums =
        position.is_clipped ? SumClipped(position, channel, lanes) : SumInside(position, channel, lanes);
    helium::Requantizer(position.conv.stage, channel, channels).Store(sums, output + channel);
  }
}

void WalkPositions(const DepthwiseConv2D<int8_t>& conv) {
  int8_t* output = conv.output;
  for (int32_t y = 0; y < conv.window.output_height; ++y) {
    for (int32_t x = 0; x < conv.window.output_width; ++x) {
      WritePosition(MakePosition(conv, y, x), output);
      output += conv.input_channels;
    }
  }
}

bool IsPlainThreeByThree(const Window& window) {
  return window.kernel_height == 3 && window.kernel_width == 3 && window.stride_height == 1 &&
         window.stride_width == 1 && window.dilation_height == 1 && window.dilation_width == 1;
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
  if (IsPlainThreeByThree(conv.window) && DepthwiseBlocks::Supports(conv)) return RunBlocks(conv);
  WalkPositions(conv);
}

}  // namespace reds
