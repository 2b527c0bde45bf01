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

constexpr int32_t kBufferWords = 192;                            // all frames together stay below 1 kB
constexpr int32_t kMostElements = kBufferWords / kElementWords;  // of windows that are packed at once
constexpr int32_t kChunkElements = 48;
constexpr int32_t kChannelsPerChunk = (kBufferWords - kChunkElements * kElementWords) / kPositions;

static_assert(kMostElements <= armv6m::kMostProducts, "a chunk has to fit its packed sums");

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
      : taps_(conv.window.kernel_height * conv.window.kernel_width), channels_(conv.input_channels) {
    is_one_ = channels_ <= kMostElements && taps_ <= kMostElements && taps_ * channels_ <= kMostElements;
    const int32_t elements = is_one_ ? kMostElements : kChunkElements;
    most_channels_ = channels_ < elements ? channels_ : elements;
    most_taps_ = most_channels_ < channels_ ? 1 : elements / channels_;
  }

  bool IsOne() const { return is_one_; }

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
  int32_t most_taps_;
  bool is_one_;
};

// Where tap (0, 0) of a window lies, inside the map or not.
struct Corner {
  int32_t y;
  int32_t x;
};

// Positions of the output in their order.
class Cursor {
 public:
  explicit Cursor(const Window& window) : window_(window) {}

  Corner Next() {
    const Corner corner = {y_ * window_.stride_height - window_.padding_top,
                           x_ * window_.stride_width - window_.padding_left};
    if (++x_ == window_.output_width) {
      x_ = 0;
      ++y_;
    }
    return corner;
  }

 private:
  const Window& window_;
  int32_t y_ = 0;
  int32_t x_ = 0;
};

class Convolution {
 public:
  explicit Convolution(const Conv2D<int8_t>& conv)
      : conv_(conv),
        chunks_(conv),
        row_pitch_(conv.window.kernel_height * conv.window.kernel_width * conv.weights_pitch) {
    const int64_t products =
        int64_t{conv.window.kernel_height} * conv.window.kernel_width * conv.input_channels;
    requantization_ = armv6m::RequantizationOf(conv.stage, conv.output_channels, products);
    for (int8_t& element : padding_) element = static_cast<int8_t>(conv.input_zero_point);
  }

  void Run() {
    Cursor cursor(conv_.window);
    int8_t* output = conv_.output;
    int32_t left = conv_.window.output_height * conv_.window.output_width;
    for (; left > 0; left -= kPositions) {
      // Missing ones repeat the last one.
      const int32_t positions = left < kPositions ? left : kPositions;
      for (int32_t position = 0; position < kPositions; ++position) {
        corners_[position] = position < positions ? cursor.Next() : corners_[position - 1];
      }
      Write(positions, output);
      output += positions * conv_.output_channels;
    }
  }

 private:
  // All output channels of some positions.
  void Write(int32_t positions, int8_t* output) {
    if (!chunks_.IsOne()) return WriteFromChunks(positions, output);
    PackChunk(chunks_.First());
    const Chunk window = chunks_.First();
    const bool usual = requantization_ == armv6m::Requantization::kDirect && positions == kPositions;
    if (usual && IsOneRun(window)) {
      WriteFromOneRun(window.taps * window.channels, output);
    } else {
      WriteFromOneChunk(window, positions, output);
    }
  }

  __attribute__((noinline)) void WriteFromOneRun(int32_t elements, int8_t* output) const {
    const OutputStage<int8_t>& stage = conv_.stage;
    const int32_t channels = conv_.output_channels;
    const int8_t* row = conv_.weights;
    for (int32_t channel = 0; channel < channels; ++channel) {
      armv6m::PackedSums packed = {};
      armv6m::AddProducts(buffer_, row, elements, packed);
      const armv6m::Four values = armv6m::WithBias(armv6m::Unpacked(packed), stage.bias[channel]);
      armv6m::StoreFour(stage, armv6m::MakeScale(stage, channel), values, output++, channels);
      row += row_pitch_;
    }
  }

  __attribute__((noinline)) void WriteFromOneChunk(const Chunk& window, int32_t positions,
                                                   int8_t* output) const {
    const int8_t* row = conv_.weights;
    for (int32_t channel = 0; channel < conv_.output_channels; ++channel) {
      Finish(channel, armv6m::Unpacked(ChunkSums(window, row)), positions, output++);
      row += row_pitch_;
    }
  }

  __attribute__((noinline)) void WriteFromChunks(int32_t positions, int8_t* output) {
    auto* const sums = reinterpret_cast<armv6m::Four*>(buffer_ + kChunkElements * kElementWords);
    const int8_t* rows = conv_.weights;
    for (int32_t first = 0; first < conv_.output_channels; first += kChannelsPerChunk) {
      const int32_t left = conv_.output_channels - first;
      const int32_t channels = left < kChannelsPerChunk ? left : kChannelsPerChunk;
      for (int32_t i = 0; i < channels; ++i) sums[i] = {};
      Chunk chunk = chunks_.First();
      do {
        PackChunk(chunk);
        for (int32_t i = 0; i < channels; ++i) {
          sums[i] = Sum(sums[i], armv6m::Unpacked(ChunkSums(chunk, rows + i * row_pitch_)));
        }
      } while (chunks_.Next(chunk));
      for (int32_t i = 0; i < channels; ++i) Finish(first + i, sums[i], positions, output++);
      rows += channels * row_pitch_;
    }
  }

  void Finish(int32_t channel, const armv6m::Four& sums, int32_t positions, int8_t* output) const {
    armv6m::Finish(conv_.stage, requantization_, channel, sums, positions, output, conv_.output_channels);
  }

  __attribute__((noinline)) void PackChunk(const Chunk& chunk) {
    const int32_t kernel_width = conv_.window.kernel_width;
    int32_t tap_y = chunk.tap / kernel_width;
    int32_t tap_x = chunk.tap % kernel_width;
    uint32_t* to = buffer_;
    for (int32_t tap = 0; tap < chunk.taps; ++tap) {
      const int8_t* x[kPositions];
      for (int32_t position = 0; position < kPositions; ++position) {
        x[position] = At(corners_[position], tap_y, tap_x, chunk.channel);
      }
      to = armv6m::Pack(x, chunk.channels, to);
      if (++tap_x == kernel_width) {
        tap_x = 0;
        ++tap_y;
      }
    }
  }

  const int8_t* At(const Corner& corner, int32_t tap_y, int32_t tap_x, int32_t channel) const {
    const Window& window = conv_.window;
    const int32_t y = corner.y + tap_y * window.dilation_height;
    const int32_t x = corner.x + tap_x * window.dilation_width;
    if (y < 0 || y >= window.input_height || x < 0 || x >= window.input_width) return padding_;
    return conv_.input + (y * window.input_width + x) * conv_.input_channels + channel;
  }

  bool IsOneRun(const Chunk& chunk) const { return chunk.taps == 1 || chunk.channels == conv_.weights_pitch; }

  armv6m::PackedSums ChunkSums(const Chunk& chunk, const int8_t* row) const {
    const int32_t pitch = conv_.weights_pitch;
    const bool is_one_run = IsOneRun(chunk);
    const int32_t run = is_one_run ? chunk.taps * chunk.channels : chunk.channels;
    const int8_t* weights = row + chunk.tap * pitch + chunk.channel;
    const uint32_t* elements = buffer_;
    armv6m::PackedSums packed = {};
    int32_t runs = is_one_run ? 1 : chunk.taps;
    do {
      elements = armv6m::AddProducts(elements, weights, run, packed);
      weights += pitch;
    } while (--runs != 0);
    return packed;
  }

  const Conv2D<int8_t>& conv_;
  Chunks chunks_;
  int32_t row_pitch_;
  armv6m::Requantization requantization_;
  Corner corners_[kPositions];
  uint32_t buffer_[kBufferWords];
  int8_t padding_[kMostElements];
};

}  // namespace

void Run(const Conv2D<int8_t>& conv) { Convolution(conv).Run(); }

}  // namespace reds
