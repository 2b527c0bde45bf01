// Convolutions of whole groups of channels whose windows fit the stack: two positions of the output at a time, the
// columns, whose windows are widened and put there once, and two rows of weights at a time, from the bias to the elements
// of the output. Since all that two positions are computed from is read before they are written, the output may take the
// place of the input.

#ifndef REDS_KERNELS_ARMV7EM_COLUMN_TWOS_H
#define REDS_KERNELS_ARMV7EM_COLUMN_TWOS_H

#include <cstdint>

#include "kernels/armv7em/column_pairs.h"
#include "kernels/armv7em/dual_products.h"
#include "kernels/armv7em/requantize.h"
#include "kernels/kernels.h"
#include "kernels/taps.h"

namespace reds {
namespace armv7em {

class ColumnTwos {
 public:
  // Of a convolution whose channels all have a Scale.
  static bool Supports(const Conv2D<int8_t>& conv) {
    const Window& window = conv.window;
    return window.dilation_height == 1 && window.dilation_width == 1 && conv.input_channels % kGroup == 0 &&
           window.kernel_height * window.kernel_width * conv.input_channels <= kMostGroups * kGroup;
  }

  explicit ColumnTwos(const Conv2D<int8_t>& conv)
      : conv_(conv),
        row_pitch_(conv.window.kernel_height * conv.window.kernel_width * conv.weights_pitch),
        elements_(conv.window.kernel_height * conv.window.kernel_width * conv.input_channels),
        run_(conv.input_channels == conv.weights_pitch ? elements_ : conv.input_channels) {}

  __attribute__((always_inline)) void Run() {
    const int32_t channels = conv_.output_channels;
    const int32_t positions = conv_.window.output_height * conv_.window.output_width;
    const bool is_backward = IsBackward(conv_);
    for (int32_t left = positions; left > 0; left -= kColumns) {
      // An odd last position fills both columns.
      const int32_t next = left > 1 ? 1 : 0;
      const int32_t first = is_backward ? left - 1 - next : positions - left;
      FillColumn(first, columns_);
      FillColumn(first + next, columns_ + kGroupWords);
      int8_t* const output = conv_.output + first * channels;
      if (channels > 1) WritePairs(0, channels / kRows, 1, output, output + next * channels);
      // An odd last row is its own partner. The tables have constants to read for that, which change nothing.
      if (channels % kRows != 0) WritePairs(channels - 1, 1, 0, output, output + next * channels);
    }
    ClampMap(conv_.stage.clamp, conv_.output, positions * channels);
  }

 private:
  static constexpr int32_t kRows = 2;
  static constexpr int32_t kMostGroups = 36;
  static constexpr int32_t kUnrolled = 4;  // groups in a turn of the loop
  static constexpr int32_t kGroupCodeBytes = 15 * 4;

  // Widens the window of a position of the output, counted by rows.
  __attribute__((noinline)) void FillColumn(int32_t position, uint32_t* to) const {
    const Window& window = conv_.window;
    const int32_t channels = conv_.input_channels;
    const TapsInMap taps = TapsAt(window, position / window.output_width, position % window.output_width);
    const TapRange& rows = taps.rows;
    const TapRange& columns = taps.columns;
    const int32_t taken_rows = rows.end - rows.first;
    const int32_t taken = columns.end - columns.first;
    static_assert(kPairWords == kGroup, "a column has as many words as elements");
    const int32_t row_words = window.kernel_width * channels;
    if (taken_rows < window.kernel_height || taken < window.kernel_width) {
      FillGroups(conv_.input_zero_point, GroupsOf(elements_), to);
    }
    const int32_t row_step = window.input_width * channels;
    const int8_t* from =
        conv_.input + (rows.origin + rows.first) * row_step + (columns.origin + columns.first) * channels;
    to += rows.first * row_words + columns.first * channels;
    for (int32_t left = taken_rows; left > 0; --left) {
      Widen(from, taken * channels, to);
      from += row_step;
      to += row_words;
    }
  }

  static void FillGroups(int32_t element, int32_t count, uint32_t* to) {
    const uint32_t half = static_cast<uint16_t>(element);
    for (; count > 0; --count) {
      to[0] = to[1] = half << 16 | half;
      to += kPairWords;
    }
  }

  // Writes the elements of `pairs` > 0 pairs of channels. The second one of a pair is `partner` channels behind the first.
  __attribute__((noinline)) void WritePairs(int32_t channel, int32_t pairs, int32_t partner, int8_t* output0,
                                            int8_t* output1) const {
    const OutputStage<int8_t>& stage = conv_.stage;
    const int32_t groups = GroupsOf(run_);
    const int32_t turned = (groups + kUnrolled - 1) & -kUnrolled;
    const int32_t to_next_run = conv_.weights_pitch - conv_.input_channels;
    // In pairs of words, as LDRD reads them.
    struct {
      const int32_t* bias;
      const uint32_t* columns;
    } begin = {stage.bias + channel, columns_};
    const struct {
      int32_t skipped;
      int32_t entered;
    } entry = {(turned - groups) * kGroupCodeBytes, turned};
    const struct {
      const uint32_t* columns;
      int32_t to_next_pair;
    } end = {columns_ + elements_, to_next_run + row_pitch_};
    struct {
      const int8_t* shift;
      const int32_t* multiplier;
    } scale = {stage.shift + channel, stage.multiplier + channel};
    const struct {
      int32_t unit;
      int32_t zero_point;
    } constant = {kRaisedUnit, stage.zero_point};
    struct {
      int8_t* column0;
      int8_t* column1;
    } output = {output0 + channel, output1 + channel};
    const struct {
      int8_t* end;
      int32_t partner;
    } last = {output.column0 + kRows * pairs, partner};
    const int8_t* const row0 = conv_.weights + channel * row_pitch_;
    const int8_t* const row1 = row0 + partner * row_pitch_;
    // Registers as in RowPart::AddPairs up to the end of a row. Then r4, r5 pointers, in turn; r8, r9 the factors; r10,
    // r11 the doubled multipliers. The flags tell whether a shift is too long for a raised factor.
    // clang-format off
#define REDS_OF_FOUR(act) act("r0", "r10", "r8") act("r1", "r10", "r8") act("r2", "r11", "r9") act("r3", "r11", "r9")
#define REDS_MULTIPLY(value, multiplier, factor) "smmlar " value ", " value ", " multiplier ", " value "\n"
#define REDS_BELOW_ZERO(value, multiplier, factor) "add    " value ", " value ", " value ", asr #31\n"
#define REDS_SHIFT(value, multiplier, factor) "smmlar " value ", " value ", " factor ", r5\n"
#define REDS_SATURATE(value, multiplier, factor) "ssat   " value ", #8, " value "\n"
    __asm__ volatile(
        "ldr    r6, %[row0]\n"
        "ldr    r7, %[row1]\n"
        "1:\n"
        "ldrd   r5, r12, %[begin]\n"
        "ldrd   r0, r2, [r5], #8\n"
        "str    r5, %[bias]\n"
        "mov    r1, r0\n"
        "mov    r3, r2\n"
        "2:\n"
        "ldrd   r4, lr, %[entry]\n"
        "add    pc, r4\n"
        "nop\n"
        "3:\n"
        REDS_ADD_GROUP_OF_PAIRS REDS_ADD_GROUP_OF_PAIRS REDS_ADD_GROUP_OF_PAIRS REDS_ADD_GROUP_OF_PAIRS
        "subs   lr, #4\n"
        "bne    3b\n"
        "ldrd   r4, r5, %[end]\n"
        "cmp    r12, r4\n"
        "bne    6f\n"
        "add    r6, r5\n"
        "add    r7, r5\n"
        "ldrd   r4, r5, %[scale]\n"
        "ldrsb  r8, [r4], #1\n"
        "ldrsb  r9, [r4], #1\n"
        "ldrd   r10, r11, [r5], #8\n"
        "strd   r4, r5, %[scale]\n"
        "ldrd   r4, r5, %[constant]\n"
        "add    r8, r8, %[longest]\n"
        "add    r9, r9, %[longest]\n"
        "lsl    r10, r10, #1\n"
        "lsl    r11, r11, #1\n"
        "orrs   lr, r8, r9\n"
        "lsl    r8, r4, r8\n"
        "lsl    r9, r4, r9\n"
        REDS_OF_FOUR(REDS_MULTIPLY)
        "bmi    5f\n"
        "4:\n"
        REDS_OF_FOUR(REDS_SHIFT) REDS_OF_FOUR(REDS_SATURATE)
        "ldrd   r4, r5, %[output]\n"
        "ldrd   r8, lr, %[last]\n"
        "strb   r2, [r4, lr]\n"
        "strb   r3, [r5, lr]\n"
        "strb   r0, [r4], #2\n"
        "strb   r1, [r5], #2\n"
        "strd   r4, r5, %[output]\n"
        "cmp    r4, r8\n"
        "bne    1b\n"
        "b      7f\n"
        "5:\n"
        "ldr    r4, %[shift]\n"
        "mov    lr, #1\n"
        "ldrsb  r8, [r4, #-2]\n"
        "ldrsb  r9, [r4, #-1]\n"
        "add    r8, r8, #32\n"
        "add    r9, r9, #32\n"
        "lsl    r8, lr, r8\n"
        "lsl    r9, lr, r9\n"
        REDS_OF_FOUR(REDS_BELOW_ZERO)
        "b      4b\n"
        "6:\n"
        "ldr    r4, %[to_next_run]\n"
        "add    r6, r4\n"
        "add    r7, r4\n"
        "b      2b\n"
        "7:\n"
        : [begin] "+m"(begin), [bias] "+m"(begin.bias), [scale] "+m"(scale), [shift] "+m"(scale.shift),
          [output] "+m"(output)
        : [row0] "m"(row0), [row1] "m"(row1), [entry] "m"(entry), [end] "m"(end), [constant] "m"(constant),
          [last] "m"(last), [to_next_run] "m"(to_next_run), [longest] "i"(kLongestRaisedShift)
        : "r0", "r1", "r2", "r3", "r4", "r5", "r6", "r7", "r8", "r9", "r10", "r11", "r12", "lr", "cc", "memory");
    // clang-format on
#undef REDS_OF_FOUR
#undef REDS_MULTIPLY
#undef REDS_BELOW_ZERO
#undef REDS_SHIFT
#undef REDS_SATURATE
  }

  const Conv2D<int8_t>& conv_;
  const int32_t row_pitch_;  // elements of the weights
  const int32_t elements_;   // of a window
  const int32_t run_;        // elements that are contiguous in the weights
  uint32_t columns_[kMostGroups * kPairWords];
};

}  // namespace armv7em
}  // namespace reds

#endif
