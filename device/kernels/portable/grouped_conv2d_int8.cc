#include "kernels/grouped_conv2d.h"

namespace reds {
namespace {

using Position = grouped_conv2d::Position<int8_t>;

bool IsInside(const TapRange& range, int32_t tap) { return tap >= range.first && tap < range.end; }

// sums[i] += weights of row i at the taps in the padding.
template <int32_t kRows>
inline void SumOutside(const Position& position, const int8_t* weights, int32_t (&sums)[kRows]) {
  const Window& window = position.conv.window;
  const int32_t pitch = position.RowPitch();
  for (int32_t tap_y = 0; tap_y < window.kernel_height; ++tap_y) {
    for (int32_t tap_x = 0; tap_x < window.kernel_width; ++tap_x) {
      const bool inside = IsInside(position.rows, tap_y) && IsInside(position.columns, tap_x);
      for (int32_t element = 0; !inside && element < position.conv.group_inputs; ++element) {
#pragma GCC unroll 4
        for (int32_t row = 0; row < kRows; ++row) sums[row] += weights[row * pitch + element];
      }
      weights += position.conv.group_inputs;
    }
  }
}

struct Sums {
  using Sum = int32_t;

  template <int32_t kRows>
  static void Add(const Position& position, const int8_t* weights, int32_t (&sums)[kRows]) {
    grouped_conv2d::SumInside(position, weights, sums);
    const Window& window = position.conv.window;
    const bool clipped = position.rows.end - position.rows.first < window.kernel_height ||
                         position.columns.end - position.columns.first < window.kernel_width;
    if (!clipped || position.conv.input_zero_point == 0) return;
    int32_t outside[kRows] = {};
    SumOutside(position, weights, outside);
#pragma GCC unroll 4
    for (int32_t row = 0; row < kRows; ++row) sums[row] += position.conv.input_zero_point * outside[row];
  }
};

}  // namespace

void Run(const GroupedConv2D<int8_t>& conv) { grouped_conv2d::Walk<Sums>(conv); }

}  // namespace reds
