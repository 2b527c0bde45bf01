// Sums of products with SMLAD, which multiplies two pairs of 16-bit halves and adds both products to a sum.
//
// Elements are taken in groups of four, a word of int8. SXTB16 widens bytes 0 and 2 of it, SXTB16 with ROR #8
// bytes 1 and 3. A widened group is these two words, even bytes first, so that nothing is ever permuted.
// Words of int8 are loaded from any address, which LDR allows; LDM only reads widened groups, which are aligned.

#ifndef REDS_KERNELS_ARMV7EM_DUAL_PRODUCTS_H
#define REDS_KERNELS_ARMV7EM_DUAL_PRODUCTS_H

#include <cstdint>
#include <cstring>

namespace reds {
namespace armv7em {

constexpr int32_t kGroup = 4;

inline uint32_t LoadWord(const int8_t* address) {
  uint32_t word;
  memcpy(&word, address, sizeof word);
  return word;
}

inline uint32_t WidenedEvenBytes(uint32_t word) {
  uint32_t result;
  __asm__("sxtb16 %0, %1" : "=r"(result) : "r"(word));
  return result;
}

inline uint32_t WidenedOddBytes(uint32_t word) {
  uint32_t result;
  __asm__("sxtb16 %0, %1, ror #8" : "=r"(result) : "r"(word));
  return result;
}

// Sums of two rows of weights (first index) with two columns of activations (second index).
struct Sums2x2 {
  int32_t s00, s01, s10, s11;
};

// One group of two rows and two columns. Registers: 4 sums, 2 rows, columns and count, all named below; r8 to
// r11 hold the group's columns (even and odd bytes of column 0, then of column 1); w the weights as loaded and
// then their odd bytes; e their even bytes. With the stack pointer and the program counter that is all of them.
#define REDS_PRODUCTS_2X2              \
  "ldr    %[w], [%[row0]], #4\n"       \
  "ldmia  %[columns]!, {r8-r11}\n"     \
  "sxtb16 %[e], %[w]\n"                \
  "sxtb16 %[w], %[w], ror #8\n"        \
  "smlad  %[s00], %[e], r8, %[s00]\n"  \
  "smlad  %[s01], %[e], r10, %[s01]\n" \
  "smlad  %[s00], %[w], r9, %[s00]\n"  \
  "smlad  %[s01], %[w], r11, %[s01]\n" \
  "ldr    %[w], [%[row1]], #4\n"       \
  "sxtb16 %[e], %[w]\n"                \
  "sxtb16 %[w], %[w], ror #8\n"        \
  "smlad  %[s10], %[e], r8, %[s10]\n"  \
  "smlad  %[s11], %[e], r10, %[s11]\n" \
  "smlad  %[s10], %[w], r9, %[s10]\n"  \
  "smlad  %[s11], %[w], r11, %[s11]\n"

// Adds the products of `groups` > 0 groups. `columns` holds the widened groups of both columns in turn. All
// pointers end behind what was read.
inline void AddProducts2x2(const int8_t*& row0, const int8_t*& row1, const uint32_t*& columns, int32_t groups,
                           Sums2x2& sums) {
  uint32_t w, e;
  // Two groups a turn; an odd count enters at the second one.
  __asm__ volatile(
      "tst    %[groups], #1\n"
      "itt    ne\n"
      "addne  %[groups], #1\n"
      "bne    2f\n"
      "1:\n" REDS_PRODUCTS_2X2  //
      "2:\n" REDS_PRODUCTS_2X2
      "subs   %[groups], #2\n"
      "bne    1b\n"
      : [s00] "+r"(sums.s00), [s01] "+r"(sums.s01), [s10] "+r"(sums.s10), [s11] "+r"(sums.s11),
        [row0] "+r"(row0), [row1] "+r"(row1), [columns] "+r"(columns), [groups] "+r"(groups), [w] "=&r"(w),
        [e] "=&r"(e)
      :
      : "r8", "r9", "r10", "r11", "cc", "memory");
}

#undef REDS_PRODUCTS_2X2

}  // namespace armv7em
}  // namespace reds

#endif
