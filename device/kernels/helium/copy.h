// Copies of elements at any address, sixteen at a time. Nothing is read or written behind the end.

#ifndef REDS_KERNELS_HELIUM_COPY_H
#define REDS_KERNELS_HELIUM_COPY_H

#include <arm_mve.h>

#include <cstdint>

namespace reds {
namespace helium {

// Returns where the next elements go.
inline int8_t* Copy(const int8_t* from, int32_t count, int8_t* to) {
  int8_t* const end = to + count;
  __asm__ volatile(
      "wlstp.8   lr, %[count], 2f\n"
      "1:\n"
      "vldrb.8   q0, [%[from]], #16\n"
      "vstrb.8   q0, [%[to]], #16\n"
      "letp      lr, 1b\n"
      "2:\n"
      : [from] "+r"(from), [to] "+r"(to)
      : [count] "r"(count)
      : "q0", "lr", "cc", "memory");
  return end;
}

// Returns where the next elements go.
inline int8_t* Fill(int32_t element, int32_t count, int8_t* to) {
  int8_t* const end = to + count;
  __asm__ volatile(
      "vdup.8    q0, %[element]\n"
      "wlstp.8   lr, %[count], 2f\n"
      "1:\n"
      "vstrb.8   q0, [%[to]], #16\n"
      "letp      lr, 1b\n"
      "2:\n"
      : [to] "+r"(to)
      : [element] "r"(element), [count] "r"(count)
      : "q0", "lr", "cc", "memory");
  return end;
}

}  // namespace helium
}  // namespace reds

#endif
