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

inline int32_t GroupsOf(int32_t elements) {
  return static_cast<int32_t>((static_cast<uint32_t>(elements) + kGroup - 1) / kGroup);
}

// How many elements are missing to whole groups.
inline int32_t MissingTo(int32_t elements) { return -elements & (kGroup - 1); }

inline uint32_t LoadWord(const int8_t* address) {
  uint32_t word;
  memcpy(&word, address, sizeof word);
  return word;
}

// A word of four equal elements.
inline uint32_t FourTimes(int32_t element) { return static_cast<uint8_t>(element) * 0x01010101U; }

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

}  // namespace armv7em
}  // namespace reds

#endif
