// Depthwise convolutions of 3 x 3 with stride 1: one channel after the other, 2 x 2 positions at a time. Where columns
// have a stride of 2, a block has one position.
//
// The windows of such a block cover 4 x 4 of the map, which are the 16 lanes of one vector. VMLADAV sums their products
// with the taps, which lie in a vector for each of the four positions, among zeros for what its window does not cover.
//
// Lanes: the low bytes of eight halfwords are the block's first two columns, one under the other, the high bytes its
// last two. A gathering load brings two columns. They are the last two of one block, and the first two of the next one.
//
// Two blocks side by side are requantised together, with a right shift e >= 1 in every channel. Half away from zero at
// the division by 2^e is half up after 1 is taken off a negative value v: VQDMLAH adds floor(2 * v / 2^32) to v. VQRDMULH
// then divides by 2^e as it multiplies by 2^(31 - e) / 2^31.
//
// Rows are computed in pairs, and windows of the pair are still read after something of both has been written.

#ifndef REDS_KERNELS_HELIUM_DEPTHWISE_BLOCKS_H
#define REDS_KERNELS_HELIUM_DEPTHWISE_BLOCKS_H

#include <arm_mve.h>

#include <cstdint>

#include "kernels/kernels.h"

namespace reds {
namespace helium {

static_assert(kDepthwiseLookbackRows >= 1, "rows are computed in pairs");

class DepthwiseBlocks {
 public:
  // Of a window of 3 x 3 with dilation 1 and IsStride, and a multiplier of 1.
  static bool Supports(const DepthwiseConv2D<int8_t>& conv) {
    const Window& window = conv.window;
    const int64_t channels = conv.input_channels;
    // Offsets of lanes are halfwords.
    return (window.input_width * (kRows - 1) + 1) * channels <= UINT16_MAX &&
           (window.output_width + kColumns - 1) * channels <= UINT16_MAX &&
           (kTaps * (kRows - 1) + 1) * int64_t{conv.weights_pitch} <= UINT16_MAX && AreShiftedRight(conv);
  }

  static bool IsStride(const Window& window) {
    return (window.stride_height == 1 && window.stride_width == 1) || window.stride_width == kBlock;
  }

  explicit DepthwiseBlocks(const DepthwiseConv2D<int8_t>& conv)
      : conv_(conv),
        input_row_(conv.window.input_width * conv.input_channels),
        output_row_(conv.window.output_width * conv.input_channels),
        is_dense_(conv.window.stride_width == 1),
        rows_(is_dense_ ? kBlock : 1),
        input_rows_(is_dense_ ? kBlock : conv.window.stride_height),
        tap_lanes_(LanesOfColumns(kTaps * conv.weights_pitch, conv.weights_pitch)) {
    vectors_.input_lanes = LanesOfColumns(input_row_, conv.input_channels);
    vectors_.output_lanes =
        is_dense_ ? LanesOfBlocks(output_row_, conv.input_channels) : LanesOfRow(conv.input_channels);
    scalars_.one = 1;
    scalars_.zero_point = conv.stage.zero_point;
    const int32_t width = conv.window.output_width;
    const int32_t written = (width + kColumns - 1) / kColumns * kColumns;
    const int32_t read = is_dense_ ? (width + kBlock - 1) / kBlock * kBlock : written * kBlock;
    scalars_.columns = width;
    scalars_.to_next_input = input_rows_ * input_row_ - read * conv.input_channels;
    scalars_.to_next_output = rows_ * output_row_ - written * conv.input_channels;
  }

  void Run() {
    for (int32_t channel = 0; channel < conv_.input_channels; ++channel) RunChannel(channel);
  }

 private:
  static constexpr int32_t kTaps = 3;
  static constexpr int32_t kRows = 4;  // of the map under a block
  static constexpr int32_t kBlock = 2;
  static constexpr int32_t kColumns = 2 * kBlock;  // of the output in two blocks
  // A lane that is in no map. Maps that are supported are narrower.
  static constexpr int16_t kNowhere = INT16_MAX - kColumns;
  // Predicates: two bits a lane of 16 bits, so that each of two columns has a byte.
  static constexpr uint32_t kFirstColumn = 0x00FF;
  static constexpr uint32_t kSecondColumn = 0xFF00;
  static constexpr uint32_t kUpperThree = 0x3F3F;

  // In the order in which it is read. A lane of `middle`, `right` and `written` is wanted where it is less than the number
  // of columns of the output that are left.
  struct Vectors {
    uint16x8_t input_lanes;
    int16x8_t middle;  // the last two columns of the first block
    int16x8_t right;   // the last two of the second one
    uint16x8_t output_lanes;
    int16x8_t written;
    // Taps for the positions of a block: upper left, upper right, lower left, lower right.
    int8x16_t taps[4];
  };

  // In the order in which it is read.
  struct Scalars {
    int32_t bias;
    int32_t multiplier;
    int32_t one;
    int32_t shift_factor;  // 2^(31 - e)
    int32_t zero_point;
    int32_t left_in_map;  // predicate of the first two columns
    int32_t columns;      // of the output
    // Elements from where a pair of rows has ended to where the next one begins.
    int32_t to_next_input;
    int32_t to_next_output;
  };

  static bool AreShiftedRight(const DepthwiseConv2D<int8_t>& conv) {
    for (int32_t channel = 0; channel < conv.input_channels; ++channel) {
      if (conv.stage.shift[channel] >= 0) return false;
    }
    return true;
  }

  static uint16x8_t Remainders(uint16x8_t lane, uint16_t mask) { return vandq_u16(lane, vdupq_n_u16(mask)); }

  // Offsets of 4 x 2 elements, one column after the other.
  static uint16x8_t LanesOfColumns(int32_t row, int32_t column) {
    const uint16x8_t lane = vidupq_n_u16(0, 1);
    const uint16x8_t rows = vmulq_n_u16(Remainders(lane, kRows - 1), static_cast<uint16_t>(row));
    return vaddq_u16(rows, vmulq_n_u16(vshrq_n_u16(lane, 2), static_cast<uint16_t>(column)));
  }

  // Offsets of 2 x 4 elements in the order in which two blocks are narrowed: row by row the columns 0, 2, 1, 3.
  static uint16x8_t LanesOfBlocks(int32_t row, int32_t column) {
    const uint16x8_t lane = vidupq_n_u16(0, 1);
    const uint16x8_t block = vshlq_n_u16(Remainders(lane, 1), 1);
    const uint16x8_t columns = vaddq_u16(block, Remainders(vshrq_n_u16(lane, 1), 1));
    const uint16x8_t rows = vmulq_n_u16(vshrq_n_u16(lane, 2), static_cast<uint16_t>(row));
    return vaddq_u16(rows, vmulq_n_u16(columns, static_cast<uint16_t>(column)));
  }

  // Offsets of four positions side by side, in words.
  static uint16x8_t LanesOfRow(int32_t column) {
    return vreinterpretq_u16_u32(vmulq_n_u32(vidupq_n_u32(0, 1), static_cast<uint32_t>(column)));
  }

  // Two columns of taps for the upper row of a block.
  int16x8_t TapColumns(const int8_t* taps, uint32_t columns) const {
    mve_pred16_t wanted = static_cast<mve_pred16_t>(columns & kUpperThree);
    // GCC 12 takes constants for other predicates than they are.
    __asm__("" : "+r"(wanted));
    return vldrbq_gather_offset_z_s16(taps, tap_lanes_, wanted);
  }

  // The same taps for the lower row: a row further down in every column, of which the last one was empty.
  static int8x16_t Lowered(int8x16_t taps) {
    uint32_t carry = 0;
    return vshlcq_s8(taps, &carry, 16);
  }

  // The first two columns of a block, then the last two.
  static int8x16_t Joined(int16x8_t first, int16x8_t last) {
    return vmovntq_s16(vreinterpretq_s8_s16(first), last);
  }

  __attribute__((noinline)) void RunChannel(int32_t channel) {
    const int32_t pitch = conv_.weights_pitch;
    const int8_t* const taps = conv_.weights + channel;
    const uint32_t all = kFirstColumn | kSecondColumn;
    vectors_.taps[0] = Joined(TapColumns(taps, all), TapColumns(taps + 2 * pitch, kFirstColumn));
    vectors_.taps[1] = Joined(TapColumns(taps - pitch, kSecondColumn), TapColumns(taps + pitch, all));
    vectors_.taps[2] = Lowered(vectors_.taps[0]);
    vectors_.taps[3] = Lowered(vectors_.taps[1]);
    scalars_.bias = conv_.stage.bias[channel];
    scalars_.multiplier = conv_.stage.multiplier[channel];
    scalars_.shift_factor = 1 << (31 + conv_.stage.shift[channel]);
    vectors_.written = vreinterpretq_s16_u16(LanesOfBlocks(0, 1));
    const Window& window = conv_.window;
    const int8_t* from =
        conv_.input - window.padding_top * input_row_ - window.padding_left * conv_.input_channels + channel;
    int8_t* output = conv_.output + channel;
    for (int32_t y = 0; y < window.output_height;) {
      const int32_t steps = StepsAlike(y);
      PlaceRows(y * window.stride_height - window.padding_top);
      if (y + 1 == window.output_height) vectors_.written = vreinterpretq_s16_u16(LanesOfBlocks(kNowhere, 1));
      if (is_dense_) {
        WritePairs(steps, from, output);
      } else {
        WriteRows(steps, from, output);
      }
      y += steps * rows_;
      from += steps * input_rows_ * input_row_;
      output += steps * rows_ * output_row_;
    }
  }

  // Sets what lies in the map of windows that begin in row `y` of it.
  __attribute__((noinline)) void PlaceRows(int32_t y) {
    const Window& window = conv_.window;
    const uint16x8_t lane = vidupq_n_u16(0, 1);
    const int16x8_t rows = vreinterpretq_s16_u16(Remainders(lane, kRows - 1));
    const int16x8_t columns = vreinterpretq_s16_u16(vshrq_n_u16(lane, 2));
    const int32_t rows_left = window.input_height - y;
    const mve_pred16_t from_top = vcmpgeq_n_s16(rows, static_cast<int16_t>(y < 0 ? -y : 0));
    const mve_pred16_t in_map =
        vcmpltq_m_n_s16(rows, static_cast<int16_t>(rows_left < kRows ? rows_left : kRows), from_top);
    const int16x8_t nowhere = vdupq_n_s16(kNowhere);
    const int32_t of_middle =
        kBlock - window.padding_left + window.stride_width * window.output_width - window.input_width;
    vectors_.middle = vpselq_s16(vaddq_n_s16(columns, static_cast<int16_t>(of_middle)), nowhere, in_map);
    vectors_.right =
        vpselq_s16(vaddq_n_s16(columns, static_cast<int16_t>(of_middle + kBlock)), nowhere, in_map);
    const mve_pred16_t from_left =
        vcmpgeq_m_n_s16(columns, static_cast<int16_t>(window.padding_left), in_map);
    scalars_.left_in_map =
        vcmpltq_m_n_s16(columns, static_cast<int16_t>(window.padding_left + window.input_width), from_left);
  }

  // How many steps from row `y` of the output on have windows of which the same lies in the map.
  int32_t StepsAlike(int32_t y) const {
    const Window& window = conv_.window;
    const int32_t input_y = y * window.stride_height - window.padding_top;
    const int32_t in_input = input_y < 0 ? 0 : (window.input_height - input_y - kRows) / input_rows_ + 1;
    const int32_t in_output = (window.output_height - y) / rows_;
    const int32_t whole = in_input < in_output ? in_input : in_output;
    return whole > 1 ? whole : 1;
  }

  // All blocks of some pairs of rows.
  __attribute__((noinline)) void WritePairs(int32_t pairs, const int8_t* from, int8_t* output) const {
    int8x16_t left;
    int32_t columns;
    const Vectors* const vectors = &vectors_;
    const Scalars* const scalars = &scalars_;
    // Registers: `left` the first two columns, then the sums of the first block; q1 the next two, then the sums of the second
    // one; q2 the last two; q3 lanes; q4 to q7 the taps.
    // clang-format off
#define REDS_SUM(block)                                 \
  "vmladav.s8  r0, " block ", q4\n"                     \
  "vmladav.s8  r2, " block ", q5\n"                     \
  "vmladav.s8  r4, " block ", q6\n"                     \
  "vmladav.s8  r6, " block ", q7\n"                     \
  "vmov        " block "[2], " block "[0], r0, r4\n"    \
  "vmov        " block "[3], " block "[1], r2, r6\n"
#define REDS_GATHER(columns)                            \
  "add         %[from], %[step]\n"                      \
  "vpte.s16    lt, " columns ", %[columns]\n"           \
  "vldrbt.s16  " columns ", [%[from], q3]\n"            \
  "vdupe.16    " columns ", %[padding]\n"
    __asm__ volatile(
        "vldrw.32    q4, [%[vectors], #80]\n"
        "vldrw.32    q5, [%[vectors], #96]\n"
        "vldrw.32    q6, [%[vectors], #112]\n"
        "vldrw.32    q7, [%[vectors], #128]\n"
        "1:\n"
        "vldrw.32    q3, [%[vectors]]\n"
        "ldrd        r0, %[columns], [%[scalars], #20]\n"
        "vmsr        p0, r0\n"
        "vpste\n"
        "vldrbt.s16  %q[left], [%[from], q3]\n"
        "vdupe.16    %q[left], %[padding]\n"
        "2:\n"
        "vldrw.32    q3, [%[vectors]]\n"
        "vldrw.32    q1, [%[vectors], #16]\n"
        REDS_GATHER("q1")
        "vmovnt.i16  %q[left], q1\n"
        REDS_SUM("%q[left]")
        "cmp         %[columns], #2\n"
        "ble         3f\n"
        "vldrw.32    q2, [%[vectors], #32]\n"
        REDS_GATHER("q2")
        "vmovnt.i16  q1, q2\n"
        REDS_SUM("q1")
        "3:\n"
        "ldm         %[scalars], {r0, r2, r4, r6, r8}\n"
        "vadd.i32    %q[left], %q[left], r0\n"
        "vadd.i32    q1, q1, r0\n"
        "vqrdmulh.s32 %q[left], %q[left], r2\n"
        "vqrdmulh.s32 q1, q1, r2\n"
        "vqdmlah.s32 %q[left], %q[left], r4\n"
        "vqdmlah.s32 q1, q1, r4\n"
        "vqrdmulh.s32 %q[left], %q[left], r6\n"
        "vqrdmulh.s32 q1, q1, r6\n"
        "vqmovnb.s32 %q[left], %q[left]\n"
        "vqmovnt.s32 %q[left], q1\n"
        "vqadd.s16   %q[left], %q[left], r8\n"
        "vqmovnb.s16 %q[left], %q[left]\n"
        "vldrw.32    q1, [%[vectors], #64]\n"
        "vldrw.32    q3, [%[vectors], #48]\n"
        "vpt.s16     lt, q1, %[columns]\n"
        "vstrbt.16   %q[left], [%[output], q3]\n"
        "vmov        %q[left], q2\n"
        "add         %[output], %[output], %[step], lsl #1\n"
        "subs        %[columns], #4\n"
        "bgt         2b\n"
        "ldrd        r0, r2, [%[scalars], #28]\n"
        "add         %[from], r0\n"
        "add         %[output], r2\n"
        "subs        %[pairs], #1\n"
        "bne         1b\n"
        : [from] "+&r"(from), [output] "+&r"(output), [pairs] "+&r"(pairs), [columns] "=&r"(columns), [left] "=&w"(left)
        : [step] "r"(kBlock * conv_.input_channels), [padding] "r"(conv_.input_zero_point),
          [vectors] "r"(vectors), [scalars] "r"(scalars)
        : "r0", "r2", "r4", "r6", "r8", "q1", "q2", "q3", "q4", "q5", "q6", "q7", "cc", "memory");
    // clang-format on
#undef REDS_SUM
#undef REDS_GATHER
  }

  // Some rows with a stride of two columns: the first position of a block alone, four blocks at a time.
  __attribute__((noinline)) void WriteRows(int32_t rows, const int8_t* from, int8_t* output) const {
    const Vectors* const vectors = &vectors_;
    const Scalars* const scalars = &scalars_;
    int8x16_t left;
    int32_t columns;
    // Registers: `left` and q1 in turn the first two columns of a block and the last two; q2 the sums; q4 the last two
    // columns' lanes that are wanted where they are less than the number of the input's columns that are left; q5 the
    // taps; q6 and q7 lanes.
    // clang-format off
#define REDS_ADD_BLOCK(first, last, sum)               \
  "add         %[from], %[step]\n"                     \
  "vpte.s16    lt, q4, %[columns]\n"                   \
  "vldrbt.s16  " last ", [%[from], q6]\n"              \
  "vdupe.16    " last ", %[padding]\n"                 \
  "vmovnt.i16  " first ", " last "\n"                  \
  "sub         %[columns], #2\n"                       \
  "vmladav.s8  " sum ", " first ", q5\n"
    __asm__ volatile(
        "vldrw.32    q4, [%[vectors], #16]\n"
        "vldrw.32    q5, [%[vectors], #80]\n"
        "vldrw.32    q6, [%[vectors]]\n"
        "vldrw.32    q7, [%[vectors], #48]\n"
        "1:\n"
        "ldrd        r0, %[columns], [%[scalars], #20]\n"
        "lsl         %[columns], #1\n"
        "vmsr        p0, r0\n"
        "vpste\n"
        "vldrbt.s16  %q[left], [%[from], q6]\n"
        "vdupe.16    %q[left], %[padding]\n"
        "2:\n"
        REDS_ADD_BLOCK("%q[left]", "q1", "r0")
        REDS_ADD_BLOCK("q1", "%q[left]", "r2")
        REDS_ADD_BLOCK("%q[left]", "q1", "r4")
        REDS_ADD_BLOCK("q1", "%q[left]", "r6")
        "vmov        q2[2], q2[0], r0, r4\n"
        "vmov        q2[3], q2[1], r2, r6\n"
        "ldm         %[scalars], {r0, r2, r4, r6, r8}\n"
        "vadd.i32    q2, q2, r0\n"
        "vqrdmulh.s32 q2, q2, r2\n"
        "vqdmlah.s32 q2, q2, r4\n"
        "vqrdmulh.s32 q2, q2, r6\n"
        "vqmovnb.s32 q2, q2\n"
        "vqadd.s16   q2, q2, r8\n"
        "vqmovnb.s16 q2, q2\n"
        "add         r0, %[columns], #8\n"
        "lsr         r0, #1\n"
        "vctp.32     r0\n"
        "vpst\n"
        "vstrbt.32   q2, [%[output], q7]\n"
        "add         %[output], %[output], %[step], lsl #1\n"
        "cmp         %[columns], #0\n"
        "bgt         2b\n"
        "ldrd        r0, r2, [%[scalars], #28]\n"
        "add         %[from], r0\n"
        "add         %[output], r2\n"
        "subs        %[rows], #1\n"
        "bne         1b\n"
        : [from] "+&r"(from), [output] "+&r"(output), [rows] "+&r"(rows), [columns] "=&r"(columns), [left] "=&w"(left)
        : [step] "r"(kBlock * conv_.input_channels), [padding] "r"(conv_.input_zero_point),
          [vectors] "r"(vectors), [scalars] "r"(scalars)
        : "r0", "r2", "r4", "r6", "r8", "q1", "q2", "q3", "q4", "q5", "q6", "q7", "cc", "memory");
    // clang-format on
#undef REDS_ADD_BLOCK
  }

  const DepthwiseConv2D<int8_t>& conv_;
  const int32_t input_row_;
  const int32_t output_row_;
  const bool is_dense_;       // whether the stride is 1
  const int32_t rows_;        // of the output, that a step computes
  const int32_t input_rows_;  // from step to step
  const uint16x8_t tap_lanes_;
  Vectors vectors_;
  Scalars scalars_;
};

}  // namespace helium
}  // namespace reds

#endif
