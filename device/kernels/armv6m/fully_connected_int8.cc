// Four output channels at a time, so that an activation is loaded once for four products. The weights are walked
// once, in memory order, whatever the prefix and the number of samples.

#include <cstdint>

#include "kernels/armv6m/requantize.h"
#include "kernels/fixed_point.h"
#include "kernels/kernels.h"

namespace reds {
namespace {

using armv6m::Four;
using armv6m::Requantization;

constexpr int32_t kRows = 4;

// The sums of the products of `count` activations, one at least, and the weights of four rows.
inline Four SumsOfRows(const int8_t* input, const int8_t* const (&rows)[kRows], int32_t count) {
  int32_t index = -count;  // up to 0: the only signed load of a byte adds two registers
  int32_t activation, product;
  register int32_t sum0 __asm__("r8") = 0;
  register int32_t sum1 __asm__("r9") = 0;
  register int32_t sum2 __asm__("r10") = 0;
  register int32_t sum3 __asm__("r11") = 0;
#define REDS_ADD_PRODUCT(row, sum)    \
  "ldrsb %[product], [" row           \
  ", %[index]]\n"                     \
  "muls  %[product], %[activation]\n" \
  "add   " sum ", %[product]\n"
#define REDS_ADD_ELEMENT                                                          \
  "ldrsb %[activation], [%[input], %[index]]\n" REDS_ADD_PRODUCT("%[row0]", "r8") \
      REDS_ADD_PRODUCT("%[row1]", "r9") REDS_ADD_PRODUCT("%[row2]", "r10")        \
          REDS_ADD_PRODUCT("%[row3]", "r11") "adds  %[index], #1\n"
  // Two elements a turn; an odd count enters at the second one.
  __asm__(
      ".syntax unified\n"
      "lsls  %[product], %[index], #31\n"
      "bne   2f\n"
      "1:\n" REDS_ADD_ELEMENT "2:\n" REDS_ADD_ELEMENT "bne   1b\n"
      : [index] "+l"(index), [activation] "=&l"(activation), [product] "=&l"(product), "+h"(sum0), "+h"(sum1),
        "+h"(sum2), "+h"(sum3)
      : [input] "l"(input + count), [row0] "l"(rows[0] + count), [row1] "l"(rows[1] + count),
        [row2] "l"(rows[2] + count), [row3] "l"(rows[3] + count)
      : "cc", "memory");
#undef REDS_ADD_ELEMENT
#undef REDS_ADD_PRODUCT
  return {sum0, sum1, sum2, sum3};
}

void Store(const OutputStage<int8_t>& stage, int32_t most_sum, int32_t channel, int32_t sum, int8_t* output) {
  if (armv6m::RequantizationOf(stage, channel, most_sum) == Requantization::kGeneral) {
    *output = Finish(stage, channel, sum);
  } else {
    const int32_t value = WrappingAdd(sum, stage.bias[channel]);
    armv6m::StoreOne(stage, armv6m::MakeScale(stage, channel),
                     Clamped(value, -armv6m::kMostValue, armv6m::kMostValue), output);
  }
}

}  // namespace

void Run(const FullyConnected<int8_t>& layer) {
  const int32_t most_sum = armv6m::MostSum(layer.input_channels);
  const int8_t* row = layer.weights;
  for (int32_t channel = 0; channel < layer.output_channels; channel += kRows) {
    // Missing rows repeat the last one.
    const int32_t left = layer.output_channels - channel;
    const int32_t count = left < kRows ? left : kRows;
    const int8_t* rows[kRows];
    for (int32_t i = 0; i < kRows; ++i) rows[i] = row + (i < count ? i : count - 1) * layer.weights_pitch;
    const int8_t* input = layer.input;
    int8_t* output = layer.output + channel;
    for (int32_t sample = 0; sample < layer.samples; ++sample) {
      const Four sums = SumsOfRows(input, rows, layer.input_channels);
      for (int32_t i = 0; i < count; ++i) Store(layer.stage, most_sum, channel + i, sums.of[i], output + i);
      input += layer.input_channels;
      output += layer.output_channels;
    }
    row += kRows * layer.weights_pitch;
  }
}

}  // namespace reds
