// Depthwise convolutions of 3 x 3 with stride 1: two rows of two channels at a time, tile by tile of the output.
//
// What the windows of a tile cover is widened into a patch on the stack, column by column. A cell of it are two rows of
// one column: for either channel a word whose halves are the elements of the upper and of the lower row. Taps lie in
// the same way, so that SMLAD multiplies two of them: with the cells a (rows 0 and 1) and b (rows 2 and 3), and the
// words u (taps 0 and 1) and v (taps 1 and 2) of a column of the window,
//
//   the upper row of the output adds a * u, then row 2 times tap 2;
//   the lower row of the output adds row 1 times tap 0, then b * v.

#ifndef REDS_KERNELS_ARMV7EM_DEPTHWISE_ROW_PAIRS_H
#define REDS_KERNELS_ARMV7EM_DEPTHWISE_ROW_PAIRS_H

#include <cstdint>
#include <cstring>

#include "kernels/armv7em/depthwise_tile.h"
#include "kernels/armv7em/dual_products.h"
#include "kernels/armv7em/requantize.h"
#include "kernels/kernels.h"

namespace reds {
namespace armv7em {

class DepthwiseRowPairs {
 public:
  // Of a convolution whose channels all have a Scale.
  static bool Supports(const DepthwiseConv2D<int8_t>& conv) {
    const Window& window = conv.window;
    return window.kernel_height == kTaps && window.kernel_width == kTaps && window.stride_height == 1 &&
           window.stride_width == 1 && conv.input_channels >= kChannels;
  }

  explicit DepthwiseRowPairs(const DepthwiseConv2D<int8_t>& conv) : conv_(conv) {}

  void Run() {
    const Window& window = conv_.window;
    const Tile size = ChooseTile(window, kCells, kCellRows);
    for (int32_t y = 0; y < window.output_height; y += size.rows) {
      for (int32_t x = 0; x < window.output_width; x += size.columns) {
        BeginTile(TileAt(window, size, y, x));
        RunTile();
      }
    }
  }

 private:
  static constexpr int32_t kTaps = 3;
  static constexpr int32_t kChannels = 2;
  static constexpr int32_t kCellRows = 2;
  static constexpr int32_t kCells = 61;

  // A column of the window: u of either channel, v of either.
  struct Column {
    uint32_t taps[4];
  };

  // What two channels are computed with, in the order in which it is read.
  struct Parameters {
    int32_t bias[kChannels];
    Column first;
    int32_t to_second;  // bytes of the patch from column to column
    Column second;
    int32_t to_third;
    Column third;
    int32_t has_long_shift;
    int32_t doubled_multiplier[kChannels];
    int32_t factor[kChannels];
    int32_t zero_point;
    int32_t to_lower_row;      // elements of the output
    int32_t of_first_channel;  // where its element goes: where the other's does if it is not wanted
    int32_t to_next_position;  // elements of the output
  };

  static int32_t WholeCells(int32_t rows) {
    return static_cast<int32_t>(static_cast<uint32_t>(rows) / kCellRows);
  }

  // Whether the last cell of some rows has one of them only.
  static bool IsHalf(int32_t rows) { return (rows & (kCellRows - 1)) != 0; }

  // Two elements of neighbouring channels.
  static uint32_t LoadPair(const int8_t* address) {
    uint16_t pair;
    memcpy(&pair, address, sizeof pair);
    return pair;
  }

  // Two rows of two channels, each in a word.
  __attribute__((always_inline)) static uint32_t* StoreCell(uint32_t upper, uint32_t lower, uint32_t* to) {
    const uint32_t cell = upper | lower << 16;
    *to++ = WidenedEvenBytes(cell);
    *to++ = WidenedOddBytes(cell);
    return to;
  }

  // What all channels of a tile have in common, the padding in the patch among it.
  __attribute__((noinline)) void BeginTile(const Tile& tile) {
    const PatchInMap in_map = PatchOf(conv_.window, tile);
    const int32_t channels = conv_.input_channels;
    const int32_t cells = WholeCells(in_map.rows + 1);
    const int32_t above = WholeCells(in_map.top);
    row_step_ = conv_.window.input_width * channels;
    from_ = conv_.input + (in_map.y + in_map.top) * row_step_ + (in_map.x + in_map.left) * channels;
    columns_ = in_map.right - in_map.left;
    column_words_ = cells * kChannels;
    first_word_ = in_map.left * column_words_ + above * kChannels;
    is_half_above_ = IsHalf(in_map.top);
    whole_cells_ = WholeCells(in_map.bottom) - above - is_half_above_;
    is_half_below_ = IsHalf(in_map.bottom);
    padding_ = FourTimes(conv_.input_zero_point) & UINT16_MAX;
    output_ = conv_.output + (tile.y * conv_.window.output_width + tile.x) * channels;
    output_rows_ = tile.rows;
    output_columns_ = tile.columns;
    parameters_.to_second = parameters_.to_third = column_words_ * static_cast<int32_t>(sizeof(uint32_t));
    parameters_.zero_point = conv_.stage.zero_point;
    parameters_.to_next_position = channels;
    uint32_t* to = patch_;
    for (int32_t left = in_map.columns * cells; left > 0; --left) to = StoreCell(padding_, padding_, to);
  }

  void RunTile() {
    const int32_t channels = conv_.input_channels;
    for (int32_t channel = 0; channel < channels; channel += kChannels) {
      // The first channel of an odd last pair has been written, and what it was computed from may be gone.
      const bool is_odd = channel + 1 == channels;
      const int32_t first = is_odd ? channel - 1 : channel;
      FillParameters(first, is_odd);
      FillPatch(first);
      WriteTile(output_ + first);
    }
  }

  __attribute__((noinline)) void FillParameters(int32_t channel, bool is_odd) {
    const int8_t* const taps = conv_.weights + channel;
    FillColumn(taps, parameters_.first);
    FillColumn(taps + conv_.weights_pitch, parameters_.second);
    FillColumn(taps + 2 * conv_.weights_pitch, parameters_.third);
    const int8_t* const shifts = conv_.stage.shift + channel;
    const bool has_long_shift = shifts[0] < -kLongestRaisedShift || shifts[1] < -kLongestRaisedShift;
    for (int32_t i = 0; i < kChannels; ++i) {
      parameters_.bias[i] = conv_.stage.bias[channel + i];
      parameters_.doubled_multiplier[i] = WrappingShiftLeft(conv_.stage.multiplier[channel + i], 1);
      parameters_.factor[i] = has_long_shift ? ShiftFactor(shifts[i]) : RaisedFactor(shifts[i]);
    }
    parameters_.has_long_shift = has_long_shift;
    parameters_.of_first_channel = is_odd;
  }

  void FillColumn(const int8_t* taps, Column& column) const {
    const int32_t row_pitch = kTaps * conv_.weights_pitch;
    const uint32_t middle = LoadPair(taps + row_pitch);
    StoreCell(middle, LoadPair(taps + 2 * row_pitch), StoreCell(LoadPair(taps), middle, column.taps));
  }

  // Puts into the patch what the windows of the tile cover of the map.
  __attribute__((noinline)) void FillPatch(int32_t channel) {
    const int32_t row_step = row_step_;
    const int8_t* from = from_ + channel;
    uint32_t* column = patch_ + first_word_;
    for (int32_t left = columns_; left > 0; --left) {
      const int8_t* next = from;
      uint32_t* to = column;
      if (is_half_above_) {
        to = StoreCell(padding_, LoadPair(next), to);
        next += row_step;
      }
      if (whole_cells_ > 0) StoreCells(whole_cells_, row_step, next, to);
      if (is_half_below_) StoreCell(LoadPair(next), padding_, to);
      from += conv_.input_channels;
      column += column_words_;
    }
  }

  // `count` > 0 cells from `from` on to `to`, which then lead behind them.
  __attribute__((always_inline)) static void StoreCells(int32_t count, int32_t row_step, const int8_t*& from,
                                                        uint32_t*& to) {
    uint32_t upper, lower;
    // Two cells a turn, of which the first begins in its middle where their number is odd.
    // clang-format off
#define REDS_STORE_CELL                                     \
  "ldrh   %[lower], [%[from], %[row_step]]\n"               \
  "ldrh   %[upper], [%[from]]\n"                            \
  "add    %[from], %[from], %[row_step], lsl #1\n"          \
  "orr    %[lower], %[upper], %[lower], lsl #16\n"          \
  "sxtb16 %[upper], %[lower]\n"                             \
  "sxtb16 %[lower], %[lower], ror #8\n"                     \
  "strd   %[upper], %[lower], [%[to]], #8\n"
    // clang-format on
    __asm__ volatile(
        "lsrs   %[count], #1\n"
        "bcs    2f\n"
        "1:\n" REDS_STORE_CELL
        "subs   %[count], #1\n"
        "2:\n" REDS_STORE_CELL "bne    1b\n"
        : [upper] "=&r"(upper), [lower] "=&r"(lower), [from] "+&r"(from), [to] "+&r"(to), [count] "+&r"(count)
        : [row_step] "r"(row_step)
        : "cc", "memory");
#undef REDS_STORE_CELL
  }

  void WriteTile(int8_t* output) {
    const int32_t row_elements = conv_.window.output_width * conv_.input_channels;
    const int32_t pairs = WholeCells(output_rows_);
    parameters_.to_lower_row = row_elements;
    if (pairs != 0) WriteRowPairs(pairs, patch_, output);
    if (!IsHalf(output_rows_)) return;
    // An odd last row takes the place of the one below it.
    parameters_.to_lower_row = 0;
    WriteRowPairs(1, patch_ + pairs * kChannels, output + pairs * kCellRows * row_elements);
  }

  __attribute__((noinline)) void WriteRowPairs(int32_t pairs, const uint32_t* patch, int8_t* output) const {
    const int32_t channels = conv_.input_channels;
    const int32_t columns = output_columns_;
    // In pairs of words, as LDRD reads them.
    struct {
      int8_t* output;
      int8_t* end;
    } row = {output, output + columns * channels};
    const struct {
      int32_t patch_bytes;
      int32_t output;
    } to_next_pair = {static_cast<int32_t>(sizeof(uint32_t)) * kChannels - columns * parameters_.to_second,
                      (kCellRows * conv_.window.output_width - columns) * channels};
    const int32_t tile_elements = columns * channels;
    int32_t left = pairs;
    const Parameters* const parameters = &parameters_;
    // Registers: r0, r1 the sums of the upper row, r2, r3 those of the lower one; r4 to r7 cells a and b of a column, r8
    // to r11 its taps; r12 where the window begins in the patch, then its second column, where the next window begins;
    // lr where to go on in the parameters. The lower row is written first.
    // clang-format off
#define REDS_ADD_COLUMN(sum0, sum1)      \
  "smlatb r2, r4, r8, " sum0 "\n"        \
  "smlatb r3, r5, r9, " sum1 "\n"        \
  "smlad  r0, r4, r8, r0\n"              \
  "smlad  r1, r5, r9, r1\n"              \
  "smlabt r0, r6, r10, r0\n"             \
  "smlabt r1, r7, r11, r1\n"             \
  "smlad  r2, r6, r10, r2\n"             \
  "smlad  r3, r7, r11, r3\n"
#define REDS_OF_FOUR(act) act("r0", "r5", "r7") act("r1", "r6", "r8") act("r2", "r5", "r7") act("r3", "r6", "r8")
#define REDS_MULTIPLY(value, multiplier, factor) "smmlar " value ", " value ", " multiplier ", " value "\n"
#define REDS_BELOW_ZERO(value, multiplier, factor) "add    " value ", " value ", " value ", asr #31\n"
#define REDS_SHIFT(value, multiplier, factor) "smmlar " value ", " value ", " factor ", r9\n"
#define REDS_SATURATE(value, multiplier, factor) "ssat   " value ", #8, " value "\n"
    __asm__ volatile(
        "ldr    r12, %[patch]\n"
        "1:\n"
        "ldr    lr, %[parameters]\n"
        "ldmia  r12, {r4-r7}\n"
        "ldmia  lr!, {r0, r1, r8-r11}\n"
        REDS_ADD_COLUMN("r0", "r1")
        "ldmia  lr!, {r4, r8-r11}\n"
        "add    r12, r4\n"
        "ldmia  r12, {r4-r7}\n"
        REDS_ADD_COLUMN("r2", "r3")
        "ldmia  lr!, {r4, r8-r11}\n"
        "add    r4, r12\n"
        "ldmia  r4, {r4-r7}\n"
        REDS_ADD_COLUMN("r2", "r3")
        "ldmia  lr, {r4-r11, lr}\n"
        REDS_OF_FOUR(REDS_MULTIPLY)
        "cbnz   r4, 3f\n"
        "2:\n"
        REDS_OF_FOUR(REDS_SHIFT) REDS_OF_FOUR(REDS_SATURATE)
        "ldrd   r4, r5, %[row]\n"
        "add    r10, r4\n"
        "strb   r2, [r10, r11]\n"
        "strb   r3, [r10, #1]\n"
        "strb   r0, [r4, r11]\n"
        "strb   r1, [r4, #1]\n"
        "add    r4, lr\n"
        "str    r4, %[output]\n"
        "cmp    r4, r5\n"
        "bne    1b\n"
        "b      4f\n"
        "3:\n"
        REDS_OF_FOUR(REDS_BELOW_ZERO)
        "b      2b\n"
        "4:\n"
        "ldrd   r6, r7, %[to_next_pair]\n"
        "ldr    r8, %[tile_elements]\n"
        "ldr    r9, %[left]\n"
        "add    r12, r6\n"
        "add    r4, r7\n"
        "add    r5, r4, r8\n"
        "strd   r4, r5, %[row]\n"
        "subs   r9, #1\n"
        "str    r9, %[left]\n"
        "bne    1b\n"
        : [row] "+m"(row), [output] "+m"(row.output), [left] "+m"(left)
        : [patch] "m"(patch), [parameters] "m"(parameters), [to_next_pair] "m"(to_next_pair),
          [tile_elements] "m"(tile_elements)
        : "r0", "r1", "r2", "r3", "r4", "r5", "r6", "r7", "r8", "r9", "r10", "r11", "r12", "lr", "cc", "memory");
    // clang-format on
#undef REDS_ADD_COLUMN
#undef REDS_OF_FOUR
#undef REDS_MULTIPLY
#undef REDS_BELOW_ZERO
#undef REDS_SHIFT
#undef REDS_SATURATE
  }

  const DepthwiseConv2D<int8_t>& conv_;
  Parameters parameters_;
  // Of the tile. What it covers of the map, and where that goes:
  const int8_t* from_;
  int32_t row_step_;
  int32_t columns_;
  int32_t first_word_;
  int32_t column_words_;
  int32_t whole_cells_;  // of a column
  uint32_t padding_;     // of two channels
  bool is_half_above_;   // whether one more cell begins above the map
  bool is_half_below_;
  // Its output:
  int8_t* output_;
  int32_t output_rows_;
  int32_t output_columns_;
  uint32_t patch_[kCells * kChannels];
};

}  // namespace armv7em
}  // namespace reds

#endif
