// Which taps of a window lie in the map.

#ifndef REDS_KERNELS_TAPS_H
#define REDS_KERNELS_TAPS_H

#include <cstdint>

#include "kernels/kernels.h"

namespace reds {

// Taps [first, end) of one window in one direction lie in the map; tap 0 lies at `origin`.
struct TapRange {
  int32_t origin;
  int32_t first;
  int32_t end;
};

inline TapRange TapsInside(int32_t position, int32_t stride, int32_t padding, int32_t dilation,
                           int32_t kernel, int32_t size) {
  const int32_t origin = position * stride - padding;
  int32_t first = 0;
  while (first < kernel && origin + first * dilation < 0) ++first;
  int32_t end = kernel;
  while (end > first && origin + (end - 1) * dilation >= size) --end;
  return {origin, first, end};
}

inline TapRange RowsInside(const Window& window, int32_t y) {
  return TapsInside(y, window.stride_height, window.padding_top, window.dilation_height, window.kernel_height,
                    window.input_height);
}

inline TapRange ColumnsInside(const Window& window, int32_t x) {
  return TapsInside(x, window.stride_width, window.padding_left, window.dilation_width, window.kernel_width,
                    window.input_width);
}

// Those of a window that lie in the map in both directions.
struct TapsInMap {
  TapRange rows;
  TapRange columns;
};

// A function of its own, which all kernels share.
inline __attribute__((noinline)) TapsInMap TapsAt(const Window& window, int32_t y, int32_t x) {
  return {RowsInside(window, y), ColumnsInside(window, x)};
}

}  // namespace reds

#endif
