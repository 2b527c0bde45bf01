// Convolutions whose windows are one run of the weights, and small: four positions of the output at a time, the columns,
// so that a word of the weights, which stay where they are, is widened once for all of them.
//
// The windows are widened and put on the stack once, in the order in which they are read for every output channel: for
// each group of elements even and odd bytes of each column in turn. A run is preceded by as many zeros as it needs to be
// whole groups. Since all that four positions are computed from is read before they are written, the output may take
// the place of the input.

#ifndef REDS_KERNELS_ARMV7EM_COLUMN_FOURS_H
#define REDS_KERNELS_ARMV7EM_COLUMN_FOURS_H

#include <cstdint>

#include "kernels/armv7em/copy_rows.h"
#include "kernels/armv7em/dual_products.h"
#include "kernels/armv7em/requantize.h"
#include "kernels/fixed_point.h"
#include "kernels/kernels.h"
#include "kernels/taps.h"

namespace reds {
namespace armv7em {

class ColumnFours {
 public:
  // Of a convolution whose channels all have a Scale.
  static bool Supports(const Conv2D<int8_t>& conv) {
    const Window& window = conv.window;
    const int32_t taps = window.kernel_height * window.kernel_width;
    return window.dilation_height == 1 && window.dilation_width == 1 &&
           (taps == 1 || conv.input_channels == conv.weights_pitch) &&
           GroupsOf(taps * conv.input_channels) <= (IsMap(conv) ? kMostGroups : kMostGatheredGroups);
  }

  explicit ColumnFours(const Conv2D<int8_t>& conv)
      : conv_(conv),
        row_elements_(conv.window.kernel_width * conv.input_channels),
        elements_(conv.window.kernel_height * row_elements_) {}

  __attribute__((always_inline)) void Run() {
    const int32_t channels = conv_.output_channels;
    const int32_t positions = conv_.window.output_height * conv_.window.output_width;
    const bool is_backward = IsBackward(conv_);
    const bool is_map = IsMap(conv_);
    Channels written(conv_, elements_, columns_);
    for (int32_t left = positions; left > 0; left -= kColumns) {
      // The last position takes the places of those that are missing.
      const int32_t last = left < kColumns ? left - 1 : kColumns - 1;
      int32_t position = is_backward ? left - 1 - last : positions - left;
      const int8_t* from = conv_.input + position * elements_;  // where positions are those of the map
      int8_t* end = conv_.output + (position + 1) * channels;
      uint32_t* column = columns_;
      for (int32_t i = 0; i < kColumns; ++i) {
        const int8_t* next = from;
        if (is_map) {
          next = WidenRun(from, elements_, column);
        } else {
          FillColumn(position, column);
        }
        column += kColumnWords;
        written.outputs[i] = end;
        if (i < last) {
          ++position;
          from = next;
          end += channels;
        }
      }
      WriteChannels(written);
    }
    ClampMap(conv_.stage.clamp, conv_.output, positions * channels);
  }

 private:
  static constexpr int32_t kColumns = 4;
  static constexpr int32_t kColumnWords = 2;                 // of one group
  static constexpr int32_t kStep = kColumns * kColumnWords;  // words from group to group of one column
  static constexpr int32_t kMostGroups = 18;
  static constexpr int32_t kBufferWords = kMostGroups * kStep;
  static constexpr int32_t kMostGatheredGroups = kBufferWords / (kStep + 1);  // with a word to gather them in
  static constexpr int32_t kUnrolled = 4;                                     // groups in a turn of the loop
  static constexpr int32_t kGroupCodeBytes = 13 * 4;

  // Whether positions of the output are those of the map, and at least a group each.
  static bool IsMap(const Conv2D<int8_t>& conv) {
    const Window& window = conv.window;
    return window.kernel_height == 1 && window.kernel_width == 1 && window.stride_height == 1 &&
           window.stride_width == 1 && window.output_height == window.input_height &&
           window.output_width == window.input_width && conv.input_channels >= kGroup;
  }

  // What channels are computed from, in pairs of words, as LDRD reads them. Pointers lead behind the last channel.
  struct Channels {
    Channels(const Conv2D<int8_t>& conv, int32_t elements, const uint32_t* first_columns)
        : row(conv.weights - MissingTo(elements)),
          first(-conv.output_channels),
          columns(first_columns),
          bias(conv.stage.bias + conv.output_channels),
          shift(conv.stage.shift + conv.output_channels),
          zero_point(conv.stage.zero_point),
          multiplier(conv.stage.multiplier + conv.output_channels),
          advance(conv.window.kernel_height * conv.window.kernel_width * conv.weights_pitch -
                  GroupsOf(elements) * kGroup) {
      // The first group is not in the loop. Where it is all, the whole turn is left out.
      const int32_t looped = GroupsOf(elements) - 1;
      entered = looped == 0 ? kUnrolled : (looped + kUnrolled - 1) & -kUnrolled;
      skipped = (entered - looped) * kGroupCodeBytes;
    }

    const int8_t* row;
    int32_t first;
    const uint32_t* columns;
    const int32_t* bias;
    int32_t entered;  // groups in the loop, were they whole turns
    int32_t skipped;  // bytes of code at the beginning of the first turn
    const int8_t* shift;
    int32_t zero_point;
    const int32_t* multiplier;
    int32_t advance;  // from the end of a row to the next one
    int8_t* outputs[kColumns];
    const int32_t raised_unit = kRaisedUnit;
  };

  // Gathers and widens the window of a position of the output, counted by rows.
  __attribute__((noinline)) void FillColumn(int32_t position, uint32_t* to) {
    const Window& window = conv_.window;
    const int32_t y = position / window.output_width * window.stride_height - window.padding_top;
    const int32_t x = position % window.output_width * window.stride_width - window.padding_left;
    const TapRange rows = InMap(y, window.kernel_height, window.input_height);
    const TapRange columns = InMap(x, window.kernel_width, window.input_width);
    if (row_elements_ == kGroup && window.input_width * conv_.input_channels >= kGroup) {
      FillRowsOfAGroup(rows, columns, to);
    } else {
      Gather(rows, columns);
      WidenRun(Gathered(), (elements_ + kGroup - 1) & -kGroup, to);
    }
  }

  static TapRange InMap(int32_t origin, int32_t kernel, int32_t size) {
    const int32_t first = Clamped<int32_t>(-origin, 0, kernel);
    return {origin, first, Clamped<int32_t>(size - origin, first, kernel)};
  }

  // A window whose rows are a group each: where one of them leaves the map, the word beside it is moved, and padding put
  // in its place.
  void FillRowsOfAGroup(const TapRange& rows, const TapRange& columns, uint32_t* to) const {
    const Window& window = conv_.window;
    const int32_t channels = conv_.input_channels;
    const int32_t row_step = window.input_width * channels;
    const int32_t left = columns.first * channels * 8;
    const int32_t right = (window.kernel_width - columns.end) * channels * 8;
    const uint32_t padding = FourTimes(conv_.input_zero_point);
    const uint32_t beside = padding & ~(UINT32_MAX << left >> right);
    const int8_t* from = conv_.input + (rows.origin + rows.first) * row_step +
                         Clamped<int32_t>(columns.origin * channels, 0, row_step - kGroup);
    to = FillGroups(padding, rows.first, to);
    int32_t count = rows.end - rows.first;
    uint32_t even, odd;
    __asm__ volatile(
        "1:\n"
        "ldr    %[odd], [%[from]]\n"
        "add    %[from], %[row_step]\n"
        "lsl    %[odd], %[left]\n"
        "lsr    %[odd], %[right]\n"
        "orr    %[odd], %[beside]\n"
        "sxtb16 %[even], %[odd]\n"
        "sxtb16 %[odd], %[odd], ror #8\n"
        "strd   %[even], %[odd], [%[to]], #32\n"
        "subs   %[count], #1\n"
        "bne    1b\n"
        : [from] "+&r"(from), [to] "+&r"(to), [count] "+&r"(count), [even] "=&r"(even), [odd] "=&r"(odd)
        : [row_step] "r"(row_step), [left] "r"(left), [right] "r"(right), [beside] "r"(beside)
        : "cc", "memory");
    FillGroups(padding, window.kernel_height - rows.end, to);
  }

  static uint32_t* FillGroups(uint32_t word, int32_t count, uint32_t* to) {
    for (; count > 0; --count) {
      to[0] = WidenedEvenBytes(word);
      to[1] = WidenedOddBytes(word);
      to += kStep;
    }
    return to;
  }

  int8_t* Gathered() { return reinterpret_cast<int8_t*>(columns_ + GroupsOf(elements_) * kStep); }

  // Copies a window's elements behind the columns, and padding where it leaves the map.
  void Gather(const TapRange& rows, const TapRange& columns) {
    const Window& window = conv_.window;
    const int32_t channels = conv_.input_channels;
    const int32_t row_step = window.input_width * channels;
    const int32_t zeros = MissingTo(elements_);
    int8_t* const gathered = Gathered();
    const int32_t taken_rows = rows.end - rows.first;
    const int32_t taken_columns = columns.end - columns.first;
    uint32_t padding = 0;
    if (taken_rows < window.kernel_height || taken_columns < window.kernel_width) {
      padding = FourTimes(conv_.input_zero_point);
      for (int32_t word = kGroup; word < zeros + elements_; word += kGroup)
        StoreWord(padding, gathered + word);
    }
    StoreWord(padding << zeros * 8, gathered);
    CopyRows(
        conv_.input + (rows.origin + rows.first) * row_step + (columns.origin + columns.first) * channels,
        row_step, taken_rows, taken_columns * channels,
        gathered + zeros + rows.first * row_elements_ + columns.first * channels, row_elements_);
  }

  // Widens a run of at least a group to where one column begins. Returns the end of the run.
  __attribute__((always_inline)) static const int8_t* WidenRun(const int8_t* from, int32_t elements,
                                                               uint32_t* to) {
    const int32_t zeros = MissingTo(elements);
    if (zeros != 0) {
      to = FillGroups(LoadWord(from) << zeros * 8, 1, to);
      from += kGroup - zeros;
    }
    uint32_t count = static_cast<uint32_t>(elements) / kGroup;
    uint32_t even, odd;
#define REDS_WIDEN_GROUP            \
  "ldr    %[odd], [%[from]], #4\n"  \
  "sxtb16 %[even], %[odd]\n"        \
  "sxtb16 %[odd], %[odd], ror #8\n" \
  "strd   %[even], %[odd], [%[to]], #32\n"
    // Two groups a turn, of which the first begins in its middle where their number is odd.
    __asm__ volatile(
        "lsrs   %[count], #1\n"
        "bcs    2f\n"
        "1:\n" REDS_WIDEN_GROUP
        "subs   %[count], #1\n"
        "2:\n" REDS_WIDEN_GROUP "bne    1b\n"
        : [from] "+&r"(from), [to] "+&r"(to), [count] "+&r"(count), [even] "=&r"(even), [odd] "=&r"(odd)
        :
        : "cc", "memory");
#undef REDS_WIDEN_GROUP
    return from;
  }

  // Registers: r0 to r3 the sums; r8 to r11 a group of two columns; those named below. With the stack pointer and the
  // program counter that is all of them, so what a channel begins and ends with lies on the stack.
  __attribute__((always_inline)) static void WriteChannels(const Channels& channels) {
    const int8_t* row = channels.row;
    int32_t index = channels.first;  // up to 0
    const uint32_t* column;
    int32_t left;
    uint32_t w, e;
    // clang-format off
#define REDS_LOAD_ROW                      \
  "ldr    %[w], [%[row]], #4\n"            \
  "sxtb16 %[e], %[w]\n"                    \
  "sxtb16 %[w], %[w], ror #8\n"
#define REDS_ADD_TWO(sum0, sum1, from0, from1) \
  "ldmia  %[column]!, {r8-r11}\n"          \
  "smlad  " sum0 ", %[e], r8, " from0 "\n"  \
  "smlad  " sum1 ", %[e], r10, " from1 "\n" \
  "smlad  " sum0 ", %[w], r9, " sum0 "\n"  \
  "smlad  " sum1 ", %[w], r11, " sum1 "\n"
#define REDS_ADD_GROUP          \
  REDS_LOAD_ROW REDS_ADD_TWO("r0", "r1", "r0", "r1") REDS_ADD_TWO("r2", "r3", "r2", "r3")
#define REDS_OF_FOUR(act) act("r0") act("r1") act("r2") act("r3")
#define REDS_MULTIPLY(value) "smmlar " value ", " value ", r8, " value "\n"
#define REDS_BELOW_ZERO(value) "add    " value ", " value ", " value ", asr #31\n"
#define REDS_SHIFT(value) "smmlar " value ", " value ", r9, %[e]\n"
#define REDS_SATURATE(value) "ssat   " value ", #8, " value "\n"
    // All instructions of groups are words, so that adding to the program counter, which reads as the address of label
    // 2, skips whole groups. The first group begins with the bias, in r3. A factor is shifted from the raised unit
    // unless the channel's shift is too long (requantize.h), of which the flags tell.
    __asm__ volatile(
        "1:\n"
        "ldrd   %[column], %[w], %[columns]\n"
        "ldr    r3, [%[w], %[index], lsl #2]\n"
        REDS_LOAD_ROW REDS_ADD_TWO("r0", "r1", "r3", "r3") REDS_ADD_TWO("r2", "r3", "r3", "r3")
        "ldrd   %[left], r8, %[entered]\n"
        "add    pc, r8\n"
        "nop\n"
        "2:\n"
        REDS_ADD_GROUP REDS_ADD_GROUP REDS_ADD_GROUP REDS_ADD_GROUP
        "subs   %[left], #4\n"
        "bne    2b\n"
        "ldrd   r8, %[e], %[shift]\n"
        "ldrd   r10, r11, %[multiplier]\n"
        "ldrsb  r9, [r8, %[index]]\n"
        "ldr    r8, [r10, %[index], lsl #2]\n"
        "ldr    %[w], %[raised_unit]\n"
        "add    %[row], r11\n"
        "lsl    r8, r8, #1\n"
        "adds   r9, r9, %[longest]\n"
        "lsl    r9, %[w], r9\n"
        REDS_OF_FOUR(REDS_MULTIPLY)
        "bmi    4f\n"
        "3:\n"
        REDS_OF_FOUR(REDS_SHIFT) REDS_OF_FOUR(REDS_SATURATE)
        "ldrd   r8, r9, %[output0]\n"
        "ldrd   r10, r11, %[output2]\n"
        "strb   r0, [r8, %[index]]\n"
        "strb   r1, [r9, %[index]]\n"
        "strb   r2, [r10, %[index]]\n"
        "strb   r3, [r11, %[index]]\n"
        "adds   %[index], #1\n"
        "bne    1b\n"
        "b      5f\n"
        "4:\n"
        "ldr    r9, %[shift]\n"
        "ldrsb  r9, [r9, %[index]]\n"
        "mov    %[w], #1\n"
        "add    r9, r9, #32\n"
        "lsl    r9, %[w], r9\n"
        REDS_OF_FOUR(REDS_BELOW_ZERO)
        "b      3b\n"
        "5:\n"
        : [row] "+&r"(row), [index] "+&r"(index), [column] "=&r"(column), [left] "=&r"(left), [w] "=&r"(w),
          [e] "=&r"(e)
        : [columns] "m"(channels.columns), [bias] "m"(channels.bias), [entered] "m"(channels.entered),
          [skipped] "m"(channels.skipped), [shift] "m"(channels.shift), [zero_point] "m"(channels.zero_point),
          [multiplier] "m"(channels.multiplier), [advance] "m"(channels.advance),
          [raised_unit] "m"(channels.raised_unit), [output0] "m"(channels.outputs[0]),
          [output1] "m"(channels.outputs[1]), [output2] "m"(channels.outputs[2]), [output3] "m"(channels.outputs[3]),
          [longest] "i"(kLongestRaisedShift)
        : "r0", "r1", "r2", "r3", "r8", "r9", "r10", "r11", "cc", "memory");
    // clang-format on
#undef REDS_LOAD_ROW
#undef REDS_ADD_TWO
#undef REDS_ADD_GROUP
#undef REDS_OF_FOUR
#undef REDS_MULTIPLY
#undef REDS_BELOW_ZERO
#undef REDS_SHIFT
#undef REDS_SATURATE
  }

  const Conv2D<int8_t>& conv_;
  const int32_t row_elements_;      // of a window
  const int32_t elements_;          // of a window
  uint32_t columns_[kBufferWords];  // and behind them where windows are gathered
};

}  // namespace armv7em
}  // namespace reds

#endif
