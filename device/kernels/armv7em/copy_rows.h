// Copies of a few elements at any address, word by word.

#ifndef REDS_KERNELS_ARMV7EM_COPY_ROWS_H
#define REDS_KERNELS_ARMV7EM_COPY_ROWS_H

#include <cstdint>
#include <cstring>

#include "kernels/armv7em/dual_products.h"

namespace reds {
namespace armv7em {

inline void StoreWord(uint32_t word, int8_t* to) { memcpy(to, &word, sizeof word); }

inline void CopyWord(const int8_t* from, int8_t* to) { StoreWord(LoadWord(from), to); }

inline void CopyHalfWord(const int8_t* from, int8_t* to) {
  uint16_t half;
  memcpy(&half, from, sizeof half);
  memcpy(to, &half, sizeof half);
}

// What remains after the full words is copied with the word that ends with it.
inline int8_t* Copy(const int8_t* from, int32_t count, int8_t* to) {
  const int32_t last = count - kGroup;
  if (last < 0) {
    if (count > 1) {
      CopyHalfWord(from, to);
      CopyHalfWord(from + count - 2, to + count - 2);
    } else if (count == 1) {
      *to = *from;
    }
    return to + count;
  }
  for (int32_t element = 0; element < last; element += kGroup) CopyWord(from + element, to + element);
  CopyWord(from + last, to + last);
  return to + count;
}

// Copies rows of `count` elements.
inline __attribute__((noinline)) void CopyRows(const int8_t* from, int32_t from_step, int32_t rows,
                                               int32_t count, int8_t* to, int32_t to_step) {
  for (; rows > 0; --rows) {
    Copy(from, count, to);
    from += from_step;
    to += to_step;
  }
}

}  // namespace armv7em
}  // namespace reds

#endif
