// How a depthwise convolution's output is cut to tiles whose windows fit the stack.

#ifndef REDS_KERNELS_ARMV7EM_DEPTHWISE_TILE_H
#define REDS_KERNELS_ARMV7EM_DEPTHWISE_TILE_H

#include <cstdint>

#include "kernels/fixed_point.h"
#include "kernels/kernels.h"

namespace reds {
namespace armv7em {

// A rectangle of the output.
struct Tile {
  int32_t y;
  int32_t x;
  int32_t rows;
  int32_t columns;
};

// How much of the map the windows of some outputs cover in one direction.
inline int32_t Covered(int32_t outputs, int32_t stride, int32_t kernel) {
  return (outputs - 1) * stride + kernel;
}

inline int32_t PartsOf(int32_t size, int32_t part) { return (size + part - 1) / part; }

// The tile size, no larger than the output, with the fewest tiles among those whose patch fits; no rows where none
// fits. A patch has `cells` cells of `cell_rows` rows and a column each.
inline __attribute__((noinline)) Tile ChooseTile(const Window& window, int32_t cells, int32_t cell_rows) {
  // Rows of a tile that is not as wide as the map: those beside it still read what lies before its last row.
  const int32_t tile_rows = (kDepthwiseLookbackRows + 1) / cell_rows * cell_rows;
  Tile best = {};
  int32_t fewest = INT32_MAX;
  for (int32_t columns = 1; columns <= window.output_width; ++columns) {
    const int32_t covered_columns = Covered(columns, window.stride_width, window.kernel_width);
    const int32_t covered_rows = cells / covered_columns * cell_rows;
    if (covered_rows < window.kernel_height) break;
    const int32_t fitting = (covered_rows - window.kernel_height) / window.stride_height + 1;
    const int32_t most = columns < window.output_width ? tile_rows : window.output_height;
    const int32_t rows = fitting < most ? fitting : most;
    const int32_t tiles = PartsOf(window.output_width, columns) * PartsOf(window.output_height, rows);
    if (tiles <= fewest) {
      fewest = tiles;
      best = {0, 0, rows, columns};
    }
  }
  return best;
}

// The tile of this size that begins there, or what the output has of it.
inline Tile TileAt(const Window& window, const Tile& size, int32_t y, int32_t x) {
  const int32_t rows = window.output_height - y;
  const int32_t columns = window.output_width - x;
  return {y, x, rows < size.rows ? rows : size.rows, columns < size.columns ? columns : size.columns};
}

// Which rows and columns of a patch lie in the map, and where its first ones would.
struct PatchInMap {
  int32_t y;
  int32_t x;
  int32_t rows;
  int32_t columns;
  int32_t top;
  int32_t bottom;
  int32_t left;
  int32_t right;
};

inline PatchInMap PatchOf(const Window& window, const Tile& tile) {
  const int32_t rows = Covered(tile.rows, window.stride_height, window.kernel_height);
  const int32_t columns = Covered(tile.columns, window.stride_width, window.kernel_width);
  const int32_t y = tile.y * window.stride_height - window.padding_top;
  const int32_t x = tile.x * window.stride_width - window.padding_left;
  const int32_t top = Clamped<int32_t>(-y, 0, rows);
  const int32_t left = Clamped<int32_t>(-x, 0, columns);
  return {y,    x,
          rows, columns,
          top,  Clamped<int32_t>(window.input_height - y, top, rows),
          left, Clamped<int32_t>(window.input_width - x, left, columns)};
}

}  // namespace armv7em
}  // namespace reds

#endif
