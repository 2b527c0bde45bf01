// Four sums of products from three multiplications.
//
// A multiplication yields 32 bits and a sum of up to 256 products of int8 values needs 23, so that four sums
// are 92 bits: they fit three words. With the activations x0 to x3 of four positions and a weight w, modulo
// 2^32:
//
//   a = sum (x0 + 2^16 x1) w = S0 + 2^16 S1
//   b = sum (x2 + 2^16 x3) w = S2 + 2^16 S3
//   c = sum (x1 + 2^8 x3) w  = S1 + 2^8 S3
//
// The low halves of a and b are S0 and S2 modulo 2^16. Their high halves are S1 and S3 modulo 2^16 but for
// what S0 and S2 carry into them, which c yields.

#ifndef REDS_KERNELS_ARMV6M_PACKED_PRODUCTS_H
#define REDS_KERNELS_ARMV6M_PACKED_PRODUCTS_H

#include <cstdint>

#include "kernels/armv6m/requantize.h"

namespace reds {
namespace armv6m {

constexpr int32_t kPositions = 4;
constexpr int32_t kMostProducts = 256;  // |S| <= 2^22, so that carries fit signed bytes and S3 fits 24 bits
constexpr int32_t kElementWords = 3;    // a packed element of four positions

// a, b and c.
struct PackedSums {
  uint32_t a;
  uint32_t b;
  uint32_t c;
};

// S0 to S3.
inline Four Unpacked(const PackedSums& packed) {
  const uint32_t low0 = static_cast<uint32_t>(static_cast<int16_t>(packed.a));
  const uint32_t low2 = static_cast<uint32_t>(static_cast<int16_t>(packed.b));
  // Modulo 2^16, with S0 = low0 + 2^16 carry0 and S2 = low2 + 2^16 carry2.
  const uint32_t s1_and_carry0 = (packed.a - low0) >> 16;
  const uint32_t s3_and_carry2 = (packed.b - low2) >> 16;
  // c is S1 modulo 2^8, and without S1's low half it is 2^8 (S3 + what S1 has above, times 2^8).
  const uint32_t carry0 = static_cast<uint32_t>(static_cast<int8_t>(s1_and_carry0 - packed.c));
  const uint32_t s3_low_byte = (packed.c - (s1_and_carry0 - carry0)) >> 8;
  const uint32_t carry2 = static_cast<uint32_t>(static_cast<int8_t>(s3_and_carry2 - s3_low_byte));
  // c without S3's low half is S1 modulo 2^24.
  const uint32_t s1_low = packed.c - ((s3_and_carry2 - carry2) << 8);
  const int32_t s1 = static_cast<int32_t>(s1_low << 8) >> 8;
  return {static_cast<int32_t>(low0 + (carry0 << 16)), s1, static_cast<int32_t>(low2 + (carry2 << 16)),
          static_cast<int32_t>(packed.c - static_cast<uint32_t>(s1)) >> 8};
}

// Packs `count` activations, one at least, of four positions. Returns where the next ones go.
inline uint32_t* Pack(const int8_t* const (&x)[kPositions], int32_t count, uint32_t* to) {
  int32_t index = -count;  // up to 0: the only signed load of a byte adds two registers
  int32_t element, other;
  __asm__ volatile(
      ".syntax unified\n"
      "1:\n"
      "ldrsb %[element], [%[x1], %[index]]\n"
      "mov   r8, %[element]\n"
      "lsls  %[element], #16\n"
      "ldrsb %[other], [%[x0], %[index]]\n"
      "adds  %[element], %[other]\n"
      "stmia %[to]!, {%[element]}\n"
      "ldrsb %[element], [%[x3], %[index]]\n"
      "lsls  %[other], %[element], #8\n"
      "add   r8, %[other]\n"
      "lsls  %[element], #16\n"
      "ldrsb %[other], [%[x2], %[index]]\n"
      "adds  %[element], %[other]\n"
      "stmia %[to]!, {%[element]}\n"
      "mov   %[element], r8\n"
      "stmia %[to]!, {%[element]}\n"
      "adds  %[index], #1\n"
      "bne   1b\n"
      : [element] "=&l"(element), [other] "=&l"(other), [index] "+l"(index), [to] "+l"(to)
      : [x0] "l"(x[0] + count), [x1] "l"(x[1] + count), [x2] "l"(x[2] + count), [x3] "l"(x[3] + count)
      : "r8", "cc", "memory");
  return to;
}

// Adds the products of `count` packed elements, one at least, and as many weights. Returns where the elements
// end.
inline const uint32_t* AddProducts(const uint32_t* elements, const int8_t* weights, int32_t count,
                                   PackedSums& sums) {
  const int8_t* even = weights + count;
  const int8_t* odd = even + 1;
  int32_t index = -count;  // up to 0: the only signed load of a byte adds two registers
  int32_t weight;
  register uint32_t a __asm__("r8") = sums.a;
  register uint32_t b __asm__("r9") = sums.b;
  register uint32_t c __asm__("r10") = sums.c;
#define REDS_ADD_ELEMENT(weights)      \
  "ldrsb %[weight], [" weights         \
  ", %[index]]\n"                      \
  "ldmia %[elements]!, {r4, r5, r6}\n" \
  "muls  r4, %[weight]\n"              \
  "muls  r5, %[weight]\n"              \
  "muls  r6, %[weight]\n"              \
  "add   r8, r4\n"                     \
  "add   r9, r5\n"                     \
  "add   r10, r6\n"
#define REDS_ADD_TWO_ELEMENTS REDS_ADD_ELEMENT("%[even]") REDS_ADD_ELEMENT("%[odd]") "adds %[index], #2\n"
  // Four elements a turn, after an odd first one; two that remain enter in the middle.
  __asm__ volatile(
      ".syntax unified\n"
      "lsls  %[weight], %[index], #31\n"
      "beq   1f\n"  //
      REDS_ADD_ELEMENT("%[even]")
      "adds  %[index], #1\n"
      "beq   4f\n"
      "1:\n"
      "lsls  %[weight], %[index], #30\n"
      "bne   3f\n"
      "2:\n" REDS_ADD_TWO_ELEMENTS
      "3:\n" REDS_ADD_TWO_ELEMENTS
      "bne   2b\n"
      "4:\n"
      : [elements] "+l"(elements), [index] "+l"(index), [weight] "=&l"(weight), "+h"(a), "+h"(b), "+h"(c)
      : [even] "l"(even), [odd] "l"(odd)
      : "r4", "r5", "r6", "cc", "memory");
#undef REDS_ADD_TWO_ELEMENTS
#undef REDS_ADD_ELEMENT
  sums = {a, b, c};
  return elements;
}

}  // namespace armv6m
}  // namespace reds

#endif
