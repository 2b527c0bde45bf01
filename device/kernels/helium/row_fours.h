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

// Where four rows of weights begin. Where fewer are left, the last one takes the place of those that are missing.
struct RowFour {
  RowFour(const int8_t* row, int32_t pitch, int32_t left)
      : first(row),
        second(left > 1 ? first + pitch : first),
        third(left > 2 ? second + pitch : second),
        fourth(left > 3 ? third + pitch : third) {}

  const int8_t* first;
  const int8_t* second;
  const int8_t* third;
  const int8_t* fourth;
};

// The sums of the four rows.
class Sums {
 public:
  // Adds the products of `count` > 0 elements and what the rows have from `offset` on.
  __attribute__((always_inline)) void Add(const int8_t* elements, const RowFour& rows, int32_t offset,
                                          int32_t count) {
    const int8_t* row0 = rows.first + offset;
    const int8_t* row1 = rows.second + offset;
    const int8_t* row2 = rows.third + offset;
    const int8_t* row3 = rows.fourth + offset;
    // The last turn loads and adds only as many lanes as are left.
    __asm__ volatile(
        "dlstp.8       lr, %[count]\n"
        "1:\n"
        "vldrb.8       q0, [%[elements]], #16\n"
        "vldrb.8       q1, [%[row0]], #16\n"
        "vmladava.s8   %[sum0], q0, q1\n"
        "vldrb.8       q2, [%[row1]], #16\n"
        "vmladava.s8   %[sum1], q0, q2\n"
        "vldrb.8       q1, [%[row2]], #16\n"
        "vmladava.s8   %[sum2], q0, q1\n"
        "vldrb.8       q2, [%[row3]], #16\n"
        "vmladava.s8   %[sum3], q0, q2\n"
        "letp          lr, 1b\n"
        : [elements] "+r"(elements), [row0] "+r"(row0), [row1] "+r"(row1), [row2] "+r"(row2),
          [row3] "+r"(row3), [sum0] "+Te"(sum0_), [sum1] "+Te"(sum1_), [sum2] "+Te"(sum2_),
          [sum3] "+Te"(sum3_)
        : [count] "r"(count)
        : "q0", "q1", "q2", "lr", "cc", "memory");
  }

  __attribute__((always_inline)) int32x4_t Vector() const {
    int32x4_t sums = vdupq_n_s32(sum0_);
    sums = vsetq_lane_s32(sum1_, sums, 1);
    sums = vsetq_lane_s32(sum2_, sums, 2);
    return vsetq_lane_s32(sum3_, sums, 3);
  }

 private:
  int32_t sum0_ = 0;
  int32_t sum1_ = 0;
  int32_t sum2_ = 0;
  int32_t sum3_ = 0;
};

}  // namespace helium
}  // namespace reds

#endif
