// The walk that all pools share: every output element reduces the taps of its window that lie in the map.

#ifndef REDS_KERNELS_POOL_H
#define REDS_KERNELS_POOL_H

#include <cstdint>

#include "kernels/kernels.h"
#include "kernels/taps.h"

namespace reds {

// The part of one channel of a map that a window covers.
template <typename Element>
struct Patch {
  const Element* first;
  int32_t rows;
  int32_t columns;
  int32_t column_step;  // elements from column to column
  int32_t row_step;     // elements from row to row
};

// Calls `visit(patch, output)` for every position of the output in order, with the patch of its first channel.
template <typename Element, typename Visit>
inline void ForEachPosition(const Pool2D<Element>& pool, const Visit& visit) {
  const Window& window = pool.window;
  const int32_t row_step = window.input_width * pool.channels;
  Element* output = pool.output;
  for (int32_t y = 0; y < window.output_height; ++y) {
    for (int32_t x = 0; x < window.output_width; ++x) {
      const TapsInMap taps = TapsAt(window, y, x);
      const TapRange& rows = taps.rows;
      const TapRange& columns = taps.columns;
      const Element* corner = pool.input + (rows.origin + rows.first) * row_step +
                              (columns.origin + columns.first) * pool.channels;
      visit(
          Patch<Element>{corner, rows.end - rows.first, columns.end - columns.first, pool.channels, row_step},
          output);
      output += pool.channels;
    }
  }
}

// Calls `reduce(patch)` for every output element in order and stores what it returns.
template <typename Element, typename Reduce>
inline void ForEachPatch(const Pool2D<Element>& pool, const Reduce& reduce) {
  ForEachPosition(pool, [&](Patch<Element> patch, Element* output) {
    for (int32_t channel = 0; channel < pool.channels; ++channel) {
      *output++ = reduce(patch);
      ++patch.first;
    }
  });
}

// Calls `take(element)` for every element of a patch.
template <typename Element, typename Take>
inline void ForEachElement(const Patch<Element>& patch, const Take& take) {
  const Element* row = patch.first;
  for (int32_t y = 0; y < patch.rows; ++y) {
    const Element* element = row;
    for (int32_t x = 0; x < patch.columns; ++x) {
      take(*element);
      element += patch.column_step;
    }
    row += patch.row_step;
  }
}

}  // namespace reds

#endif
