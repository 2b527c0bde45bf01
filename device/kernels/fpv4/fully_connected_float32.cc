// Four rows of the weights at a time and eight inputs of each, so that an activation is loaded once for four
// products. Every output is one chain of fused multiply-adds in the order of its inputs; they round once, where
// a product and a sum round twice.

#include <cstdint>

#include "kernels/fixed_point.h"
#include "kernels/kernels.h"

namespace reds {
namespace {

constexpr int32_t kRows = 4;
constexpr int32_t kGroup = 8;

// The sums of products of `count` activations and the weights of four rows. Registers: s8 to s15 hold a group's
// activations, s16 to s23 and s24 to s31 the weights of two rows in turn.
void MultiplyFourRows(const float* input, const float* const (&rows)[kRows], int32_t count,
                      float (&sums)[kRows]) {
  float sum0 = 0, sum1 = 0, sum2 = 0, sum3 = 0;
  const float* row0 = rows[0];
  const float* row1 = rows[1];
  const float* row2 = rows[2];
  const float* row3 = rows[3];
  int32_t groups = count / kGroup;
  int32_t left = count % kGroup;
  // clang-format off
#define REDS_ADD(a, b, x, w, v)                    \
  "vfma.f32 %[" a "], s" #x ", s" #w "\n"          \
  "vfma.f32 %[" b "], s" #x ", s" #v "\n"
#define REDS_ADD_ROWS(row_a, a, row_b, b)          \
  "vldmia   %[" row_a "]!, {s16-s23}\n"            \
  "vldmia   %[" row_b "]!, {s24-s31}\n"            \
  REDS_ADD(a, b, 8, 16, 24)                        \
  REDS_ADD(a, b, 9, 17, 25)                        \
  REDS_ADD(a, b, 10, 18, 26)                       \
  REDS_ADD(a, b, 11, 19, 27)                       \
  REDS_ADD(a, b, 12, 20, 28)                       \
  REDS_ADD(a, b, 13, 21, 29)                       \
  REDS_ADD(a, b, 14, 22, 30)                       \
  REDS_ADD(a, b, 15, 23, 31)
  __asm__ volatile(
      "cmp      %[groups], #0\n"
      "beq      2f\n"
      "1:\n"
      "vldmia   %[input]!, {s8-s15}\n"
      REDS_ADD_ROWS("row0", "sum0", "row1", "sum1")
      REDS_ADD_ROWS("row2", "sum2", "row3", "sum3")
      "subs     %[groups], #1\n"
      "bne      1b\n"
      "2:\n"
      "cbz      %[left], 4f\n"
      "3:\n"
      "vldmia   %[input]!, {s8}\n"
      "vldmia   %[row0]!, {s16}\n"
      "vldmia   %[row1]!, {s17}\n"
      "vldmia   %[row2]!, {s18}\n"
      "vldmia   %[row3]!, {s19}\n"
      "vfma.f32 %[sum0], s8, s16\n"
      "vfma.f32 %[sum1], s8, s17\n"
      "vfma.f32 %[sum2], s8, s18\n"
      "vfma.f32 %[sum3], s8, s19\n"
      "subs     %[left], #1\n"
      "bne      3b\n"
      "4:\n"
      : [sum0] "+t"(sum0), [sum1] "+t"(sum1), [sum2] "+t"(sum2), [sum3] "+t"(sum3), [input] "+r"(input),
        [row0] "+r"(row0), [row1] "+r"(row1), [row2] "+r"(row2), [row3] "+r"(row3), [groups] "+r"(groups),
        [left] "+l"(left)
      :
      : "s8", "s9", "s10", "s11", "s12", "s13", "s14", "s15", "s16", "s17", "s18", "s19", "s20", "s21", "s22",
        "s23", "s24", "s25", "s26", "s27", "s28", "s29", "s30", "s31", "cc", "memory");
  // clang-format on
#undef REDS_ADD
#undef REDS_ADD_ROWS
  sums[0] = sum0;
  sums[1] = sum1;
  sums[2] = sum2;
  sums[3] = sum3;
}

// Writes up to four output channels; where fewer remain, the last row is multiplied several times.
void WriteChannels(const FullyConnected<float>& layer, int32_t channel) {
  const int32_t left = layer.output_channels - channel;
  const int32_t count = left < kRows ? left : kRows;
  const float* rows[kRows];
  for (int32_t i = 0; i < kRows; ++i) {
    rows[i] = layer.weights + (channel + (i < count ? i : count - 1)) * layer.weights_pitch;
  }
  const float* input = layer.input;
  float* output = layer.output + channel;
  for (int32_t sample = 0; sample < layer.samples; ++sample) {
    float sums[kRows];
    MultiplyFourRows(input, rows, layer.input_channels, sums);
    for (int32_t i = 0; i < count; ++i) output[i] = Finish(layer.stage, channel + i, sums[i]);
    input += layer.input_channels;
    output += layer.output_channels;
  }
}

}  // namespace

void Run(const FullyConnected<float>& layer) {
  for (int32_t channel = 0; channel < layer.output_channels; channel += kRows) WriteChannels(layer, channel);
}

}  // namespace reds
