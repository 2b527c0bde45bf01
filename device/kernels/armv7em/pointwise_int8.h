// A convolution whose window is one position, with stride 1 and no padding: a product of the matrix of the map
// with the matrix of the weights.
//
// Two output channels at a time, with two positions at a time inside. All that the two channels need is
// widened and put on the stack once, in the order in which it is read for every pair of positions:
//
//   bias of channel 0, the same, bias of channel 1, the same;
//   for each group of input channels: even and odd bytes of channel 0, even and odd bytes of channel 1;
//   how many elements the last group steps back, so that it ends with the row; 0 where rows are full groups;
//   where they are not, the last group, in which elements that came before count as 0;
//   scale of channel 0, scale of channel 1, zero point.

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
  // Whether a convolution is of this kind and its parameters fit the stack.
  static bool Supports(const Conv2D<int8_t>& conv) {
    const Window& window = conv.window;
    return window.kernel_height == 1 && window.kernel_width == 1 && window.stride_height == 1 &&
           window.stride_width == 1 && window.output_height == window.input_height &&
           window.output_width == window.input_width && conv.input_channels >= kGroup &&
           conv.input_channels <= kMostInputs && HaveScales(conv.stage, conv.output_channels);
  }

  static void Run(const Conv2D<int8_t>& conv) {
    for (int32_t channel = 0; channel < conv.output_channels; channel += 2) {
      // An odd last channel is computed twice.
      const int32_t next = channel + 1 < conv.output_channels ? 1 : 0;
      uint32_t parameters[kMostWords];
      FillParameters(conv, channel, next, parameters);
      WriteChannels(conv, parameters, channel, next);
    }
  }

 private:
  static constexpr int32_t kMostInputs = 184;
  static constexpr int32_t kGroupWords = 4;  // even and odd bytes of two channels
  static constexpr int32_t kMostWords = 4 + kMostInputs / kGroup * kGroupWords + 1 + 5;

  static uint32_t* StoreGroup(uint32_t word0, uint32_t word1, uint32_t* to) {
    to[0] = WidenedEvenBytes(word0);
    to[1] = WidenedOddBytes(word0);
    to[2] = WidenedEvenBytes(word1);
    to[3] = WidenedOddBytes(word1);
    return to + kGroupWords;
  }

  static uint32_t* StoreScale(const OutputStage<int8_t>& stage, int32_t channel, uint32_t* to) {
    const Scale scale = MakeScale(stage.multiplier[channel], stage.shift[channel]);
    to[0] = static_cast<uint32_t>(scale.doubled_multiplier);
    to[1] = static_cast<uint32_t>(scale.shift_factor);
    return to + 2;
  }

  static void FillParameters(const Conv2D<int8_t>& conv, int32_t channel, int32_t next, uint32_t* to) {
    const int8_t* row0 = conv.weights + channel * conv.weights_pitch;
    const int8_t* row1 = row0 + next * conv.weights_pitch;
    const int32_t remainder = conv.input_channels % kGroup;
    to[0] = to[1] = static_cast<uint32_t>(conv.stage.bias[channel]);
    to[2] = to[3] = static_cast<uint32_t>(conv.stage.bias[channel + next]);
    to += 4;
    for (int32_t groups = conv.input_channels / kGroup; groups > 0; --groups) {
      to = StoreGroup(LoadWord(row0), LoadWord(row1), to);
      row0 += kGroup;
      row1 += kGroup;
    }
    *to++ = remainder == 0 ? 0 : static_cast<uint32_t>(kGroup - remainder);
    if (remainder != 0) {
      const uint32_t last = UINT32_MAX << (kGroup - remainder) * 8;
      to = StoreGroup(LoadWord(row0 - kGroup + remainder) & last, LoadWord(row1 - kGroup + remainder) & last,
                      to);
    }
    to = StoreScale(conv.stage, channel, to);
    to = StoreScale(conv.stage, channel + next, to);
    *to = static_cast<uint32_t>(conv.stage.zero_point);
  }

  // Two channels of all positions. An odd last position is computed twice.
  static void WriteChannels(const Conv2D<int8_t>& conv, const uint32_t* parameters, int32_t channel,
                            int32_t next) {
    const Clamp<int32_t> clamp = conv.stage.clamp;
    const bool is_narrow = !IsWholeRange(clamp);
    const int32_t groups = conv.input_channels / kGroup;
    const int32_t positions = conv.window.output_height * conv.window.output_width;
    const int8_t* input = conv.input;
    int8_t* output = conv.output + channel;
    int32_t input_step = conv.input_channels;
    int32_t output_step = conv.output_channels;
    for (int32_t count = positions / 2; count >= 0; --count) {
      if (count == 0) {
        if (positions % 2 == 0) return;
        input_step = output_step = 0;
      }
      const int8_t* input1 = input + input_step;
      int8_t* output1 = output + output_step;
      int32_t values[4];
      Compute(input, input1, parameters, groups, values);
      if (is_narrow) {
#pragma GCC unroll 4
        for (int32_t& value : values) value = Clamped(value, clamp.minimum, clamp.maximum);
      }
      output[0] = static_cast<int8_t>(values[0]);
      output1[0] = static_cast<int8_t>(values[1]);
      output[next] = static_cast<int8_t>(values[2]);
      output1[next] = static_cast<int8_t>(values[3]);
      input = input1;
      output = output1 + output_step;
    }
  }

  // values[0], [1]: channel 0 of both positions, [2], [3]: channel 1. Registers: r0 to r3 the sums; r8 to r11 a
  // group of the parameters; %[x] a group of one position and then its odd bytes; %[e] its even bytes; and the
  // four operands. That is all of them.
  __attribute__((always_inline)) static void Compute(const int8_t* input0, const int8_t*& input1,
                                                     const uint32_t* parameters, int32_t groups,
                                                     int32_t (&values)[4]) {
    register int32_t value0 __asm__("r0");
    register int32_t value1 __asm__("r1");
    register int32_t value2 __asm__("r2");
    register int32_t value3 __asm__("r3");
    uint32_t x, e;
#define REDS_ADD_GROUP                \
  "ldr    %[x], [%[input0]], #4\n"    \
  "ldmia  %[parameters]!, {r8-r11}\n" \
  "sxtb16 %[e], %[x]\n"               \
  "sxtb16 %[x], %[x], ror #8\n"       \
  "smlad  r0, %[e], r8, r0\n"         \
  "smlad  r2, %[e], r10, r2\n"        \
  "smlad  r0, %[x], r9, r0\n"         \
  "smlad  r2, %[x], r11, r2\n"        \
  "ldr    %[x], [%[input1]], #4\n"    \
  "sxtb16 %[e], %[x]\n"               \
  "sxtb16 %[x], %[x], ror #8\n"       \
  "smlad  r1, %[e], r8, r1\n"         \
  "smlad  r3, %[e], r10, r3\n"        \
  "smlad  r1, %[x], r9, r1\n"         \
  "smlad  r3, %[x], r11, r3\n"
    // Two groups a turn; an odd count enters at the second one.
    __asm__ volatile(
        "ldmia  %[parameters]!, {r0-r3}\n"
        "tst    %[groups], #1\n"
        "itt    ne\n"
        "addne  %[groups], #1\n"
        "bne    2f\n"
        "1:\n" REDS_ADD_GROUP  //
        "2:\n" REDS_ADD_GROUP
        "subs   %[groups], #2\n"
        "bne    1b\n"
        "ldr    %[x], [%[parameters]], #4\n"
        "cmp    %[x], #0\n"
        "beq    3f\n"
        "sub    %[input0], %[input0], %[x]\n"
        "sub    %[input1], %[input1], %[x]\n"  //
        REDS_ADD_GROUP
        "3:\n"
        "ldmia  %[parameters]!, {r8-r11}\n"
        "ldr    %[x], [%[parameters]]\n"
        "smmlar r0, r0, r8, r0\n"
        "smmlar r1, r1, r8, r1\n"
        "smmlar r2, r2, r10, r2\n"
        "smmlar r3, r3, r10, r3\n"
        "add    r0, r0, r0, asr #31\n"
        "add    r1, r1, r1, asr #31\n"
        "add    r2, r2, r2, asr #31\n"
        "add    r3, r3, r3, asr #31\n"
        "smmlar r0, r0, r9, %[x]\n"
        "smmlar r1, r1, r9, %[x]\n"
        "smmlar r2, r2, r11, %[x]\n"
        "smmlar r3, r3, r11, %[x]\n"
        "ssat   r0, #8, r0\n"
        "ssat   r1, #8, r1\n"
        "ssat   r2, #8, r2\n"
        "ssat   r3, #8, r3\n"
        : "=&r"(value0), "=&r"(value1), "=&r"(value2),
          "=&r"(value3), [input0] "+r"(input0), [input1] "+r"(input1), [parameters] "+r"(parameters),
          [groups] "+r"(groups), [x] "=&r"(x), [e] "=&r"(e)
        :
        : "r8", "r9", "r10", "r11", "cc", "memory");
#undef REDS_ADD_GROUP
    values[0] = value0;
    values[1] = value1;
    values[2] = value2;
    values[3] = value3;
  }
};

}  // namespace armv7em
}  // namespace reds

#endif
