// Four channels at a time, tile by tile of the output. What the windows of a tile cover is copied into a patch
// on the stack: padded, and widened to int16 once for all windows. It lies there column by column, as do the
// weights of the four channels, so that the taps of a window's column are one run of words.
//
// A tile is read before it is written, and tiles follow each other by rows of tiles: the rows above a tile's windows are
// not read again.
//
// Windows of 3 x 3 with stride 1 take two rows of two channels at a time (depthwise_row_pairs.h).
//
// What does not fit, and scales of unusual size, are left to the walk without a buffer, one channel at a time to
// keep it small.

#include "kernels/depthwise_conv2d_int8.h"

#include <cstdint>

#include "kernels/armv7em/depthwise_row_pairs.h"
#include "kernels/armv7em/depthwise_tile.h"
#include "kernels/armv7em/dual_products.h"
#include "kernels/armv7em/requantize.h"
#include "kernels/fixed_point.h"
#include "kernels/kernels.h"
#include "kernels/taps.h"

namespace reds {
namespace {

using armv7em::ChooseTile;
using armv7em::Covered;
using armv7em::DepthwiseRowPairs;
using armv7em::PatchInMap;
using armv7em::PatchOf;
using armv7em::Tile;
using armv7em::TileAt;

constexpr int32_t kChannels = armv7em::kGroup;
constexpr int32_t kTapWords = 2;  // a widened group: channels 0 and 2, channels 1 and 3
// Room for the parameters and the patch. All frames together stay below 1 kB.
constexpr int32_t kBufferWords = 147;
constexpr int32_t kMostTaps = 25;

// What four channels are computed with, in the order in which it is read below: which of them are kept (Kept), the
// biases, for each column of the window its taps and the bytes from its end to the next column in the patch, for each
// channel its Scale, and the zero point.
constexpr int32_t kStageWords = 2 * kChannels + 1;

int32_t ParameterWords(const Window& window) {
  return 1 + kChannels + window.kernel_width * (window.kernel_height * kTapWords + 1) + kStageWords;
}

// Registers: r0 to r3 the sums, r4 to r7 two taps of the map, r8 to r11 two taps of the weights, r12 where to go
// on in the patch, lr where to go on in the parameters.
#define REDS_LOAD_BIAS "ldmia lr!, {r0-r3}\n"

#define REDS_MULTIPLY_TAP(even, odd, weights_even, weights_odd) \
  "smlabb r0, " even ", " weights_even                          \
  ", r0\n"                                                      \
  "smlabb r1, " odd ", " weights_odd                            \
  ", r1\n"                                                      \
  "smlatt r2, " even ", " weights_even                          \
  ", r2\n"                                                      \
  "smlatt r3, " odd ", " weights_odd ", r3\n"

#define REDS_ADD_TAP       \
  "ldmia r12!, {r4, r5}\n" \
  "ldmia lr!, {r8, r9}\n" REDS_MULTIPLY_TAP("r4", "r5", "r8", "r9")

#define REDS_ADD_COLUMN_OF_THREE \
  REDS_ADD_TAP REDS_ADD_TAP      \
      "ldmia r12!, {r4, r5}\n"   \
      "ldmia lr!, {r8-r10}\n" REDS_MULTIPLY_TAP("r4", "r5", "r8", "r9") "add r12, r12, r10\n"

// The four sums requantised and clamped to int8; r4 to r11 hold the scales, then r4 the zero point.
#define REDS_FINISH           \
  "ldmia lr!, {r4-r11}\n"     \
  "smmlar r0, r0, r4, r0\n"   \
  "smmlar r1, r1, r6, r1\n"   \
  "smmlar r2, r2, r8, r2\n"   \
  "smmlar r3, r3, r10, r3\n"  \
  "ldr r4, [lr]\n"            \
  "add r0, r0, r0, asr #31\n" \
  "add r1, r1, r1, asr #31\n" \
  "add r2, r2, r2, asr #31\n" \
  "add r3, r3, r3, asr #31\n" \
  "smmlar r0, r0, r5, r4\n"   \
  "smmlar r1, r1, r7, r4\n"   \
  "smmlar r2, r2, r9, r4\n"   \
  "smmlar r3, r3, r11, r4\n"  \
  "ssat r0, #8, r0\n"         \
  "ssat r1, #8, r1\n"         \
  "ssat r2, #8, r2\n"         \
  "ssat r3, #8, r3\n"

// Stores the sums but those that are kept, and goes on to the next position, or to the next row.
#define REDS_STORE             \
  "ldrd r4, r5, %[row]\n"      \
  "ldrd r6, r7, %[step]\n"     \
  "ldr r8, [r5]\n"             \
  "bfi r0, r1, #8, #8\n"       \
  "bfi r0, r2, #16, #8\n"      \
  "bfi r0, r3, #24, #8\n"      \
  "sel r0, r8, r0\n"           \
  "str r0, [r5]\n"             \
  "add r12, r6\n"              \
  "add r5, r7\n"               \
  "str r5, %[output]\n"        \
  "cmp r5, r4\n"               \
  "bne 1b\n"                   \
  "ldr r8, %[left]\n"          \
  "ldrd r6, r7, %[row_step]\n" \
  "add r12, r6\n"              \
  "add r4, r7\n"               \
  "ldr r7, %[to_next_row]\n"   \
  "add r5, r7\n"               \
  "strd r4, r5, %[row]\n"      \
  "subs r8, #1\n"              \
  "str r8, %[left]\n"          \
  "bne 1b\n"

// Four channels of a tile, before a clamp that is narrower than int8. SEL chooses what is kept by the carries of UADD8,
// which nothing else sets.
__attribute__((noinline)) void ComputeTile(const DepthwiseConv2D<int8_t>& conv, const Tile& tile,
                                           int32_t column_words, const uint32_t* patch,
                                           const uint32_t* parameters, int8_t* output) {
  constexpr int32_t kWordBytes = sizeof(uint32_t);
  const Window& window = conv.window;
  const int32_t channels = conv.input_channels;
  const int32_t column_bytes = column_words * kWordBytes;
  const int32_t stride_bytes = window.stride_width * column_bytes;
  const int32_t row_elements = window.output_width * channels;
  const int32_t tile_elements = tile.columns * channels;
  // In pairs of words, as LDRD reads them. Bytes in the patch are counted from the end of a window.
  struct {
    const int8_t* end;
    int8_t* output;
  } row = {output + tile_elements, output};
  const struct {
    int32_t patch_bytes;
    int32_t output;
  } step = {stride_bytes - window.kernel_width * column_bytes, channels};
  const struct {
    int32_t patch_bytes;
    int32_t output;
  } row_step = {window.stride_height * kTapWords * kWordBytes - tile.columns * stride_bytes, row_elements};
  const struct {
    int32_t width;
    int32_t height;
  } kernel = {window.kernel_width, window.kernel_height};
  const int32_t to_next_row = row_elements - tile_elements;
  int32_t left = tile.rows;
  const uint32_t* const biases = parameters + 1;
  __asm__ volatile(
      "ldr r12, %[patch]\n"
      "ldr lr, %[biases]\n"
      "ldr r4, [lr, #-4]\n"
      "uadd8 r4, r4, r4\n"
      "1:\n"
      "ldr lr, %[biases]\n"
      "ldrd r6, r7, %[kernel]\n"  //
      REDS_LOAD_BIAS
      "cmp r7, #3\n"
      "beq 4f\n"
      "2:\n"
      "mov r10, r7\n"
      "3:\n"  //
      REDS_ADD_TAP
      "subs r10, #1\n"
      "bne 3b\n"
      "ldr r8, [lr], #4\n"
      "add r12, r12, r8\n"
      "subs r6, #1\n"
      "bne 2b\n"
      "b 5f\n"
      "4:\n"  //
      REDS_ADD_COLUMN_OF_THREE
      "subs r6, #1\n"
      "bne 4b\n"
      "5:\n"  //
      REDS_FINISH REDS_STORE
      : [row] "+m"(row), [output] "+m"(row.output), [left] "+m"(left)
      : [patch] "m"(patch), [biases] "m"(biases), [step] "m"(step), [row_step] "m"(row_step),
        [to_next_row] "m"(to_next_row), [kernel] "m"(kernel)
      : "r0", "r1", "r2", "r3", "r4", "r5", "r6", "r7", "r8", "r9", "r10", "r11", "r12", "lr", "cc",
        "memory");
}

#undef REDS_LOAD_BIAS
#undef REDS_MULTIPLY_TAP
#undef REDS_ADD_TAP
#undef REDS_ADD_COLUMN_OF_THREE
#undef REDS_FINISH
#undef REDS_STORE

inline uint32_t* StoreGroup(uint32_t word, uint32_t* to) {
  to[0] = armv7em::WidenedEvenBytes(word);
  to[1] = armv7em::WidenedOddBytes(word);
  return to + kTapWords;
}

// A column of the patch.
int32_t ColumnWords(const Window& window, const Tile& tile) {
  return Covered(tile.rows, window.stride_height, window.kernel_height) * kTapWords;
}

// Of the four channels from this one on, those that the groups before have written: what they were computed from may not
// be there any more. Their bytes are 255, others 0.
uint32_t Kept(int32_t channel) {
  const int32_t count = armv7em::MissingTo(channel);
  return ~(UINT32_MAX << count * 8);
}

__attribute__((noinline)) void FillParameters(const DepthwiseConv2D<int8_t>& conv, int32_t channel,
                                              int32_t column_words, uint32_t* to) {
  const Window& window = conv.window;
  const int32_t row_pitch = window.kernel_width * conv.weights_pitch;
  const int32_t to_next_column = column_words - window.kernel_height * kTapWords;
  *to++ = Kept(channel);
  memcpy(to, conv.stage.bias + channel, kChannels * sizeof(int32_t));
  to += kChannels;
  for (int32_t tap_x = 0; tap_x < window.kernel_width; ++tap_x) {
    const int8_t* from = conv.weights + tap_x * conv.weights_pitch + channel;
    for (int32_t tap_y = 0; tap_y < window.kernel_height; ++tap_y) {
      to = StoreGroup(armv7em::LoadWord(from), to);
      from += row_pitch;
    }
    *to++ = static_cast<uint32_t>(to_next_column) * sizeof(uint32_t);
  }
  for (int32_t i = 0; i < kChannels; ++i) {
    const armv7em::Scale scale =
        armv7em::MakeScale(conv.stage.multiplier[channel + i], conv.stage.shift[channel + i]);
    *to++ = static_cast<uint32_t>(scale.doubled_multiplier);
    *to++ = static_cast<uint32_t>(scale.shift_factor);
  }
  *to = static_cast<uint32_t>(conv.stage.zero_point);
}

// Stores `count` > 0 groups that lie `from_step` elements apart.
inline void CopyGroups(const int8_t* from, int32_t from_step, int32_t count, uint32_t* to) {
  uint32_t even, odd;
  __asm__ volatile(
      "1:\n"
      "ldr    %[odd], [%[from]]\n"
      "add    %[from], %[from_step]\n"
      "sxtb16 %[even], %[odd]\n"
      "sxtb16 %[odd], %[odd], ror #8\n"
      "strd   %[even], %[odd], [%[to]], #8\n"
      "subs   %[count], #1\n"
      "bne    1b\n"
      : [even] "=&r"(even), [odd] "=&r"(odd), [to] "+&r"(to), [from] "+&r"(from), [count] "+&r"(count)
      : [from_step] "r"(from_step)
      : "cc", "memory");
}

// Stores `count` groups of the same element.
inline void FillGroups(int32_t element, int32_t count, uint32_t* to) {
  const uint32_t half = static_cast<uint16_t>(element);
  for (; count > 0; --count) {
    to[0] = to[1] = half << 16 | half;
    to += kTapWords;
  }
}

// Fills the patch with what the windows of a tile cover, and first of all with padding where they leave the map.
__attribute__((noinline)) void FillPatch(const DepthwiseConv2D<int8_t>& conv, int32_t channel,
                                         const Tile& tile, int32_t column_words, uint32_t* patch) {
  const PatchInMap in_map = PatchOf(conv.window, tile);
  const int32_t rows = in_map.bottom - in_map.top;
  const int32_t columns = in_map.right - in_map.left;
  if (rows < in_map.rows || columns < in_map.columns) {
    FillGroups(conv.input_zero_point, in_map.columns * column_words / kTapWords, patch);
  }
  const int32_t channels = conv.input_channels;
  const int32_t input_row = conv.window.input_width * channels;
  const int8_t* from =
      conv.input + (in_map.y + in_map.top) * input_row + (in_map.x + in_map.left) * channels + channel;
  uint32_t* to = patch + in_map.left * column_words + in_map.top * kTapWords;
  for (int32_t left = columns; left > 0; --left) {
    CopyGroups(from, input_row, rows, to);
    from += channels;
    to += column_words;
  }
}

// Four channels of the whole map.
void RunGroup(const DepthwiseConv2D<int8_t>& conv, int32_t channel, const Tile& whole) {
  const Window& window = conv.window;
  const int32_t column_words = ColumnWords(window, whole);
  uint32_t parameters[kBufferWords];
  uint32_t* const patch = parameters + ParameterWords(window);
  FillParameters(conv, channel, column_words, parameters);
  for (int32_t y = 0; y < window.output_height; y += whole.rows) {
    for (int32_t x = 0; x < window.output_width; x += whole.columns) {
      const Tile tile = TileAt(window, whole, y, x);
      FillPatch(conv, channel, tile, column_words, patch);
      int8_t* output = conv.output + (y * window.output_width + x) * conv.input_channels + channel;
      ComputeTile(conv, tile, column_words, patch, parameters, output);
    }
  }
}

bool IsSupported(const DepthwiseConv2D<int8_t>& conv) {
  const Window& window = conv.window;
  return conv.multiplier == 1 && conv.input_channels >= kChannels && window.dilation_height == 1 &&
         window.dilation_width == 1 && window.kernel_height <= kMostTaps &&
         window.kernel_width <= kMostTaps && window.kernel_height * window.kernel_width <= kMostTaps &&
         armv7em::HaveScales(conv.stage, conv.input_channels);
}

// Functions of their own, so that their frames do not lie under each other.
__attribute__((noinline)) void RunRowPairs(const DepthwiseConv2D<int8_t>& conv) {
  DepthwiseRowPairs(conv).Run();
}

__attribute__((noinline)) void RunGroups(const DepthwiseConv2D<int8_t>& conv, const Tile& whole) {
  const int32_t channels = conv.input_channels;
  for (int32_t channel = 0; channel < channels; channel += kChannels) {
    // Where the last group is not full it begins earlier and keeps some channels.
    RunGroup(conv, channel + kChannels <= channels ? channel : channels - kChannels, whole);
  }
}

}  // namespace

void Run(const DepthwiseConv2D<int8_t>& conv) {
  if (!IsSupported(conv)) return depthwise_conv2d_int8::Walk<1>(conv);
  const Window& window = conv.window;
  if (DepthwiseRowPairs::Supports(conv)) {
    RunRowPairs(conv);
  } else {
    const Tile tile = ChooseTile(window, (kBufferWords - ParameterWords(window)) / kTapWords, 1);
    if (tile.rows == 0) return depthwise_conv2d_int8::Walk<1>(conv);
    RunGroups(conv, tile);
  }
  armv7em::ClampMap(conv.stage.clamp, conv.output,
                    window.output_height * window.output_width * conv.input_channels);
}

}  // namespace reds
