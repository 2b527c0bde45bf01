// One channel at a time: a part of its map is widened to words in a buffer on the stack, the padding around it
// included, so that no window is clipped and several elements are loaded at once. The sums take the place of
// elements that no later window needs, until all are requantised.

#include "kernels/depthwise_conv2d_int8.h"

#include <cstdint>

#include "kernels/armv6m/requantize.h"
#include "kernels/kernels.h"

namespace reds {
namespace {

constexpr int32_t kBufferWords = 164;  // all frames together, the runtime's included, are at most 1 kB

// A rectangle of the output.
struct Tile {
  int32_t y;
  int32_t x;
  int32_t height;
  int32_t width;
};

// How many elements of the input `outputs` neighbours cover in one direction.
inline int32_t Covered(int32_t outputs, int32_t stride, int32_t dilation, int32_t kernel) {
  return (outputs - 1) * stride + (kernel - 1) * dilation + 1;
}

// How many neighbours cover no more than `elements`.
inline int32_t Covering(int32_t elements, int32_t stride, int32_t dilation, int32_t kernel) {
  return (elements - Covered(1, stride, dilation, kernel)) / stride + 1;
}

// The size of the rectangle of the input that a tile's windows cover.
inline int32_t InputHeight(const Window& window, const Tile& tile) {
  return Covered(tile.height, window.stride_height, window.dilation_height, window.kernel_height);
}

inline int32_t InputWidth(const Window& window, const Tile& tile) {
  return Covered(tile.width, window.stride_width, window.dilation_width, window.kernel_width);
}

// Rows of a tile that is not as wide as the map: those beside it still read what lies before its last row.
constexpr int32_t kTileRows = kDepthwiseLookbackRows + 1;

// The largest tiles for the buffer, as wide as the map where they get kTileRows, and where they are.
class Tiles {
 public:
  Tiles(const Window& window, int32_t room) : window_(window) {
    const int32_t narrowest = Covered(1, window.stride_width, window.dilation_width, window.kernel_width);
    int32_t covered_rows =
        Covered(kTileRows, window.stride_height, window.dilation_height, window.kernel_height);
    if (covered_rows > room / narrowest) covered_rows = room / narrowest;
    width_ = Covering(room / covered_rows, window.stride_width, window.dilation_width, window.kernel_width);
    if (width_ > window.output_width) width_ = window.output_width;
    const int32_t rows =
        room / Covered(width_, window.stride_width, window.dilation_width, window.kernel_width);
    height_ = Covering(rows, window.stride_height, window.dilation_height, window.kernel_height);
    if (width_ < window.output_width && height_ > kTileRows) height_ = kTileRows;
  }

  Tile At(int32_t y, int32_t x) const {
    const int32_t height = window_.output_height - y < height_ ? window_.output_height - y : height_;
    const int32_t width = window_.output_width - x < width_ ? window_.output_width - x : width_;
    return {y, x, height, width};
  }

  int32_t Height() const { return height_; }
  int32_t Width() const { return width_; }

 private:
  const Window& window_;
  int32_t height_;
  int32_t width_;
};

// A row of the buffer: padding up to `inside`, the elements at 0, step, 2 * step and so on before `end`, one at least,
// and padding up to the row's end.
inline void WidenRow(int32_t padding, const int8_t* from, int32_t step, int32_t end, int32_t* to,
                     const int32_t* inside, const int32_t* row_end) {
  int32_t offset = 0;
  int32_t element;
  __asm__ volatile(
      ".syntax unified\n"
      "b     2f\n"
      "1:\n"
      "stmia %[to]!, {%[padding]}\n"
      "2:\n"
      "cmp   %[to], %[inside]\n"
      "bne   1b\n"
      "3:\n"
      "ldrsb %[element], [%[from], %[offset]]\n"
      "stmia %[to]!, {%[element]}\n"
      "adds  %[offset], %[step]\n"
      "cmp   %[offset], %[end]\n"
      "bne   3b\n"
      "b     5f\n"
      "4:\n"
      "stmia %[to]!, {%[padding]}\n"
      "5:\n"
      "cmp   %[to], %[row_end]\n"
      "bne   4b\n"
      : [element] "=&l"(element), [offset] "+l"(offset), [to] "+l"(to)
      : [padding] "l"(padding), [from] "l"(from), [step] "l"(step), [end] "h"(end), [inside] "h"(inside),
        [row_end] "h"(row_end)
      : "cc", "memory");
}

inline void Fill(int32_t value, int32_t* to, const int32_t* end) {
  while (to != end) *to++ = value;
}

// Widens one channel of the input under a tile.
__attribute__((noinline)) void Widen(const DepthwiseConv2D<int8_t>& conv, const Tile& tile, int32_t channel,
                                     int32_t* to) {
  const Window& window = conv.window;
  const int32_t width = InputWidth(window, tile);
  const int32_t x = tile.x * window.stride_width - window.padding_left;
  const int32_t before = x < 0 ? -x : 0;
  const int32_t beyond = x + width - window.input_width;
  const int32_t step = conv.input_channels;
  const int32_t inside_end = (width - before - (beyond > 0 ? beyond : 0)) * step;
  const int32_t row_step = window.input_width * step;
  const int32_t height = window.input_height;
  const int32_t padding = conv.input_zero_point;
  const int32_t first = tile.y * window.stride_height - window.padding_top;
  const int32_t end = first + InputHeight(window, tile);
  const int8_t* row = conv.input + first * row_step + (x + before) * step + channel;
  for (int32_t y = first; y < end; ++y) {
    int32_t* const row_end = to + width;
    if (y >= 0 && y < height && inside_end > 0) {
      WidenRow(padding, row, step, inside_end, to, to + before, row_end);
    } else {
      Fill(padding, to, row_end);
    }
    to = row_end;
    row += row_step;
  }
}

// Writes the sums of all windows of a tile one after the other where its elements begin. That is at or before
// the window's first element, which no later window needs.
__attribute__((noinline)) void Sum3x3(const Window& window, const Tile& tile, const int32_t* weights,
                                      int32_t* elements) {
  constexpr int32_t kBytes = sizeof(int32_t);
  const int32_t input_width = InputWidth(window, tile);
  const int32_t next_row = (input_width - 3) * kBytes;
  const int32_t step = window.stride_width * kBytes;
  const int32_t width = tile.width * kBytes;
  const int32_t next_corner =
      (window.stride_height * input_width - tile.width * window.stride_width) * kBytes;
  const int32_t* const end = elements + tile.height * tile.width;
  register int32_t* element __asm__("r0") = elements;
  register const int32_t* weight __asm__("r1") = weights;
  // r2 to r4 elements, r5 to r7 weights, r8 the sum, r9 from the end of a window's row to the next one, r10 the
  // window's corner, r11 from corner to corner, r12 where the sum goes, lr where those of the row end.
#define REDS_MULTIPLY_ROW     \
  "ldmia r0!, {r2, r3, r4}\n" \
  "ldmia r1!, {r5, r6, r7}\n" \
  "muls  r2, r5\n"            \
  "muls  r3, r6\n"            \
  "muls  r4, r7\n"            \
  "adds  r2, r3\n"            \
  "adds  r2, r4\n"
  __asm__ volatile(
      ".syntax unified\n"
      "ldr   r2, %[next_row]\n"
      "mov   r9, r2\n"
      "ldr   r2, %[step]\n"
      "mov   r11, r2\n"
      "mov   r10, r0\n"
      "mov   r12, r0\n"
      "1:\n"
      "ldr   r2, %[width]\n"
      "add   r2, r12\n"
      "mov   lr, r2\n"
      "2:\n"
      "mov   r0, r10\n"  //
      REDS_MULTIPLY_ROW
      "mov   r8, r2\n"
      "add   r0, r9\n"  //
      REDS_MULTIPLY_ROW
      "add   r8, r2\n"
      "add   r0, r9\n"  //
      REDS_MULTIPLY_ROW
      "add   r2, r8\n"
      "subs  r1, #36\n"
      "mov   r3, r12\n"
      "stmia r3!, {r2}\n"
      "mov   r12, r3\n"
      "add   r10, r11\n"
      "cmp   r12, lr\n"
      "bne   2b\n"
      "ldr   r2, %[next_corner]\n"
      "add   r10, r2\n"
      "ldr   r2, %[end]\n"
      "cmp   r12, r2\n"
      "bne   1b\n"
      : "+l"(element), "+l"(weight)
      : [next_row] "m"(next_row), [step] "m"(step), [width] "m"(width), [next_corner] "m"(next_corner),
        [end] "m"(end)
      : "r2", "r3", "r4", "r5", "r6", "r7", "r8", "r9", "r10", "r11", "r12", "lr", "cc", "memory");
#undef REDS_MULTIPLY_ROW
}

// How a window of any kind is walked, in bytes.
struct WindowWalk {
  int32_t step;         // from element to element
  int32_t next_row;     // from the end of a row to the next one
  int32_t row_weights;  // of one row
  int32_t weights;      // of the window
};

inline int32_t SumOfWindow(const WindowWalk& walk, const int32_t* weight, const int32_t* element) {
  int32_t sum = 0;
  const int8_t* const end = reinterpret_cast<const int8_t*>(weight) + walk.weights;
  int32_t product, other, row_end;
  __asm__(
      ".syntax unified\n"
      "1:\n"
      "mov   %[row_end], %[weight]\n"
      "add   %[row_end], %[row_weights]\n"
      "2:\n"
      "ldr   %[product], [%[element]]\n"
      "add   %[element], %[step]\n"
      "ldmia %[weight]!, {%[other]}\n"
      "muls  %[product], %[other]\n"
      "adds  %[sum], %[product]\n"
      "cmp   %[weight], %[row_end]\n"
      "bne   2b\n"
      "add   %[element], %[next_row]\n"
      "cmp   %[weight], %[end]\n"
      "bne   1b\n"
      : [sum] "+l"(sum), [element] "+l"(element), [weight] "+l"(weight), [product] "=&l"(product),
        [other] "=&l"(other), [row_end] "=&l"(row_end)
      : [step] "h"(walk.step), [next_row] "h"(walk.next_row), [row_weights] "h"(walk.row_weights),
        [end] "h"(end)
      : "cc", "memory");
  return sum;
}

// Sum3x3 for windows of any kind.
__attribute__((noinline)) void SumAny(const Window& window, const Tile& tile, const int32_t* weights,
                                      int32_t* elements) {
  constexpr int32_t kBytes = sizeof(int32_t);
  const int32_t input_width = InputWidth(window, tile);
  const int32_t row_elements = window.kernel_width * window.dilation_width;
  const WindowWalk walk = {window.dilation_width * kBytes,
                           (window.dilation_height * input_width - row_elements) * kBytes,
                           window.kernel_width * kBytes, window.kernel_height * window.kernel_width * kBytes};
  const int32_t* row = elements;
  for (int32_t y = 0; y < tile.height; ++y) {
    const int32_t* corner = row;
    for (int32_t* const end = elements + tile.width; elements != end; ++elements) {
      *elements = SumOfWindow(walk, weights, corner);
      corner += window.stride_width;
    }
    row += window.stride_height * input_width;
  }
}

class Convolution {
 public:
  Convolution(const DepthwiseConv2D<int8_t>& conv, int32_t* buffer)
      : conv_(conv),
        buffer_(buffer),
        taps_(conv.window.kernel_height * conv.window.kernel_width),
        channels_(conv.input_channels * conv.multiplier),
        most_sum_(armv6m::MostSum(taps_)) {}

  void Run() {
    const Window& window = conv_.window;
    const Tiles tiles(window, kBufferWords - taps_);
    int32_t channel = 0;
    for (int32_t input_channel = 0; input_channel < conv_.input_channels; ++input_channel) {
      for (int32_t copy = 0; copy < conv_.multiplier; ++copy, ++channel) {
        StoreWeights(channel);
        for (int32_t y = 0; y < window.output_height; y += tiles.Height()) {
          for (int32_t x = 0; x < window.output_width; x += tiles.Width()) {
            WriteTile(tiles.At(y, x), input_channel, channel);
          }
        }
      }
    }
  }

 private:
  void StoreWeights(int32_t channel) {
    const int8_t* weight = conv_.weights + channel;
    for (int32_t tap = 0; tap < taps_; ++tap) {
      buffer_[tap] = *weight;
      weight += conv_.weights_pitch;
    }
  }

  void WriteTile(const Tile& tile, int32_t input_channel, int32_t channel) {
    const Window& window = conv_.window;
    int32_t* const elements = buffer_ + taps_;
    Widen(conv_, tile, input_channel, elements);
    if (window.kernel_height == 3 && window.kernel_width == 3 && window.dilation_height == 1 &&
        window.dilation_width == 1) {
      Sum3x3(window, tile, buffer_, elements);
    } else {
      SumAny(window, tile, buffer_, elements);
    }
    Store(tile, channel);
  }

  // Rows that are as wide as the output follow each other like one.
  void Store(const Tile& tile, int32_t channel) {
    const int32_t output_width = conv_.window.output_width;
    const bool is_one_row = tile.width == output_width;
    const int32_t count = is_one_row ? tile.height * tile.width : tile.width;
    int32_t* sums = buffer_ + taps_;
    int8_t* output = conv_.output + (tile.y * output_width + tile.x) * channels_ + channel;
    for (int32_t rows = is_one_row ? 1 : tile.height; rows > 0; --rows) {
      armv6m::Finish(conv_.stage, most_sum_, channel, sums, count, output, channels_);
      sums += count;
      output += output_width * channels_;
    }
  }

  const DepthwiseConv2D<int8_t>& conv_;
  int32_t* buffer_;
  int32_t taps_;
  int32_t channels_;
  int32_t most_sum_;
};

// Whether the weights and one window fit the buffer.
__attribute__((noinline)) bool FitsBuffer(const Window& window) {
  const int64_t height = Covered(1, window.stride_height, window.dilation_height, window.kernel_height);
  const int64_t width = Covered(1, window.stride_width, window.dilation_width, window.kernel_width);
  return height * width + int64_t{window.kernel_height} * window.kernel_width <= kBufferWords;
}

// A function of its own, so that its frame does not lie under the walk without a buffer.
__attribute__((noinline)) void RunBuffered(const DepthwiseConv2D<int8_t>& conv) {
  int32_t buffer[kBufferWords];
  Convolution(conv, buffer).Run();
}

}  // namespace

void Run(const DepthwiseConv2D<int8_t>& conv) {
  if (FitsBuffer(conv.window)) {
    RunBuffered(conv);
  } else {
    depthwise_conv2d_int8::Walk<1>(conv);
  }
}

}  // namespace reds
