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

inline void AddDualProduct(uint32_t a, uint32_t b, int32_t& sum) {
  __asm__("smlad %0, %1, %2, %0" : "+r"(sum) : "r"(a), "r"(b));
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

// Adds the products of one group.
inline void AddGroup2x2(const int8_t* row0, const int8_t* row1, const uint32_t*& columns, Sums2x2& sums) {
  uint32_t w, e;
  __asm__ volatile(REDS_PRODUCTS_2X2
                   : [s00] "+r"(sums.s00), [s01] "+r"(sums.s01), [s10] "+r"(sums.s10), [s11] "+r"(sums.s11),
                     [row0] "+r"(row0), [row1] "+r"(row1), [columns] "+r"(columns), [w] "=&r"(w), [e] "=&r"(e)
                   :
                   : "r8", "r9", "r10", "r11", "memory");
}

#undef REDS_PRODUCTS_2X2

// sums[i] += products of `count` activations and the weights of row i. Registers: 4 sums; the row, its pitch
// and three times it; input and groups; o and e the odd and even bytes of the activations, w and f those of a
// row.
inline void AddProducts4Rows(const int8_t* input, const int8_t* row, int32_t pitch, int32_t count,
                             int32_t (&sums)[4]) {
  int32_t sum0 = sums[0];
  int32_t sum1 = sums[1];
  int32_t sum2 = sums[2];
  int32_t sum3 = sums[3];
  int32_t groups = count / kGroup;
  if (groups != 0) {
    uint32_t o, e, w, f;
    // clang-format off
#define REDS_ADD_ROW(load, sum)            \
  "ldr    %[w], " load "\n"                \
  "sxtb16 %[f], %[w]\n"                    \
  "sxtb16 %[w], %[w], ror #8\n"            \
  "smlad  " sum ", %[f], %[e], " sum "\n"  \
  "smlad  " sum ", %[w], %[o], " sum "\n"
#define REDS_ADD_ROWS                                   \
  "ldr    %[o], [%[input]], #4\n"                       \
  "sxtb16 %[e], %[o]\n"                                 \
  "sxtb16 %[o], %[o], ror #8\n"                         \
  REDS_ADD_ROW("[%[row], %[pitch]]", "%[sum1]")         \
  REDS_ADD_ROW("[%[row], %[pitch], lsl #1]", "%[sum2]") \
  REDS_ADD_ROW("[%[row], %[pitch3]]", "%[sum3]")        \
  REDS_ADD_ROW("[%[row]], #4", "%[sum0]")
    // clang-format on
    __asm__ volatile(
        "tst    %[groups], #1\n"
        "itt    ne\n"
        "addne  %[groups], #1\n"
        "bne    2f\n"
        "1:\n" REDS_ADD_ROWS  //
        "2:\n" REDS_ADD_ROWS
        "subs   %[groups], #2\n"
        "bne    1b\n"
        : [sum0] "+&r"(sum0), [sum1] "+&r"(sum1), [sum2] "+&r"(sum2), [sum3] "+&r"(sum3),
          [input] "+&r"(input), [row] "+&r"(row), [groups] "+&r"(groups), [o] "=&r"(o), [e] "=&r"(e),
          [w] "=&r"(w), [f] "=&r"(f)
        : [pitch] "r"(pitch), [pitch3] "r"(3 * pitch)
        : "cc", "memory");
#undef REDS_ADD_ROW
#undef REDS_ADD_ROWS
  }
  for (int32_t left = count % kGroup; left > 0; --left) {
    const int32_t activation = *input++;
    sum0 += activation * row[0];
    sum1 += activation * row[pitch];
    sum2 += activation * row[2 * pitch];
    sum3 += activation * row[3 * pitch];
    ++row;
  }
  sums[0] = sum0;
  sums[1] = sum1;
  sums[2] = sum2;
  sums[3] = sum3;
}

// sum += products of `count` activations and the weights of a row.
inline void AddProducts1Row(const int8_t* input, const int8_t* row, int32_t count, int32_t& sum) {
  for (; count >= kGroup; count -= kGroup) {
    const uint32_t x = LoadWord(input);
    const uint32_t w = LoadWord(row);
    AddDualProduct(WidenedEvenBytes(x), WidenedEvenBytes(w), sum);
    AddDualProduct(WidenedOddBytes(x), WidenedOddBytes(w), sum);
    input += kGroup;
    row += kGroup;
  }
  for (; count > 0; --count) sum += *input++ * *row++;
}

}  // namespace armv7em
}  // namespace reds

#endif
