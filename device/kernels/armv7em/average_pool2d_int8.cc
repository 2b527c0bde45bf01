// Four channels at a time: a word of the map is added to two pairs of int16 sums. Positions are written in the order of
// the output, each of them group of channels by group of channels as they are read.

#include "kernels/average_pool2d_int8.h"

#include <cstdint>

#include "kernels/armv7em/dual_products.h"
#include "kernels/kernels.h"
#include "kernels/pool.h"

namespace reds {
namespace {

using armv7em::kGroup;

// Elements whose sum surely fits an int16: 255 * 128 < 2^15.
constexpr int32_t kMaximumElements = 255;

// Sums of four channels, two in each word: channels 0 and 2 in `even`, 1 and 3 in `odd`.
struct PairedSums {
  uint32_t even;
  uint32_t odd;
};

// Adds `count` > 0 words that lie `step` apart.
inline __attribute__((always_inline)) void AddWords(const int8_t* word, int32_t count, int32_t step,
                                                    uint32_t& even, uint32_t& odd) {
  uint32_t first, second;
  // Two words a turn, of which the first begins in its middle where their number is odd.
  // clang-format off
#define REDS_ADD_WORD(word)                \
  "sxtab16 %[even], %[even], " word "\n"   \
  "sxtab16 %[odd], %[odd], " word ", ror #8\n"
  __asm__ volatile(
      "lsrs    %[count], #1\n"
      "ittt    cs\n"
      "ldrcs   %[second], [%[word]]\n"
      "addcs   %[word], %[step]\n"
      "bcs     2f\n"
      "1:\n"
      "ldr     %[first], [%[word]]\n"
      "ldr     %[second], [%[word], %[step]]\n"
      "add     %[word], %[word], %[step], lsl #1\n"
      "subs    %[count], #1\n"
      REDS_ADD_WORD("%[first]")
      "2:\n"
      REDS_ADD_WORD("%[second]")
      "bne     1b\n"
      : [even] "+&r"(even), [odd] "+&r"(odd), [word] "+&r"(word), [count] "+&r"(count), [first] "=&r"(first),
        [second] "=&r"(second)
      : [step] "r"(step)
      : "cc", "memory");
  // clang-format on
#undef REDS_ADD_WORD
}

PairedSums SumOfWords(const Patch<int8_t>& patch) {
  uint32_t even = 0;
  uint32_t odd = 0;
  const int8_t* row = patch.first;
  for (int32_t rows = patch.rows; rows > 0; --rows) {
    AddWords(row, patch.columns, patch.column_step, even, odd);
    row += patch.row_step;
  }
  return {even, odd};
}

int32_t LowHalf(uint32_t pair) { return static_cast<int16_t>(pair); }
int32_t HighHalf(uint32_t pair) { return static_cast<int32_t>(pair) >> 16; }

}  // namespace

void RunAverage(const Pool2D<int8_t>& pool) {
  ForEachPosition(pool, [&pool](Patch<int8_t> patch, int8_t* output) {
    const int32_t count = patch.rows * patch.columns;
    if (patch.columns * patch.column_step == patch.row_step) {
      // Rows without a gap are like one.
      patch.columns = count;
      patch.rows = 1;
    }
    int32_t left = pool.channels;
    for (; left >= kGroup && count <= kMaximumElements; left -= kGroup) {
      const PairedSums sums = SumOfWords(patch);
      output[0] = average_pool2d_int8::Rounded(LowHalf(sums.even), count, pool.clamp);
      output[1] = average_pool2d_int8::Rounded(LowHalf(sums.odd), count, pool.clamp);
      output[2] = average_pool2d_int8::Rounded(HighHalf(sums.even), count, pool.clamp);
      output[3] = average_pool2d_int8::Rounded(HighHalf(sums.odd), count, pool.clamp);
      patch.first += kGroup;
      output += kGroup;
    }
    for (; left > 0; --left) {
      *output++ = average_pool2d_int8::Average(patch, pool.clamp);
      ++patch.first;
    }
  });
}

}  // namespace reds
