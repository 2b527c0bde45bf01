// Products of four rows of weights, where they lie, with one run of elements, so that a vector of elements that is loaded
// serves four sums. Nothing is read behind the end of a run.

#ifndef REDS_KERNELS_HELIUM_ROW_FOURS_H
#define REDS_KERNELS_HELIUM_ROW_FOURS_H

#include <arm_mve.h>

#include <cstdint>

#include "kernels/helium/requantize.h"

namespace reds {
namespace helium {

static_assert(kLanes == 4, "a row for every lane");

// Four rows of weights. Where fewer are left, the last one takes the place of those that are missing.
class RowFour {
 public:
  // Sums begin with `biases`.
  __attribute__((always_inline)) RowFour(const int8_t* first, int32_t pitch, int32_t left, int32x4_t biases) {
    const uint32x4_t index = vminq_u32(vidupq_n_u32(0, 1), vdupq_n_u32(static_cast<uint32_t>(left - 1)));
    const uint32x4_t offset = vmulq_n_u32(index, static_cast<uint32_t>(pitch));
    Store(vreinterpretq_u32_s32(biases), vaddq_n_u32(offset, reinterpret_cast<uint32_t>(first)));
  }

  // What the sums begin with and the products of `count` > 0 elements.
  __attribute__((always_inline)) int32x4_t Sums(const int8_t* elements, int32_t count) const {
    // With registers of its choice GCC 12 finds none that are left.
    register const int8_t* element asm("r8") = elements;
    register const uint32_t* begin asm("r9") = sums_and_rows_;
    register int32_t left asm("r10") = count;
    int32x4_t sums;
    // The last turn loads and multiplies only as many lanes as are left.
    __asm__ volatile(
        "ldmia         %[begin], {r0-r7}\n"
        "dlstp.8       lr, %[left]\n"
        "1:\n"
        "vldrb.8       %q[sums], [%[element]], #16\n"
        "vldrb.8       q1, [r1], #16\n"
        "vmladava.s8   r0, %q[sums], q1\n"
        "vldrb.8       q2, [r3], #16\n"
        "vmladava.s8   r2, %q[sums], q2\n"
        "vldrb.8       q1, [r5], #16\n"
        "vmladava.s8   r4, %q[sums], q1\n"
        "vldrb.8       q2, [r7], #16\n"
        "vmladava.s8   r6, %q[sums], q2\n"
        "letp          lr, 1b\n"
        "vmov          %q[sums][2], %q[sums][0], r0, r4\n"
        "vmov          %q[sums][3], %q[sums][1], r2, r6\n"
        : [sums] "=&w"(sums), [element] "+r"(element)
        : [begin] "r"(begin), [left] "r"(left)
        : "r0", "r1", "r2", "r3", "r4", "r5", "r6", "r7", "q1", "q2", "lr", "cc", "memory");
    return sums;
  }

  // Adds the products of `count` > 0 elements to what the sums begin with, and goes on in the rows by `step`.
  __attribute__((always_inline)) void Add(const int8_t* elements, int32_t count, int32_t step) {
    const uint32x4_t sums = vreinterpretq_u32_s32(Sums(elements, count));
    Store(sums, vaddq_n_u32(vld2q_u32(sums_and_rows_).val[1], static_cast<uint32_t>(step)));
  }

  int32x4_t SumsSoFar() const { return vreinterpretq_s32_u32(vld2q_u32(sums_and_rows_).val[0]); }

 private:
  __attribute__((always_inline)) void Store(uint32x4_t sums, uint32x4_t rows) {
    uint32x4x2_t both;
    both.val[0] = sums;
    both.val[1] = rows;
    vst2q_u32(sums_and_rows_, both);
  }

  // What the sums begin with, each followed by its row's address.
  uint32_t sums_and_rows_[2 * kLanes];
};

}  // namespace helium
}  // namespace reds

#endif
