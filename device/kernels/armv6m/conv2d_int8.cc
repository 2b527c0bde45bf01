// Four positions of the output at a time: their windows are packed into a buffer on the stack and multiplied
// with one row of weights after the other, which stay where they are. Windows that do not fit the buffer are
// packed and multiplied chunk by chunk for some output channels at a time.

#include <cstdint>

#include "kernels/armv6m/packed_products.h"
#include "kernels/armv6m/requantize.h"
#include "kernels/kernels.h"

namespace reds {
namespace {

using armv6m::kElementWords;
using armv6m::kPositions;

// All frames together stay below 1 kB.
constexpr int32_t kWindowElements = 64;        // of windows that are packed at once
constexpr int32_t kPaddedWindowElements = 60;  // the same with room for padding, where there are several taps
constexpr int32_t kChunkElements = 32;
constexpr int32_t kChunkChannels = 16;

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
  explicit Chunks(const Conv2D<int8_t>& conv)
      : taps_(conv.window.kernel_height * conv.window.kernel_width),
        channels_(conv.input_channels),
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

class Convolution {
 public:
  explicit Convolution(const Conv2D<int8_t>& conv)
      : conv_(conv), taps_(conv.window.kernel_height * conv.window.kernel_width) {
    const int64_t products = int64_t{taps_} * conv.input_channels;
    most_sum_ = armv6m::MostSum(products);
    is_usual_ = products <= (taps_ == 1 ? kWindowElements : kPaddedWindowElements) &&
                (taps_ == 1 || conv.input_channels == conv.weights_pitch) &&
                armv6m::AreDirect(conv.stage, conv.output_channels, most_sum_);
  }

  void Run() {
    const int32_t positions = conv_.window.output_height * conv_.window.output_width;
    const int32_t count = positions < kPositions ? positions : kPositions;
    for (int32_t position = 0; position < positions; position += kPositions) {
      // The last four overlap those before them.
      const int32_t before = position < positions - count ? position : positions - count;
      const int32_t first = IsBackward(conv_) ? positions - count - before : before;
      int8_t* const output = conv_.output + first * conv_.output_channels;
      PlaceCorners(first, count);
      if (is_usual_ && count == kPositions) {
        WriteFromWindow(output);
      } else {
        WriteFromChunks(count, output);
      }
    }
  }

 private:
  // Missing corners repeat the last one.
  void PlaceCorners(int32_t first, int32_t count) {
    const Window& window = conv_.window;
    int32_t y = first / window.output_width;
    int32_t x = first % window.output_width;
    for (int32_t position = 0; position < kPositions; ++position) {
      corners_[position] = {y * window.stride_height - window.padding_top,
                            x * window.stride_width - window.padding_left};
      if (position + 1 >= count) continue;
      if (++x == window.output_width) {
        x = 0;
        ++y;
      }
    }
  }

  // All output channels of four positions, as is usual.
  __attribute__((noinline)) void WriteFromWindow(int8_t* output) const {
    uint32_t elements[kWindowElements * kElementWords];
    auto* const padding = reinterpret_cast<int8_t*>(elements + kPaddedWindowElements * kElementWords);
    if (taps_ > 1) FillPadding(conv_.input_channels, padding);
    PackChunk({0, taps_, 0, conv_.input_channels}, padding, elements);
    WriteChannels(elements, output);
  }

  __attribute__((noinline)) void WriteChannels(const uint32_t* elements, int8_t* output) const {
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

  // All output channels of some positions, however large their windows.
  __attribute__((noinline)) void WriteFromChunks(int32_t positions, int8_t* output) const {
    uint32_t elements[kChunkElements * kElementWords];
    armv6m::Four sums[kChunkChannels];
    int8_t padding[kChunkElements];
    FillPadding(kChunkElements, padding);
    const Chunks chunks(conv_);
    const int32_t row_pitch = taps_ * conv_.weights_pitch;
    const int8_t* rows = conv_.weights;
    for (int32_t first = 0; first < conv_.output_channels; first += kChunkChannels) {
      const int32_t left = conv_.output_channels - first;
      const int32_t channels = left < kChunkChannels ? left : kChunkChannels;
      for (armv6m::Four& sum : sums) sum = {};
      Chunk chunk = chunks.First();
      do {
        PackChunk(chunk, padding, elements);
        AddChunk(chunk, elements, rows, row_pitch, channels, sums);
      } while (chunks.Next(chunk));
      for (int32_t i = 0; i < channels; ++i) {
        armv6m::Finish(conv_.stage, most_sum_, first + i, sums[i].of, positions, output++,
                       conv_.output_channels);
      }
      rows += channels * row_pitch;
    }
  }

  __attribute__((noinline)) void AddChunk(const Chunk& chunk, const uint32_t* elements, const int8_t* rows,
                                          int32_t row_pitch, int32_t channels, armv6m::Four* sums) const {
    const int32_t pitch = conv_.weights_pitch;
    const bool is_one_run = chunk.taps == 1 || chunk.channels == pitch;
    const int32_t runs = is_one_run ? 1 : chunk.taps;
    const int32_t run = is_one_run ? chunk.taps * chunk.channels : chunk.channels;
    rows += chunk.tap * pitch + chunk.channel;
    for (; channels > 0; --channels) {
      const uint32_t* of_run = elements;
      const int8_t* weights = rows;
      armv6m::PackedSums packed = {};
      int32_t left = runs;
      do {
        of_run = armv6m::AddProducts(of_run, weights, run, packed);
        weights += pitch;
      } while (--left != 0);
      *sums = Sum(*sums, armv6m::Unpacked(packed));
      ++sums;
      rows += row_pitch;
    }
  }

  void FillPadding(int32_t count, int8_t* padding) const {
    for (; count > 0; --count) *padding++ = static_cast<int8_t>(conv_.input_zero_point);
  }

  __attribute__((noinline)) void PackChunk(const Chunk& chunk, const int8_t* padding, uint32_t* to) const {
    const int32_t kernel_width = conv_.window.kernel_width;
    int32_t tap_y = chunk.tap / kernel_width;
    int32_t tap_x = chunk.tap % kernel_width;
    for (int32_t tap = 0; tap < chunk.taps; ++tap) {
      const int8_t* x[kPositions];
#pragma GCC unroll 1
      for (int32_t position = 0; position < kPositions; ++position) {
        const int8_t* channels = Tap(corners_[position], tap_y, tap_x);
        x[position] = channels == nullptr ? padding : channels + chunk.channel;
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
  int32_t most_sum_;
  bool is_usual_;  // all windows fit the buffer, are one run of the weights and are requantised directly
  Corner corners_[kPositions];
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

}  // namespace

void Run(const Conv2D<int8_t>& conv) {
  if (IsFullyConnected(conv.window)) {
    RunFullyConnected(conv);
  } else {
    Convolution(conv).Run();
  }
}

}  // namespace reds
