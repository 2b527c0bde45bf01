// A fully connected layer on one sample, two rows of the weights at a time.
//
// The activations are widened to int16 on the stack once for all rows. A group is eight inputs: four words there,
// the even and the odd bytes of its two words of int8, which one LDM reads for both rows. Where inputs remain after
// the last whole group, one more group ends with the row, in which the activations that came before count as 0; it
// is multiplied in a second turn over the rows.
//
// Rows that begin at a word boundary are read by LDRD, others by LDR, which takes any address.

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
  // Whether there is one sample, its widened activations fit the stack and every second row is aligned.
  static bool Supports(const FullyConnected<int8_t>& layer) {
    return layer.samples == 1 && layer.input_channels >= kGroupInputs &&
           layer.input_channels <= kMostInputs && layer.weights_pitch % 2 == 0;
  }

  explicit RowPairs(const FullyConnected<int8_t>& layer)
      : layer_(layer),
        groups_(layer.input_channels / kGroupInputs),
        remainder_(layer.input_channels % kGroupInputs) {
    uint32_t* to = buffer_;
    const int8_t* input = layer.input;
    for (int32_t group = 0; group < groups_; ++group) {
      StoreGroup(input, to);
      input += kGroupInputs;
      to += kGroupWords;
    }
    if (remainder_ != 0) StoreLastGroup(to);
  }

  void Run() { layer_.weights_pitch % 4 == 0 ? RunWith<Rows::kAligned>() : RunWith<Rows::kEvenAligned>(); }

 private:
  static constexpr int32_t kGroupInputs = 2 * kGroup;
  static constexpr int32_t kGroupWords = 4;
  static constexpr int32_t kMostInputs = 640;
  static constexpr int32_t kBufferWords = 384;  // the widest layer leaves 64 of them to sums
  static constexpr int32_t kUnrolled = 8;       // groups in a turn of the loop

  // Which rows begin at a word boundary.
  enum class Rows { kAligned, kEvenAligned };

  static void StoreGroup(const int8_t* input, uint32_t* to) {
    const uint32_t word0 = LoadWord(input);
    const uint32_t word1 = LoadWord(input + kGroup);
    to[0] = WidenedEvenBytes(word0);
    to[1] = WidenedOddBytes(word0);
    to[2] = WidenedEvenBytes(word1);
    to[3] = WidenedOddBytes(word1);
  }

  void StoreLastGroup(uint32_t* to) const {
    int8_t last[kGroupInputs] = {};
    const int8_t* const input = layer_.input + layer_.input_channels - kGroupInputs;
    for (int32_t i = kGroupInputs - remainder_; i < kGroupInputs; ++i) last[i] = input[i];
    StoreGroup(last, to);
  }

  // A block of channels at a time: as many sums as the activations leave room for.
  template <Rows rows>
  void RunWith() {
    const int32_t groups = groups_ + (remainder_ != 0 ? 1 : 0);
    int32_t* const sums = reinterpret_cast<int32_t*>(buffer_ + groups * kGroupWords);
    const int32_t block = kBufferWords - groups * kGroupWords;
    const int32_t pitch = layer_.weights_pitch;
    const int8_t* row = layer_.weights;
    for (int32_t channel = 0; channel < layer_.output_channels; channel += block) {
      const int32_t left = layer_.output_channels - channel;
      const int32_t count = left < block ? left : block;
      const int32_t* const bias = layer_.stage.bias + channel;
      if (count > 1) AddGroups<rows>(row, pitch, bias, sums, count / 2);
      if (count % 2 != 0) {
        // An odd last row is its own partner.
        const int32_t last = count - 1;
        const int32_t biases[2] = {bias[last], 0};
        int32_t pair[2];
        AddGroups<rows>(row + last * pitch, 0, biases, pair, 1);
        sums[last] = pair[0];
      }
      if (remainder_ != 0) AddLastGroup(row, sums, count);
      FinishChannels(layer_.stage, channel, channel + count, sums, layer_.output + channel);
      row += block * pitch;
    }
  }

  // Stores the bias and the products of the whole groups of `pairs` > 0 pairs of rows. The second row of a pair
  // is `pitch` behind the first.
  template <Rows rows>
  __attribute__((noinline)) void AddGroups(const int8_t* row0, int32_t pitch, const int32_t* bias,
                                           int32_t* sums, int32_t pairs) const {
    constexpr int32_t kInstructions = rows == Rows::kAligned ? 19 : 20;
    constexpr int32_t kInstructionBytes = 4;
    const int32_t* const end = sums + 2 * pairs;
    const int32_t bias_offset =
        static_cast<int32_t>(reinterpret_cast<intptr_t>(bias) - reinterpret_cast<intptr_t>(sums));
    const uint32_t* const first = buffer_;
    const int32_t advance = 2 * pitch - groups_ * kGroupInputs;
    const int32_t entered = (groups_ + kUnrolled - 1) / kUnrolled * kUnrolled;
    const int32_t skipped = (entered - groups_) * kInstructions * kInstructionBytes;
    const int8_t* row1;
    const uint32_t* activations;
    int32_t sum0, sum1, groups;
    uint32_t a, b, e;
    // The inner loop is entered where a multiple of eight groups is left. All its instructions are words, so that
    // adding to the program counter, which reads as the address behind the NOP, skips whole groups. Registers:
    // those named below and r8 to r11, which hold a group's activations. With the stack pointer and the program
    // counter that is all of them, so what a pair begins with lies on the stack.
    // clang-format off
#define REDS_LOAD_ALIGNED(row)                   \
  "ldrd   %[a], %[b], [%[" row "]], #8\n"
#define REDS_LOAD_ANYWHERE(row)                  \
  "ldr    %[a], [%[" row "]], #4\n"              \
  "ldr    %[b], [%[" row "]], #4\n"
#define REDS_ADD_ROW(load, row, sum)             \
  load(row)                                      \
  "sxtb16 %[e], %[a]\n"                          \
  "sxtb16 %[a], %[a], ror #8\n"                  \
  "smlad  %[" sum "], %[e], r8, %[" sum "]\n"    \
  "smlad  %[" sum "], %[a], r9, %[" sum "]\n"    \
  "sxtb16 %[e], %[b]\n"                          \
  "sxtb16 %[b], %[b], ror #8\n"                  \
  "smlad  %[" sum "], %[e], r10, %[" sum "]\n"   \
  "smlad  %[" sum "], %[b], r11, %[" sum "]\n"
#define REDS_ADD_GROUP(load0, load1)             \
  "ldmia  %[activations]!, {r8-r11}\n"           \
  REDS_ADD_ROW(load0, "row0", "sum0")            \
  REDS_ADD_ROW(load1, "row1", "sum1")
#define REDS_ADD_GROUPS(load0, load1)                                                                 \
  __asm__ volatile(                                                                                   \
      "1:\n"                                                                                          \
      "ldr    %[row1], %[pitch]\n"                                                                    \
      "ldr    %[activations], %[first]\n"                                                             \
      "ldr    %[groups], %[entered]\n"                                                                \
      "ldr    %[a], %[skipped]\n"                                                                     \
      "ldr    %[b], %[bias_offset]\n"                                                                 \
      "add    %[b], %[sums]\n"                                                                        \
      "ldrd   %[sum0], %[sum1], [%[b]]\n"                                                             \
      "add    %[row1], %[row0]\n"                                                                     \
      "add    pc, %[a]\n"                                                                             \
      "nop\n"                                                                                         \
      "2:\n"                                                                                          \
      REDS_ADD_GROUP(load0, load1) REDS_ADD_GROUP(load0, load1)                                       \
      REDS_ADD_GROUP(load0, load1) REDS_ADD_GROUP(load0, load1)                                       \
      REDS_ADD_GROUP(load0, load1) REDS_ADD_GROUP(load0, load1)                                       \
      REDS_ADD_GROUP(load0, load1) REDS_ADD_GROUP(load0, load1)                                       \
      "subs   %[groups], #8\n"                                                                        \
      "bne    2b\n"                                                                                   \
      "strd   %[sum0], %[sum1], [%[sums]], #8\n"                                                      \
      "ldr    %[a], %[advance]\n"                                                                     \
      "ldr    %[b], %[end]\n"                                                                         \
      "add    %[row0], %[a]\n"                                                                        \
      "cmp    %[sums], %[b]\n"                                                                        \
      "bne    1b\n"                                                                                   \
      : [row0] "+&r"(row0), [row1] "=&r"(row1), [sums] "+&r"(sums), [sum0] "=&r"(sum0),               \
        [sum1] "=&r"(sum1), [activations] "=&r"(activations), [groups] "=&r"(groups), [a] "=&r"(a),   \
        [b] "=&r"(b), [e] "=&r"(e)                                                                    \
      : [pitch] "m"(pitch), [first] "m"(first), [entered] "m"(entered), [skipped] "m"(skipped),       \
        [advance] "m"(advance), [end] "m"(end), [bias_offset] "m"(bias_offset)                        \
      : "r8", "r9", "r10", "r11", "cc", "memory")
    // clang-format on
    if (rows == Rows::kAligned) {
      REDS_ADD_GROUPS(REDS_LOAD_ALIGNED, REDS_LOAD_ALIGNED);
    } else {
      REDS_ADD_GROUPS(REDS_LOAD_ALIGNED, REDS_LOAD_ANYWHERE);
    }
#undef REDS_LOAD_ALIGNED
#undef REDS_LOAD_ANYWHERE
#undef REDS_ADD_ROW
#undef REDS_ADD_GROUP
#undef REDS_ADD_GROUPS
  }

  // Adds the products of the group that ends with the row to the sums of `count` rows.
  void AddLastGroup(const int8_t* row, int32_t* sums, int32_t count) const {
    const int32_t group_begin = layer_.input_channels - kGroupInputs;
    const uint32_t* const activations = buffer_ + groups_ * kGroupWords;
    if (remainder_ > kGroup) AddWord(row + group_begin, activations, sums, count);
    AddWord(row + group_begin + kGroup, activations + 2, sums, count);
  }

  // Adds the products of four inputs.
  void AddWord(const int8_t* weights, const uint32_t* activations, int32_t* sums, int32_t count) const {
    const uint32_t even = activations[0];
    const uint32_t odd = activations[1];
    const int32_t pitch = layer_.weights_pitch;
    for (const int32_t* const end = sums + count; sums != end; ++sums) {
      const uint32_t word = LoadWord(weights);
      AddDualProduct(WidenedEvenBytes(word), even, *sums);
      AddDualProduct(WidenedOddBytes(word), odd, *sums);
      weights += pitch;
    }
  }

  const FullyConnected<int8_t>& layer_;
  const int32_t groups_;           // whole ones
  const int32_t remainder_;        // inputs after them
  uint32_t buffer_[kBufferWords];  // activations, then sums
};

}  // namespace armv7em
}  // namespace reds

#endif
