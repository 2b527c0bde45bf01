// A convolution whose window is one position, with stride 1 and no padding: a product of the matrix of the map
// with the matrix of the weights.
//
// Four positions at a time, so that the output may take the place of an input that has been read. They are widened and
// put on the stack once, in the order in which they are read for every output channel:
//
//   for each group of input channels: even and odd bytes of each position in turn;
//   where rows are not full groups, a last one, which ends with the row and in which elements that came before count
//   as 0.
//
// The weights stay where they are. A word of them is widened once for all positions.

#ifndef REDS_KERNELS_ARMV7EM_POINTWISE_INT8_H
#define REDS_KERNELS_ARMV7EM_POINTWISE_INT8_H

#include <cstdint>

#include "kernels/armv7em/dual_products.h"
#include "kernels/armv7em/requantize.h"
#include "kernels/fixed_point.h"
#include "kernels/kernels.h"

namespace reds {
namespace armv7em {

class Pointwise {
 public:
  // Whether a convolution is of this kind.
  static bool IsPointwise(const Window& window) {
    return window.kernel_height == 1 && window.kernel_width == 1 && window.stride_height == 1 &&
           window.stride_width == 1 && window.output_height == window.input_height &&
           window.output_width == window.input_width;
  }

  // Whether it is and its positions fit the stack.
  static bool Supports(const Conv2D<int8_t>& conv) {
    return IsPointwise(conv.window) && conv.input_channels >= kGroup && conv.input_channels <= kMostInputs &&
           HaveScales(conv.stage, conv.output_channels);
  }

  static void Run(const Conv2D<int8_t>& conv) {
    uint32_t columns[kBufferWords];
    Channels channels(conv, columns);
    const int32_t groups = conv.input_channels / kGroup;
    const int32_t remainder = conv.input_channels % kGroup;
    const int32_t positions = conv.window.output_height * conv.window.output_width;
    const bool is_backward = IsBackward(conv);
    for (int32_t left = positions; left > 0; left -= kPositions) {
      // The last position takes the places of those that are missing.
      const int32_t count = left < kPositions ? left : kPositions;
      const int32_t first = is_backward ? left - count : positions - left;
      const int8_t* input = conv.input + first * conv.input_channels;
      int8_t* output = conv.output + (first + 1) * conv.output_channels;
      for (int32_t i = 0; i < kPositions; ++i) {
        const int8_t* next = Widen(input, groups, remainder, columns + i * kPositionWords);
        channels.outputs[i] = output;
        if (i + 1 < count) {
          input = next;
          output += conv.output_channels;
        }
      }
      WriteChannels(channels);
    }
  }

 private:
  static constexpr int32_t kPositions = 4;
  static constexpr int32_t kPositionWords = 2;                   // of one group
  static constexpr int32_t kStep = kPositions * kPositionWords;  // words from group to group of one position
  static constexpr int32_t kMostGroups = 19;
  static constexpr int32_t kMostInputs = kMostGroups * kGroup;
  static constexpr int32_t kBufferWords = kMostGroups * kStep;
  static constexpr int32_t kUnrolled = 4;  // groups in a turn of the loop
  static constexpr int32_t kGroupCodeBytes = 13 * 4;

  // What channels are computed from, in pairs of words, as LDRD reads them. Pointers lead behind the last one.
  struct Channels {
    Channels(const Conv2D<int8_t>& conv, const uint32_t* first_columns)
        : row(conv.weights),
          first(-conv.output_channels),
          bias(conv.stage.bias + conv.output_channels),
          columns(first_columns),
          entered((conv.input_channels / kGroup + kUnrolled - 1) / kUnrolled * kUnrolled),
          shift(conv.stage.shift + conv.output_channels),
          step_back((kGroup - conv.input_channels % kGroup) % kGroup),
          multiplier(conv.stage.multiplier + conv.output_channels),
          zero_point(conv.stage.zero_point),
          advance(conv.weights_pitch - conv.input_channels),
          is_narrow(!IsWholeRange(conv.stage.clamp)),
          minimum(conv.stage.clamp.minimum),
          maximum(conv.stage.clamp.maximum) {
      skipped = (entered - conv.input_channels / kGroup) * kGroupCodeBytes;
    }

    const int8_t* row;
    int32_t first;
    const int32_t* bias;
    const uint32_t* columns;
    int32_t skipped;  // bytes of code at the beginning of the first turn
    int32_t entered;  // groups, were they whole turns
    const int8_t* shift;
    int32_t step_back;  // elements to the last group, which ends with the row; 0 where rows are full groups
    const int32_t* multiplier;
    int32_t zero_point;
    int32_t advance;  // from the end of a row to the next one
    int32_t is_narrow;
    int32_t minimum;
    int32_t maximum;
    int8_t* outputs[kPositions];
  };

  // One position. `to` is its first group. Returns the first element of the next position.
  static const int8_t* Widen(const int8_t* from, int32_t groups, int32_t remainder, uint32_t* to) {
    for (; groups > 0; --groups) {
      StoreGroup(LoadWord(from), to);
      from += kGroup;
      to += kStep;
    }
    if (remainder != 0) {
      from += remainder;
      const uint32_t last = UINT32_MAX << (kGroup - remainder) * 8;
      StoreGroup(LoadWord(from - kGroup) & last, to);
    }
    return from;
  }

  static void StoreGroup(uint32_t word, uint32_t* to) {
    to[0] = WidenedEvenBytes(word);
    to[1] = WidenedOddBytes(word);
  }

  // Registers: r0 to r3 the sums; r8 to r11 a group of two positions; those named below. With the stack pointer and
  // the program counter that is all of them, so what a channel begins and ends with lies on the stack.
  __attribute__((always_inline)) static void WriteChannels(const Channels& channels) {
    const int8_t* row = channels.row;
    int32_t index = channels.first;  // up to 0
    const uint32_t* column;
    int32_t left;
    uint32_t w, e;
    // clang-format off
#define REDS_ADD_TWO(sum0, sum1)           \
  "ldmia  %[column]!, {r8-r11}\n"          \
  "smlad  " sum0 ", %[e], r8, " sum0 "\n"  \
  "smlad  " sum1 ", %[e], r10, " sum1 "\n" \
  "smlad  " sum0 ", %[w], r9, " sum0 "\n"  \
  "smlad  " sum1 ", %[w], r11, " sum1 "\n"
#define REDS_ADD_GROUP          \
  "ldr    %[w], [%[row]], #4\n" \
  "sxtb16 %[e], %[w]\n"         \
  "sxtb16 %[w], %[w], ror #8\n" \
  REDS_ADD_TWO("r0", "r1")      \
  REDS_ADD_TWO("r2", "r3")
#define REDS_CLAMP(value)             \
  "cmp    " value ", %[w]\n"          \
  "it     lt\n"                       \
  "movlt  " value ", %[w]\n"          \
  "cmp    " value ", %[e]\n"          \
  "it     gt\n"                       \
  "movgt  " value ", %[e]\n"
#define REDS_OF_FOUR(act) act("r0") act("r1") act("r2") act("r3")
#define REDS_MULTIPLY(value) "smmlar " value ", " value ", r8, " value "\n"
#define REDS_BELOW_ZERO(value) "add    " value ", " value ", " value ", asr #31\n"
#define REDS_SHIFT(value) "smmlar " value ", " value ", r9, %[e]\n"
#define REDS_SATURATE(value) "ssat   " value ", #8, " value "\n"
    // All instructions of groups are words, so that adding to the program counter, which reads as the address of label
    // 2, skips whole groups.
    __asm__ volatile(
        "1:\n"
        "ldrd   %[w], %[column], %[bias]\n"
        "ldrd   %[e], %[left], %[skipped]\n"
        "ldr    r0, [%[w], %[index], lsl #2]\n"
        "mov    r1, r0\n"
        "mov    r2, r0\n"
        "mov    r3, r0\n"
        "add    pc, %[e]\n"
        "nop\n"
        "2:\n"
        REDS_ADD_GROUP REDS_ADD_GROUP REDS_ADD_GROUP REDS_ADD_GROUP
        "subs   %[left], #4\n"
        "bne    2b\n"
        "ldrd   r8, %[w], %[shift]\n"
        "cbz    %[w], 4f\n"
        "sub    %[row], %[row], %[w]\n"
        REDS_ADD_GROUP
        "ldr    r8, %[shift]\n"
        "4:\n"
        "ldrd   r10, %[e], %[multiplier]\n"
        "ldrsb  r9, [r8, %[index]]\n"
        "ldr    r8, [r10, %[index], lsl #2]\n"
        "mov    %[w], #1\n"
        "add    r9, r9, #32\n"
        "lsl    r8, r8, #1\n"
        "lsl    r9, %[w], r9\n"
        REDS_OF_FOUR(REDS_MULTIPLY) REDS_OF_FOUR(REDS_BELOW_ZERO) REDS_OF_FOUR(REDS_SHIFT) REDS_OF_FOUR(REDS_SATURATE)
        "ldrd   %[column], %[w], %[advance]\n"
        "cbz    %[w], 5f\n"
        "ldrd   %[w], %[e], %[minimum]\n"
        REDS_OF_FOUR(REDS_CLAMP)
        "5:\n"
        "ldrd   r8, r9, %[output0]\n"
        "ldrd   r10, r11, %[output2]\n"
        "strb   r0, [r8, %[index]]\n"
        "strb   r1, [r9, %[index]]\n"
        "strb   r2, [r10, %[index]]\n"
        "strb   r3, [r11, %[index]]\n"
        "adds   %[index], #1\n"
        "add    %[row], %[column]\n"
        "bne    1b\n"
        : [row] "+&r"(row), [index] "+&r"(index), [column] "=&r"(column), [left] "=&r"(left), [w] "=&l"(w),
          [e] "=&r"(e)
        : [bias] "m"(channels.bias), [columns] "m"(channels.columns), [skipped] "m"(channels.skipped),
          [entered] "m"(channels.entered), [shift] "m"(channels.shift), [step_back] "m"(channels.step_back),
          [multiplier] "m"(channels.multiplier), [zero_point] "m"(channels.zero_point),
          [advance] "m"(channels.advance), [is_narrow] "m"(channels.is_narrow), [minimum] "m"(channels.minimum),
          [maximum] "m"(channels.maximum), [output0] "m"(channels.outputs[0]), [output1] "m"(channels.outputs[1]),
          [output2] "m"(channels.outputs[2]), [output3] "m"(channels.outputs[3])
        : "r0", "r1", "r2", "r3", "r8", "r9", "r10", "r11", "cc", "memory");
    // clang-format on
#undef REDS_ADD_TWO
#undef REDS_ADD_GROUP
#undef REDS_CLAMP
#undef REDS_OF_FOUR
#undef REDS_MULTIPLY
#undef REDS_BELOW_ZERO
#undef REDS_SHIFT
#undef REDS_SATURATE
  }
};

}  // namespace armv7em
}  // namespace reds

#endif
