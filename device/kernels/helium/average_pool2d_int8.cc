// Eight channels at a time: what a load widens is added to a vector of int16 sums. Positions are written in the order of
// the output, each of them group of channels by group of channels as they are read.

#include "kernels/average_pool2d_int8.h"

#include <arm_mve.h>

#include <cstdint>

#include "kernels/kernels.h"
#include "kernels/pool.h"

namespace reds {
namespace {

constexpr int32_t kLanes = 8;
// Elements whose sum surely fits an int16: 255 * 128 < 2^15.
constexpr int32_t kMaximumElements = 255;

// The sums of the channels from the patch's on.
int16x8_t SumOfChannels(const Patch<int8_t>& patch, mve_pred16_t lanes) {
  int16x8_t sums = vdupq_n_s16(0);
  const int8_t* row = patch.first;
  for (int32_t rows = patch.rows; rows > 0; --rows) {
    const int8_t* element = row;
    for (int32_t columns = patch.columns; columns > 0; --columns) {
      sums = vaddq_s16(sums, vldrbq_z_s16(element, lanes));
      element += patch.column_step;
    }
    row += patch.row_step;
  }
  return sums;
}

}  // namespace

void RunAverage(const Pool2D<int8_t>& pool) {
  ForEachPosition(pool, [&pool](Patch<int8_t> patch, int8_t* output) {
    const int32_t count = patch.rows * patch.columns;
    if (patch.columns * patch.column_step == patch.row_step) {
      // Rows without a gap are like one.
      patch.columns = count;
      patch.rows = 1;
    }
    int32_t left = pool.channels;
    for (; left > 0 && count <= kMaximumElements; left -= kLanes) {
      int16_t sums[kLanes];
      vst1q_s16(sums, SumOfChannels(patch, vctp16q(static_cast<uint32_t>(left))));
      const int32_t channels = left < kLanes ? left : kLanes;
      for (int32_t i = 0; i < channels; ++i) {
        *output++ = average_pool2d_int8::Rounded(sums[i], count, pool.clamp);
      }
      patch.first += kLanes;
    }
    for (; left > 0; --left) {
      *output++ = average_pool2d_int8::Average(patch, pool.clamp);
      ++patch.first;
    }
  });
}

}  // namespace reds
