// A fully connected layer on one sample, two rows of the weights at a time.
//
// The activations are widened to int16 on the stack, part by part, for a block of rows whose sums wait there: all of
// them once where they fit. A group is eight inputs: four words there, the even and the odd bytes of its two words of
// int8, which one LDM reads for both rows. Where inputs remain after the last whole group, one more group ends with the
// row, in which the activations that came before count as 0; it is multiplied in a turn of its own over the rows.
//
// Rows that begin at a word boundary are read by LDRD, others by LDR, which takes any address.
//
// All activations are read before the first output is written where the sums of all rows fit, otherwise once more for
// every block of rows.

#ifndef REDS_KERNELS_ARMV7EM_ROW_PAIRS_H
#define REDS_KERNELS_ARMV7EM_ROW_PAIRS_H

#include <cstdint>

#include "kernels/armv7em/dual_products.h"
#include "kernels/armv7em/requantize.h"
#include "kernels/kernels.h"

namespace reds {
namespace armv7em {

class RowPairs {
 public:
  // Whether there is one sample and every second row is aligned.
  static bool Supports(const FullyConnected<int8_t>& layer) {
    return layer.samples == 1 && layer.input_channels >= kGroupInputs && layer.weights_pitch % 2 == 0;
  }

  explicit RowPairs(const FullyConnected<int8_t>& layer)
      : layer_(layer),
        groups_(layer.input_channels / kGroupInputs),
        part_(groups_ <= kMostWhole ? groups_ : kPartGroups),
        sums_(reinterpret_cast<int32_t*>(buffer_ + part_ * kGroupWords)) {}

  __attribute__((always_inline)) void Run() {
    const int32_t block = kBufferWords - part_ * kGroupWords;  // an even number
    for (int32_t channel = 0; channel < layer_.output_channels; channel += block) {
      const int32_t left = layer_.output_channels - channel;
      const int32_t count = left < block ? left : block;
      SumBlock(channel, count);
      FinishChannels(layer_.stage, channel, channel + count, sums_, layer_.output + channel);
    }
  }

 private:
  static constexpr int32_t kGroupInputs = 2 * kGroup;
  static constexpr int32_t kGroupWords = 4;
  static constexpr int32_t kMostWhole = 20;  // groups that are not parted, to leave room for sums
  static constexpr int32_t kPartGroups = 16;
  static constexpr int32_t kBufferWords = 136;

  // Which rows begin at a word boundary.
  enum class Rows { kAligned, kEvenAligned };

  void StoreGroups(const int8_t* input, int32_t groups) {
    uint32_t* to = buffer_;
    for (const uint32_t* const end = to + groups * kGroupWords; to != end;) {
      uint32_t even, odd;
      // clang-format off
#define REDS_WIDEN_WORD                  \
  "ldr    %[odd], [%[input]], #4\n"      \
  "sxtb16 %[even], %[odd]\n"             \
  "sxtb16 %[odd], %[odd], ror #8\n"      \
  "strd   %[even], %[odd], [%[to]], #8\n"
      __asm__ volatile(REDS_WIDEN_WORD REDS_WIDEN_WORD
                       : [input] "+r"(input), [to] "+r"(to), [even] "=&r"(even), [odd] "=&r"(odd)
                       :
                       : "memory");
      // clang-format on
#undef REDS_WIDEN_WORD
    }
  }

  void SumBlock(int32_t channel, int32_t count) {
    const int8_t* const row = layer_.weights + channel * layer_.weights_pitch;
    const int32_t* sums = layer_.stage.bias + channel;
    for (int32_t first = 0; first < groups_; first += part_) {
      const int32_t groups = groups_ - first < part_ ? groups_ - first : part_;
      // The only part is still there from the block before.
      if (channel == 0 || part_ < groups_) StoreGroups(layer_.input + first * kGroupInputs, groups);
      AddPart(row + first * kGroupInputs, groups, sums, count);
      sums = sums_;
    }
    AddRemainder(row, count);
  }

  // Stores `from` and the products of a part of `count` rows.
  void AddPart(const int8_t* row, int32_t groups, const int32_t* from, int32_t count) {
    const int32_t pitch = layer_.weights_pitch;
    if (count > 1) AddGroups(row, pitch, groups, from, sums_, count / 2);
    if (count % 2 == 0) return;
    // An odd last row is its own partner, for which `from` has a word to read and the sums have room.
    const int32_t last = count - 1;
    AddGroups(row + last * pitch, 0, groups, from + last, sums_ + last, 1);
  }

  void AddGroups(const int8_t* row, int32_t pitch, int32_t groups, const int32_t* from, int32_t* sums,
                 int32_t pairs) const {
    if (layer_.weights_pitch % 4 == 0) {
      AddGroups<Rows::kAligned>(row, pitch, groups, from, sums, pairs);
    } else {
      AddGroups<Rows::kEvenAligned>(row, pitch, groups, from, sums, pairs);
    }
  }

  // Stores `from` and the products of `groups` of `pairs` > 0 pairs of rows. The second row of a pair is `pitch`
  // behind the first.
  template <Rows rows>
  __attribute__((noinline)) void AddGroups(const int8_t* row, int32_t pitch, int32_t groups,
                                           const int32_t* from, int32_t* sums, int32_t pairs) const {
    constexpr int32_t kUnrolled = rows == Rows::kAligned ? 8 : 4;  // groups in a turn of the loop
    constexpr int32_t kGroupCodeBytes = (rows == Rows::kAligned ? 19 : 20) * 4;
    const int32_t entered = (groups + kUnrolled - 1) / kUnrolled * kUnrolled;
    // In pairs of words, as LDRD reads them.
    struct {
      const int32_t* from;
      const uint32_t* activations;
    } begin = {from, buffer_};
    const struct {
      int32_t skipped;
      int32_t entered;
    } run = {(entered - groups) * kGroupCodeBytes, entered};
    const struct {
      int32_t to_next_pair;
      const int32_t* sums;
    } end = {2 * layer_.weights_pitch - groups * kGroupInputs, sums + 2 * pairs};
    const int8_t* const row0 = row;
    const int8_t* const row1 = row + pitch;
    int32_t* const stored = sums;
    // The inner loop is entered where a multiple of kUnrolled groups is left. All its instructions are words, so that
    // adding to the program counter, which reads as the address behind the NOP, skips whole groups. Registers: r0, r1
    // the sums; r2, r3 two words of a row and then odd bytes, r4 their even bytes; r5, r6 the rows; r7 where to go on in
    // the activations; r8 to r11 a group of them; r12 how many groups are left; lr where to store sums. That is all of
    // them, so what a pair begins with lies on the stack.
    // clang-format off
#define REDS_LOAD_ALIGNED(row)           \
  "ldrd   r2, r3, [" row "], #8\n"
#define REDS_LOAD_ANYWHERE(row)          \
  "ldr    r2, [" row "], #4\n"           \
  "ldr    r3, [" row "], #4\n"
#define REDS_ADD_ROW(load, row, sum)     \
  load(row)                              \
  "sxtb16 r4, r2\n"                      \
  "sxtb16 r2, r2, ror #8\n"              \
  "smlad  " sum ", r4, r8, " sum "\n"    \
  "smlad  " sum ", r2, r9, " sum "\n"    \
  "sxtb16 r4, r3\n"                      \
  "sxtb16 r3, r3, ror #8\n"              \
  "smlad  " sum ", r4, r10, " sum "\n"   \
  "smlad  " sum ", r3, r11, " sum "\n"
#define REDS_ADD_GROUP(load1)            \
  "ldmia  r7!, {r8-r11}\n"               \
  REDS_ADD_ROW(REDS_LOAD_ALIGNED, "r5", "r0") \
  REDS_ADD_ROW(load1, "r6", "r1")
#define REDS_FOUR_GROUPS(load1)                  \
  REDS_ADD_GROUP(load1) REDS_ADD_GROUP(load1)    \
  REDS_ADD_GROUP(load1) REDS_ADD_GROUP(load1)
#define REDS_ADD_GROUPS(turn)                                                                         \
  __asm__ volatile(                                                                                   \
      "ldr    r5, %[row0]\n"                                                                          \
      "ldr    r6, %[row1]\n"                                                                          \
      "ldr    lr, %[stored]\n"                                                                        \
      "1:\n"                                                                                          \
      "ldrd   r2, r7, %[begin]\n"                                                                     \
      "ldrd   r0, r1, [r2], #8\n"                                                                     \
      "str    r2, %[from]\n"                                                                          \
      "ldrd   r2, r12, %[run]\n"                                                                      \
      "add    pc, r2\n"                                                                               \
      "nop\n"                                                                                         \
      "2:\n"                                                                                          \
      turn                                                                                            \
      "subs   r12, %[unrolled]\n"                                                                     \
      "bne    2b\n"                                                                                   \
      "strd   r0, r1, [lr], #8\n"                                                                     \
      "ldrd   r2, r3, %[end]\n"                                                                       \
      "add    r5, r2\n"                                                                               \
      "add    r6, r2\n"                                                                               \
      "cmp    lr, r3\n"                                                                               \
      "bne    1b\n"                                                                                   \
      : [begin] "+m"(begin), [from] "+m"(begin.from)                                                  \
      : [row0] "m"(row0), [row1] "m"(row1), [stored] "m"(stored), [run] "m"(run), [end] "m"(end),     \
        [unrolled] "i"(kUnrolled)                                                                     \
      : "r0", "r1", "r2", "r3", "r4", "r5", "r6", "r7", "r8", "r9", "r10", "r11", "r12", "lr", "cc",  \
        "memory")
    // clang-format on
    if (rows == Rows::kAligned) {
      REDS_ADD_GROUPS(REDS_FOUR_GROUPS(REDS_LOAD_ALIGNED) REDS_FOUR_GROUPS(REDS_LOAD_ALIGNED));
    } else {
      REDS_ADD_GROUPS(REDS_FOUR_GROUPS(REDS_LOAD_ANYWHERE));
    }
#undef REDS_LOAD_ALIGNED
#undef REDS_LOAD_ANYWHERE
#undef REDS_ADD_ROW
#undef REDS_ADD_GROUP
#undef REDS_FOUR_GROUPS
#undef REDS_ADD_GROUPS
  }

  // Adds the products of the inputs after the whole groups to the sums of `count` rows: the last words of the rows, in
  // which inputs that came before count as 0.
  void AddRemainder(const int8_t* row, int32_t count) const {
    for (int32_t left = layer_.input_channels % kGroupInputs; left > 0; left -= kGroup) {
      const int32_t end = layer_.input_channels - (left > kGroup ? left - kGroup : 0);
      const int32_t begin = end - kGroup;
      const int32_t known = left < kGroup ? kGroup - left : 0;
      const uint32_t word = LoadWord(layer_.input + begin) & UINT32_MAX << known * 8;
      AddWord(row + begin, WidenedEvenBytes(word), WidenedOddBytes(word), count);
    }
  }

  // Adds the products of four inputs.
  void AddWord(const int8_t* weights, uint32_t even, uint32_t odd, int32_t count) const {
    const int32_t pitch = layer_.weights_pitch;
    int32_t* sum = sums_;
    for (; count > 0; --count) {
      const uint32_t word = LoadWord(weights);
      int32_t total = *sum;
      AddDualProduct(WidenedEvenBytes(word), even, total);
      AddDualProduct(WidenedOddBytes(word), odd, total);
      *sum++ = total;
      weights += pitch;
    }
  }

  const FullyConnected<int8_t>& layer_;
  const int32_t groups_;           // whole ones
  const int32_t part_;             // groups that are multiplied at once
  int32_t* const sums_;            // behind a part
  uint32_t buffer_[kBufferWords];  // activations, then sums
};

}  // namespace armv7em
}  // namespace reds

#endif
