// Products of rows of weights, where they lie, with two columns of activations, widened and on the stack: two rows at
// a time, so that every word that is loaded serves two sums.

#ifndef REDS_KERNELS_ARMV7EM_COLUMN_PAIRS_H
#define REDS_KERNELS_ARMV7EM_COLUMN_PAIRS_H

#include <cstdint>

#include "kernels/armv7em/dual_products.h"
#include "kernels/armv7em/requantize.h"
#include "kernels/fixed_point.h"
#include "kernels/kernels.h"

// Adds the products of a group of two rows and two columns. Registers: r0 to r3 the sums, those of a row side by side; r4
// a word of a row and then its odd bytes, r5 its even bytes; r6, r7 the rows; r8 to r11 a group of the columns; r12 where
// to go on in them.
// clang-format off
#define REDS_ADD_GROUP_OF_PAIRS      \
  "ldr    r4, [r6], #4\n"            \
  "ldmia  r12!, {r8-r11}\n"          \
  "sxtb16 r5, r4\n"                  \
  "sxtb16 r4, r4, ror #8\n"          \
  "smlad  r0, r5, r8, r0\n"          \
  "smlad  r1, r5, r10, r1\n"         \
  "smlad  r0, r4, r9, r0\n"          \
  "smlad  r1, r4, r11, r1\n"         \
  "ldr    r4, [r7], #4\n"            \
  "sxtb16 r5, r4\n"                  \
  "sxtb16 r4, r4, ror #8\n"          \
  "smlad  r2, r5, r8, r2\n"          \
  "smlad  r3, r5, r10, r3\n"         \
  "smlad  r2, r4, r9, r2\n"          \
  "smlad  r3, r4, r11, r3\n"
// clang-format on

namespace reds {
namespace armv7em {

// Groups of two columns, one after the other: even and odd bytes of column 0, even and odd bytes of column 1.
constexpr int32_t kColumns = 2;
constexpr int32_t kGroupWords = 2;
constexpr int32_t kPairWords = kColumns * kGroupWords;

// Widens `count` elements, whole groups, to where a group of one column begins. Returns where its next group does.
inline __attribute__((always_inline)) uint32_t* WidenHere(const int8_t* from, int32_t count, uint32_t* to) {
  uint32_t even, odd;
#define REDS_WIDEN_GROUP            \
  "ldr    %[odd], [%[from]], #4\n"  \
  "sxtb16 %[even], %[odd]\n"        \
  "sxtb16 %[odd], %[odd], ror #8\n" \
  "strd   %[even], %[odd], [%[to]], #16\n"
  // Four groups a turn, and what remains one by one.
  __asm__ volatile(
      "subs   %[count], #16\n"
      "blt    2f\n"
      "1:\n" REDS_WIDEN_GROUP REDS_WIDEN_GROUP REDS_WIDEN_GROUP REDS_WIDEN_GROUP
      "subs   %[count], #16\n"
      "bge    1b\n"
      "2:\n"
      "adds   %[count], #16\n"
      "ble    4f\n"
      "3:\n" REDS_WIDEN_GROUP
      "subs   %[count], #4\n"
      "bgt    3b\n"
      "4:\n"
      : [from] "+r"(from), [to] "+r"(to), [count] "+r"(count), [even] "=&r"(even), [odd] "=&r"(odd)
      :
      : "cc", "memory");
#undef REDS_WIDEN_GROUP
  return to;
}

inline __attribute__((noinline)) uint32_t* Widen(const int8_t* from, int32_t count, uint32_t* to) {
  return WidenHere(from, count, to);
}

// Some of the elements of every row. They come in runs of whole groups that are as long as each other, contiguous in
// the weights, and one behind the other in the columns.
class RowPart {
 public:
  RowPart() = default;

  RowPart(const int8_t* first, int32_t row_pitch, int32_t run_pitch, int32_t runs, int32_t run_groups)
      : first_(first),
        row_pitch_(row_pitch),
        to_next_run_(run_pitch - run_groups * kGroup),
        to_next_pair_(kRows * row_pitch - (runs - 1) * run_pitch - run_groups * kGroup),
        groups_(runs * run_groups),
        entered_((run_groups + kUnrolled - 1) / kUnrolled * kUnrolled),
        skipped_(kOtherCodeBytes + (entered_ - run_groups) * kGroupCodeBytes) {}

  int32_t Groups() const { return groups_; }

  // Adds the products of `count` rows from the one of `channel` on to `sums`: those of a row lie side by side, a word
  // for each column, and where there are biases they begin with them. There has to be room for an even number of rows.
  void AddProducts(int32_t channel, int32_t count, const uint32_t* columns, const int32_t* biases,
                   int32_t* sums) const {
    const int8_t* const row = first_ + channel * row_pitch_;
    if (count > 1) AddPairs(row, row_pitch_, count / kRows, columns, biases, sums);
    if (count % kRows == 0) return;
    // An odd last row is its own partner.
    const int32_t last = count - 1;
    AddPairs(row + last * row_pitch_, 0, 1, columns, biases == nullptr ? nullptr : biases + last,
             sums + kColumns * last);
  }

 private:
  static constexpr int32_t kRows = 2;
  static constexpr int32_t kUnrolled = 4;  // groups in a turn of the loop
  static constexpr int32_t kGroupCodeBytes = 15 * 4;
  static constexpr int32_t kOtherCodeBytes = 4 + 4 + 2 - 2;  // before the first turn

  void AddPairs(const int8_t* row, int32_t partner, int32_t pairs, const uint32_t* columns,
                const int32_t* biases, int32_t* sums) const;

  const int8_t* first_;   // of the first row
  int32_t row_pitch_;     // elements from row to row
  int32_t to_next_run_;   // elements from the end of a run
  int32_t to_next_pair_;  // elements from the end of the last run
  int32_t groups_;        // of all runs
  int32_t entered_;       // groups of a run, were they whole turns
  int32_t skipped_;       // bytes of code at the beginning of the first turn
};

// `pairs` > 0. The second row of a pair is `partner` elements behind the first.
inline __attribute__((noinline)) void RowPart::AddPairs(const int8_t* row, int32_t partner, int32_t pairs,
                                                        const uint32_t* columns, const int32_t* biases,
                                                        int32_t* sums) const {
  // In pairs of words, as LDRD reads them.
  struct {
    const int32_t* bias;
    const uint32_t* columns;
  } begin = {biases, columns};
  const struct {
    int32_t skipped;
    int32_t entered;
  } run = {skipped_, entered_};
  const struct {
    const uint32_t* columns;
    int32_t to_next_pair;
  } end = {columns + groups_ * kPairWords, to_next_pair_};
  struct {
    int32_t* next;
    const int32_t* end;
  } stored = {sums, sums + kRows * kColumns * pairs};
  const int8_t* const row0 = row;
  const int8_t* const row1 = row + partner;
  const int32_t to_next_run = to_next_run_;
  // Registers: r0 to r3 the sums; r4 a word of a row and then its odd bytes, r5 its even bytes; r6, r7 the rows; r8 to
  // r11 a group of the columns; r12 where to go on in them; lr how many groups are left. That is all of them, so what
  // a pair begins with lies on the stack. The inner loop is entered where a multiple of kUnrolled groups is left: all
  // its instructions are words, so that adding to the program counter, which reads as the address two bytes behind
  // label 5, skips whole groups.
  // clang-format off
  __asm__ volatile(
      "ldr    r6, %[row0]\n"
      "ldr    r7, %[row1]\n"
      "1:\n"
      "ldrd   r5, r12, %[begin]\n"
      "cbz    r5, 5f\n"
      "ldrd   r0, r2, [r5], #8\n"
      "str    r5, %[bias]\n"
      "mov    r1, r0\n"
      "mov    r3, r2\n"
      "2:\n"
      "ldrd   r4, lr, %[run]\n"
      "add    pc, r4\n"
      "5:\n"
      "ldr.w  r4, %[next]\n"
      "ldmia.w r4, {r0-r3}\n"
      "b.n    2b\n"
      "3:\n"
      REDS_ADD_GROUP_OF_PAIRS REDS_ADD_GROUP_OF_PAIRS REDS_ADD_GROUP_OF_PAIRS REDS_ADD_GROUP_OF_PAIRS
      "subs   lr, #4\n"
      "bne    3b\n"
      "ldrd   r4, r5, %[end]\n"
      "cmp    r12, r4\n"
      "bne    4f\n"
      "add    r6, r5\n"
      "add    r7, r5\n"
      "ldrd   r5, r4, %[stored]\n"
      "stmia  r5!, {r0-r3}\n"
      "str    r5, %[next]\n"
      "cmp    r5, r4\n"
      "bne    1b\n"
      "b      6f\n"
      "4:\n"
      "ldr    r4, %[to_next_run]\n"
      "add    r6, r4\n"
      "add    r7, r4\n"
      "b      2b\n"
      "6:\n"
      : [begin] "+m"(begin), [bias] "+m"(begin.bias), [stored] "+m"(stored), [next] "+m"(stored.next)
      : [row0] "m"(row0), [row1] "m"(row1), [run] "m"(run), [end] "m"(end), [to_next_run] "m"(to_next_run)
      : "r0", "r1", "r2", "r3", "r4", "r5", "r6", "r7", "r8", "r9", "r10", "r11", "r12", "lr", "cc", "memory");
  // clang-format on
}

// Writes the elements of the output channels from `channel` up to `end` of two positions, from the sums that
// AddProducts left.
inline void FinishOneByOne(const OutputStage<int8_t>& stage, int32_t channel, int32_t end,
                           const int32_t* sums, int8_t* output0, int8_t* output1) {
  for (; channel < end; ++channel) {
    output0[channel] = FinishBiased(stage, channel, *sums++);
    output1[channel] = FinishBiased(stage, channel, *sums++);
  }
}

// The same, four channels at a time, for channels that all have a Scale.
inline __attribute__((always_inline)) void FinishFours(const OutputStage<int8_t>& stage, int32_t channel,
                                                       int32_t end, const int32_t* sums, int8_t* output0,
                                                       int8_t* output1) {
  const int32_t* multipliers = stage.multiplier + channel;
  const int8_t* shifts = stage.shift + channel;
  const int32_t* const sums_end = sums + kColumns * (end - channel);
  output0 += channel;
  output1 += channel;
  uint32_t exponents, factor;
  int32_t value0, value1;
  // Bytes of `exponents`: 32 - e. Multipliers: r8 to r11. Those and the operands are all registers.
  // clang-format off
#define REDS_FINISH(multiplier, byte)                              \
  "ldrd   %[value0], %[value1], [%[sums]], #8\n"                   \
  "uxtb   %[factor], %[exponents], ror #" byte "\n"                \
  "lsl    " multiplier ", " multiplier ", #1\n"                    \
  "lsl    %[factor], %[one], %[factor]\n"                          \
  "smmlar %[value0], %[value0], " multiplier ", %[value0]\n"       \
  "smmlar %[value1], %[value1], " multiplier ", %[value1]\n"       \
  "add    %[value0], %[value0], %[value0], asr #31\n"              \
  "add    %[value1], %[value1], %[value1], asr #31\n"              \
  "smmlar %[value0], %[value0], %[factor], %[zero_point]\n"        \
  "smmlar %[value1], %[value1], %[factor], %[zero_point]\n"        \
  "ssat   %[value0], #8, %[value0]\n"                              \
  "ssat   %[value1], #8, %[value1]\n"                              \
  "strb   %[value0], [%[output0]], #1\n"                           \
  "strb   %[value1], [%[output1]], #1\n"
  __asm__ volatile(
      "1:\n"
      "ldr    %[value0], %[shifts]\n"
      "mov    %[value1], #0x20202020\n"
      "ldr    %[exponents], [%[value0]], #4\n"
      "ldmia  %[multipliers]!, {r8-r11}\n"
      "str    %[value0], %[shifts]\n"
      "uadd8  %[exponents], %[exponents], %[value1]\n"
      REDS_FINISH("r8", "0") REDS_FINISH("r9", "8") REDS_FINISH("r10", "16") REDS_FINISH("r11", "24")
      "ldr    %[value0], %[sums_end]\n"
      "cmp    %[sums], %[value0]\n"
      "bne    1b\n"
      : [multipliers] "+&r"(multipliers), [sums] "+&r"(sums), [output0] "+&r"(output0), [output1] "+&r"(output1),
        [exponents] "=&r"(exponents), [factor] "=&r"(factor), [value0] "=&r"(value0), [value1] "=&r"(value1),
        [shifts] "+m"(shifts)
      : [one] "r"(1), [zero_point] "r"(stage.zero_point), [sums_end] "m"(sums_end)
      : "r8", "r9", "r10", "r11", "cc", "memory");
  // clang-format on
#undef REDS_FINISH
}

// The same for any channels.
inline __attribute__((noinline)) void FinishColumns(const OutputStage<int8_t>& stage, bool have_scales,
                                                    int32_t channel, int32_t end, const int32_t* sums,
                                                    int8_t* output0, int8_t* output1) {
  const int32_t fours_end = have_scales ? channel + (end - channel) / 4 * 4 : channel;
  if (fours_end != channel) {
    FinishFours(stage, channel, fours_end, sums, output0, output1);
    if (!IsWholeRange(stage.clamp)) {
      ClampElements(stage.clamp, output0 + channel, fours_end - channel);
      ClampElements(stage.clamp, output1 + channel, fours_end - channel);
    }
  }
  FinishOneByOne(stage, fours_end, end, sums + kColumns * (fours_end - channel), output0, output1);
}

}  // namespace armv7em
}  // namespace reds

#endif
