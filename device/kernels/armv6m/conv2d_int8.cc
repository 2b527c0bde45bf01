// Four positions of the output at a time: their windows are packed into a buffer on the stack and multiplied
// with one row of weights after the other, which stay where they are. Windows that do not fit the buffer are
// packed and multiplied chunk by chunk for some output channels at a time.

#include <cstdint>
#include <cstring>

#include "kernels/armv6m/packed_products.h"
#include "kernels/armv6m/requantize.h"
#include "kernels/kernels.h"

namespace reds {
namespace {

using armv6m::kElementWords;
using armv6m::kPositions;

// All frames together, the runtime's included, are at most 1 kB.
constexpr int32_t kWindowElements = 64;        // of windows that are packed at once
constexpr int32_t kPaddedWindowElements = 60;  // the same with room for padding, where there are several taps
constexpr int32_t kChunkElements = 32;
constexpr int32_t kPackedWords = sizeof(armv6m::PackedSums) / sizeof(uint32_t);
constexpr int32_t kChunkSumWords = 48;  // of some output channels, for all their chunks

static_assert(kPaddedWindowElements / 2 <= (kWindowElements - kPaddedWindowElements) * kElementWords * 4,
              "padding has to be as long as the channels of one of two taps");
static_assert(kPositions - 1 <= kConvolutionLookbackPositions,
              "windows are read again after all but the last of their positions are written");
static_assert(kWindowElements <= armv6m::kMostProducts, "a window has to fit its packed sums");

// Taps of a window, or some channels of one tap.
struct Chunk {
  int32_t tap;
  int32_t taps;
  int32_t channel;
  int32_t channels;
};

class Chunks {
 public:
  Chunks(int32_t taps, int32_t channels)
      : taps_(taps),
        channels_(channels),
        most_channels_(channels_ < kChunkElements ? channels_ : kChunkElements),
        most_taps_(kChunkElements / most_channels_) {}

  Chunk First() const { return {0, Taps(0), 0, most_channels_}; }

  // Whether there is one after `chunk`, which becomes that.
  bool Next(Chunk& chunk) const {
    chunk.channel += chunk.channels;
    if (chunk.channel == channels_) {
      chunk.channel = 0;
      chunk.tap += chunk.taps;
      if (chunk.tap == taps_) return false;
      chunk.taps = Taps(chunk.tap);
    }
    const int32_t channels = channels_ - chunk.channel;
    chunk.channels = channels < most_channels_ ? channels : most_channels_;
    return true;
  }

 private:
  int32_t Taps(int32_t first) const { return taps_ - first < most_taps_ ? taps_ - first : most_taps_; }

  int32_t taps_;
  int32_t channels_;
  int32_t most_channels_;
  int32_t most_taps_;  // 1 where a tap has more than one chunk
};

// Where tap (0, 0) of a window lies, inside the map or not.
struct Corner {
  int32_t y;
  int32_t x;
};

// Positions of the output that are computed together, and what stands for a tap in the padding.
struct Positions {
  Corner corner;   // of the first
  int32_t column;  // of the first
  int32_t count;
  const int8_t* padding;
};

class Convolution {
 public:
  explicit Convolution(const Conv2D<int8_t>& conv)
      : conv_(conv), taps_(conv.window.kernel_height * conv.window.kernel_width) {}

  // Whether all windows fit the buffer, are one run of the weights and are requantised directly, and there are positions
  // enough.
  bool IsUsual() const {
    return AllPositions() >= kPositions &&
           Products() <= (taps_ == 1 ? kWindowElements : kPaddedWindowElements) &&
           (taps_ == 1 || conv_.input_channels == conv_.weights_pitch) &&
           armv6m::AreDirect(conv_.stage, conv_.output_channels, armv6m::MostSum(Products()));
  }

  __attribute__((always_inline)) void RunUsual() {
    uint32_t elements[kWindowElements * kElementWords];
    auto* const padding = reinterpret_cast<int8_t*>(elements + kPaddedWindowElements * kElementWords);
    if (taps_ > 1) FillPadding(conv_.input_channels, padding);
    const int32_t positions = AllPositions();
    for (int32_t position = 0; position < positions; position += kPositions) {
      const int32_t first = First(position, positions, kPositions);
      PackChunkHere({0, taps_, 0, conv_.input_channels}, PositionsAt(first, kPositions, padding), elements);
      WriteChannels(elements, conv_.output + first * conv_.output_channels);
    }
  }

  __attribute__((always_inline)) void RunAny() {
    const int32_t positions = AllPositions();
    const int32_t count = positions < kPositions ? positions : kPositions;
    for (int32_t position = 0; position < positions; position += kPositions) {
      const int32_t first = First(position, positions, count);
      WriteFromChunks(first, count, conv_.output + first * conv_.output_channels);
    }
  }

 private:
  int32_t Products() const { return taps_ * conv_.input_channels; }
  int32_t AllPositions() const { return conv_.window.output_height * conv_.window.output_width; }

  Positions PositionsAt(int32_t first, int32_t count, const int8_t* padding) const {
    const Window& window = conv_.window;
    const int32_t row = first / window.output_width;
    const int32_t column = first % window.output_width;
    return {
        {row * window.stride_height - window.padding_top, column * window.stride_width - window.padding_left},
        column,
        count,
        padding};
  }

  // Where `count` positions begin, the last of which overlap those before them.
  int32_t First(int32_t position, int32_t positions, int32_t count) const {
    const int32_t before = position < positions - count ? position : positions - count;
    return IsBackward(conv_) ? positions - count - before : before;
  }

  __attribute__((always_inline)) void WriteChannels(const uint32_t* elements, int8_t* output) const {
    const OutputStage<int8_t>& stage = conv_.stage;
    const int32_t row_pitch = taps_ * conv_.weights_pitch;
    const int32_t run = taps_ * conv_.input_channels;
    const int32_t channels = conv_.output_channels;
    const int8_t* row = conv_.weights;
    for (int32_t channel = 0; channel < channels; ++channel) {
      armv6m::PackedSums packed = {};
      armv6m::AddProducts(elements, row, run, packed);
      const armv6m::Four sums = armv6m::Unpacked(packed);
      armv6m::StoreFour(stage, armv6m::MakeScale(stage, channel), armv6m::WithBias(sums, stage.bias[channel]),
                        output++, channels);
      row += row_pitch;
    }
  }

  // Whether sums stay packed from chunk to chunk.
  bool ArePacked() const { return Products() <= armv6m::kMostProducts; }

  // All output channels of some positions, however large their windows.
  __attribute__((always_inline)) void WriteFromChunks(int32_t first_position, int32_t count,
                                                      int8_t* output) const {
    uint32_t elements[kChunkElements * kElementWords];
    uint32_t sums[kChunkSumWords];
    int8_t padding[kChunkElements];
    memset(padding, conv_.input_zero_point, sizeof padding);
    const Positions positions = PositionsAt(first_position, count, padding);
    const Chunks chunks(taps_, conv_.input_channels);
    const int32_t row_pitch = taps_ * conv_.weights_pitch;
    const int32_t most_channels = kChunkSumWords / (ArePacked() ? kPackedWords : kPositions);
    const int8_t* rows = conv_.weights;
    for (int32_t first = 0; first < conv_.output_channels; first += most_channels) {
      const int32_t left = conv_.output_channels - first;
      const int32_t channels = left < most_channels ? left : most_channels;
      for (uint32_t& sum : sums) sum = 0;
      Chunk chunk = chunks.First();
      do {
        PackChunk(chunk, positions, elements);
        AddChunk(chunk, elements, rows, row_pitch, channels, sums);
      } while (chunks.Next(chunk));
      const uint32_t* of_channel = sums;
      for (int32_t i = 0; i < channels; ++i) {
        armv6m::Four four = ArePacked() ? armv6m::Unpacked(LoadPacked(of_channel)) : LoadFour(of_channel);
        of_channel += ArePacked() ? kPackedWords : kPositions;
        armv6m::Finish(conv_.stage, armv6m::MostSum(Products()), first + i, four.of, count, output++,
                       conv_.output_channels);
      }
      rows += channels * row_pitch;
    }
  }

  __attribute__((noinline)) void AddChunk(const Chunk& chunk, const uint32_t* elements, const int8_t* rows,
                                          int32_t row_pitch, int32_t channels, uint32_t* sums) const {
    const int32_t pitch = conv_.weights_pitch;
    const bool is_one_run = chunk.taps == 1 || chunk.channels == pitch;
    const int32_t runs = is_one_run ? 1 : chunk.taps;
    const int32_t run = is_one_run ? chunk.taps * chunk.channels : chunk.channels;
    const bool are_packed = ArePacked();
    rows += chunk.tap * pitch + chunk.channel;
    for (; channels > 0; --channels) {
      const uint32_t* of_run = elements;
      const int8_t* weights = rows;
      armv6m::PackedSums packed = {};
      if (are_packed) packed = LoadPacked(sums);
      int32_t left = runs;
      do {
        of_run = armv6m::AddProducts(of_run, weights, run, packed);
        weights += pitch;
      } while (--left != 0);
      if (are_packed) {
        memcpy(sums, &packed, sizeof packed);
        sums += kPackedWords;
      } else {
        const armv6m::Four four = Sum(LoadFour(sums), armv6m::Unpacked(packed));
        memcpy(sums, &four, sizeof four);
        sums += kPositions;
      }
      rows += row_pitch;
    }
  }

  static armv6m::PackedSums LoadPacked(const uint32_t* sums) { return {sums[0], sums[1], sums[2]}; }

  static armv6m::Four LoadFour(const uint32_t* sums) {
    armv6m::Four four;
    memcpy(&four, sums, sizeof four);
    return four;
  }

  void FillPadding(int32_t count, int8_t* padding) const {
    for (; count > 0; --count) *padding++ = static_cast<int8_t>(conv_.input_zero_point);
  }

  __attribute__((noinline)) void PackChunk(const Chunk& chunk, const Positions& positions,
                                           uint32_t* to) const {
    PackChunkHere(chunk, positions, to);
  }

  __attribute__((always_inline)) void PackChunkHere(const Chunk& chunk, const Positions& positions,
                                                    uint32_t* to) const {
    const int32_t kernel_width = conv_.window.kernel_width;
    int32_t tap_y = chunk.tap / kernel_width;
    int32_t tap_x = chunk.tap % kernel_width;
    for (int32_t tap = 0; tap < chunk.taps; ++tap) {
      const int8_t* x[kPositions];
      int32_t column = positions.column;
      Corner corner = positions.corner;
#pragma GCC unroll 1
      for (int32_t position = 0; position < kPositions; ++position) {
        const int8_t* channels = Tap(corner, tap_y, tap_x);
        x[position] = channels == nullptr ? positions.padding : channels + chunk.channel;
        if (position + 1 >= positions.count) continue;
        corner.x += conv_.window.stride_width;
        if (++column == conv_.window.output_width) {
          column = 0;
          corner = {corner.y + conv_.window.stride_height, -conv_.window.padding_left};
        }
      }
      to = armv6m::Pack(x, chunk.channels, to);
      if (++tap_x == kernel_width) {
        tap_x = 0;
        ++tap_y;
      }
    }
  }

  // The channels of a tap, or nullptr where it lies in the padding.
  const int8_t* Tap(const Corner& corner, int32_t tap_y, int32_t tap_x) const {
    const Window& window = conv_.window;
    const int32_t y = corner.y + tap_y * window.dilation_height;
    const int32_t x = corner.x + tap_x * window.dilation_width;
    if (y < 0 || y >= window.input_height || x < 0 || x >= window.input_width) return nullptr;
    return conv_.input + (y * window.input_width + x) * conv_.input_channels;
  }

  const Conv2D<int8_t>& conv_;
  int32_t taps_;
};

// Whether it is a fully connected layer of fewer samples than the positions that are computed together.
bool IsFullyConnected(const Window& window) {
  const int32_t positions = window.output_height * window.output_width;
  return window.kernel_height == 1 && window.kernel_width == 1 && positions < kPositions &&
         positions == window.input_height * window.input_width;
}

__attribute__((noinline)) void RunFullyConnected(const Conv2D<int8_t>& conv) {
  const int32_t samples = conv.window.output_height * conv.window.output_width;
  Run(FullyConnected<int8_t>{conv.input, conv.weights, conv.output, samples, conv.input_channels,
                             conv.output_channels, conv.weights_pitch, conv.stage});
}

__attribute__((noinline)) bool IsUsual(const Conv2D<int8_t>& conv) { return Convolution(conv).IsUsual(); }

__attribute__((noinline)) void RunUsual(const Conv2D<int8_t>& conv) { Convolution(conv).RunUsual(); }

__attribute__((noinline)) void RunAny(const Conv2D<int8_t>& conv) { Convolution(conv).RunAny(); }

}  // namespace

void Run(const Conv2D<int8_t>& conv) {
  if (IsFullyConnected(conv.window)) {
    RunFullyConnected(conv);
  } else if (IsUsual(conv)) {
    RunUsual(conv);
  } else {
    RunAny(conv);
  }
}

}  // namespace reds
