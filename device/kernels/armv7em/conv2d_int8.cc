// Two positions of the output at a time: their windows are gathered into a buffer on the stack, widened to
// int16, and multiplied with two rows of weights at a time, which stay where they are. A product of two rows
// and two columns loads every word for two uses. Windows that do not fit the buffer are walked where they lie.

#include "kernels/conv2d_int8.h"

#include <cstdint>

#include "kernels/armv7em/dual_products.h"
#include "kernels/armv7em/requantize.h"
#include "kernels/fixed_point.h"
#include "kernels/kernels.h"
#include "kernels/taps.h"

namespace reds {
namespace {

using armv7em::kGroup;

constexpr int32_t kBufferWords = 200;
constexpr int32_t kColumns = 2;
constexpr int32_t kGroupWords = 2;                 // of one widened column
constexpr int32_t kStep = kColumns * kGroupWords;  // words from group to group of one column
constexpr int32_t kGroupBytes = kStep * sizeof(uint32_t);

// The elements of a window come in runs that are contiguous in the weights: the whole window where no input
// channel is left out, otherwise its taps. A run's groups are its full words and, where elements remain, the
// word that ends with the run, in which what came before counts as 0.
struct Runs {
  int32_t count;
  int32_t elements;   // of one run
  int32_t full;       // groups of one run that are full words
  int32_t remainder;  // elements after them, less than a group
  int32_t pitch;      // elements from run to run in the weights
  int32_t row_pitch;  // elements from output channel to output channel in the weights

  int32_t Groups() const { return count * (full + (remainder != 0 ? 1 : 0)); }
};

Runs MakeRuns(const Conv2D<int8_t>& conv) {
  const int32_t taps = conv.window.kernel_height * conv.window.kernel_width;
  const bool contiguous = taps == 1 || conv.input_channels == conv.weights_pitch;
  const int32_t elements = contiguous ? taps * conv.input_channels : conv.input_channels;
  return {contiguous ? 1 : taps, elements,           elements / kGroup,
          elements % kGroup,     conv.weights_pitch, taps * conv.weights_pitch};
}

// The window of one position, element by element as in the weights.
class Gatherer {
 public:
  explicit Gatherer(const Conv2D<int8_t>& conv) : conv_(conv) {}

  // Whether windows already lie in the map as they are needed.
  bool IsTrivial() const {
    const Window& window = conv_.window;
    return window.kernel_height * window.kernel_width == 1 && window.padding_top == 0 &&
           window.padding_left == 0;
  }

  const int8_t* InMap(int32_t y, int32_t x) const {
    const Window& window = conv_.window;
    return At(y * window.stride_height, x * window.stride_width);
  }

  void Gather(int32_t y, int32_t x, int8_t* to) const {
    const Window& window = conv_.window;
    const TapRange rows = RowsInside(window, y);
    const TapRange columns = ColumnsInside(window, x);
    const int32_t row_elements = window.kernel_width * conv_.input_channels;
    for (int32_t tap_y = 0; tap_y < window.kernel_height; ++tap_y) {
      if (tap_y < rows.first || tap_y >= rows.end) {
        Fill(to, row_elements);
      } else {
        GatherRow(rows.origin + tap_y * window.dilation_height, columns, to);
      }
      to += row_elements;
    }
  }

 private:
  const int8_t* At(int32_t y, int32_t x) const {
    return conv_.input + (y * conv_.window.input_width + x) * conv_.input_channels;
  }

  void GatherRow(int32_t y, const TapRange& columns, int8_t* to) const {
    const Window& window = conv_.window;
    const int32_t channels = conv_.input_channels;
    Fill(to, columns.first * channels);
    Fill(to + columns.end * channels, (window.kernel_width - columns.end) * channels);
    const int8_t* from = At(y, columns.origin + columns.first * window.dilation_width);
    to += columns.first * channels;
    if (window.dilation_width == 1) return Copy(from, (columns.end - columns.first) * channels, to);
    for (int32_t tap_x = columns.first; tap_x < columns.end; ++tap_x) {
      Copy(from, channels, to);
      from += window.dilation_width * channels;
      to += channels;
    }
  }

  void Fill(int8_t* to, int32_t count) const {
    for (int32_t i = 0; i < count; ++i) to[i] = static_cast<int8_t>(conv_.input_zero_point);
  }

  static void Copy(const int8_t* from, int32_t count, int8_t* to) {
    for (; count >= kGroup; count -= kGroup) {
      const uint32_t word = armv7em::LoadWord(from);
      memcpy(to, &word, sizeof word);
      from += kGroup;
      to += kGroup;
    }
    for (; count > 0; --count) *to++ = *from++;
  }

  const Conv2D<int8_t>& conv_;
};

inline uint32_t* StoreGroup(uint32_t word, uint32_t* to) {
  to[0] = armv7em::WidenedEvenBytes(word);
  to[1] = armv7em::WidenedOddBytes(word);
  return to + kStep;
}

// Widens one column. `to` is its first group in the buffer.
void Widen(const Runs& runs, const int8_t* from, uint32_t* to) {
  for (int32_t run = 0; run < runs.count; ++run) {
    for (int32_t group = 0; group < runs.full; ++group) {
      to = StoreGroup(armv7em::LoadWord(from), to);
      from += kGroup;
    }
    if (runs.remainder == 0) continue;
    from += runs.remainder;
    const uint32_t last = UINT32_MAX << (kGroup - runs.remainder) * 8;
    to = StoreGroup(armv7em::LoadWord(from - kGroup) & last, to);
  }
}

// Adds the products of all runs of two rows.
inline void AddRuns(const Runs& runs, const int8_t* row0, const int8_t* row1, const uint32_t* columns,
                    armv7em::Sums2x2& sums) {
  if (runs.count == 1 && runs.remainder == 0) {
    return armv7em::AddProducts2x2(row0, row1, columns, runs.full, sums);
  }
  for (int32_t run = 0; run < runs.count; ++run) {
    const int8_t* run0 = row0;
    const int8_t* run1 = row1;
    armv7em::AddProducts2x2(run0, run1, columns, runs.full, sums);
    if (runs.remainder != 0) {
      run0 -= kGroup - runs.remainder;
      run1 -= kGroup - runs.remainder;
      armv7em::AddProducts2x2(run0, run1, columns, 1, sums);
    }
    row0 += runs.pitch;
    row1 += runs.pitch;
  }
}

// The output of two positions; they may be the same.
struct Outputs {
  int8_t* first;
  int8_t* second;
};

// Sums without bias.
void FinishAny(const OutputStage<int8_t>& stage, int32_t channel0, int32_t channel1,
               const armv7em::Sums2x2& sums, const Outputs& outputs) __attribute__((noinline));

void FinishAny(const OutputStage<int8_t>& stage, int32_t channel0, int32_t channel1,
               const armv7em::Sums2x2& sums, const Outputs& outputs) {
  outputs.first[channel0] = Finish(stage, channel0, sums.s00);
  outputs.second[channel0] = Finish(stage, channel0, sums.s01);
  outputs.first[channel1] = Finish(stage, channel1, sums.s10);
  outputs.second[channel1] = Finish(stage, channel1, sums.s11);
}

inline void FinishScaled(const OutputStage<int8_t>& stage, int32_t channel0, int32_t channel1,
                         const armv7em::Sums2x2& sums, const Outputs& outputs) {
  const int32_t bias0 = stage.bias[channel0];
  const int32_t bias1 = stage.bias[channel1];
  const armv7em::Scale scale0 = armv7em::MakeScale(stage.multiplier[channel0], stage.shift[channel0]);
  const armv7em::Scale scale1 = armv7em::MakeScale(stage.multiplier[channel1], stage.shift[channel1]);
  int32_t values[4] = {armv7em::Requantized(WrappingAdd(sums.s00, bias0), scale0, stage.zero_point),
                       armv7em::Requantized(WrappingAdd(sums.s01, bias0), scale0, stage.zero_point),
                       armv7em::Requantized(WrappingAdd(sums.s10, bias1), scale1, stage.zero_point),
                       armv7em::Requantized(WrappingAdd(sums.s11, bias1), scale1, stage.zero_point)};
  armv7em::ClampFour(stage.clamp, values);
  outputs.first[channel0] = static_cast<int8_t>(values[0]);
  outputs.second[channel0] = static_cast<int8_t>(values[1]);
  outputs.first[channel1] = static_cast<int8_t>(values[2]);
  outputs.second[channel1] = static_cast<int8_t>(values[3]);
}

// All channels of two positions. An odd last channel is computed as both rows.
template <bool kScaled>
void WriteColumns(const Conv2D<int8_t>& conv, const Runs& runs, const uint32_t* columns,
                  const Outputs& outputs) {
  const int8_t* row = conv.weights;
  for (int32_t channel = 0; channel < conv.output_channels; channel += 2) {
    const bool is_pair = channel + 1 < conv.output_channels;
    armv7em::Sums2x2 sums = {};
    AddRuns(runs, row, is_pair ? row + runs.row_pitch : row, columns, sums);
    const int32_t channel1 = channel + (is_pair ? 1 : 0);
    if (kScaled) {
      FinishScaled(conv.stage, channel, channel1, sums, outputs);
    } else {
      FinishAny(conv.stage, channel, channel1, sums, outputs);
    }
    row += 2 * runs.row_pitch;
  }
}

struct Products {
  template <int32_t kRows>
  static void Add(const int8_t* input, const int8_t* weights, int32_t row_pitch, int32_t count,
                  int32_t (&sums)[kRows]) {
    for (int32_t element = 0; element < count; ++element) {
      const int32_t activation = input[element];
#pragma GCC unroll 4
      for (int32_t row = 0; row < kRows; ++row) sums[row] += activation * weights[row * row_pitch + element];
    }
  }
};

void RunBuffered(const Conv2D<int8_t>& conv, const Runs& runs) {
  alignas(8) uint32_t buffer[kBufferWords];
  int8_t* const gathered = reinterpret_cast<int8_t*>(buffer + runs.Groups() * kStep);
  const Gatherer gatherer(conv);
  const bool is_trivial = gatherer.IsTrivial();
  const bool has_scales = armv7em::HaveScales(conv.stage, conv.output_channels);
  const int32_t positions = conv.window.output_height * conv.window.output_width;
  Outputs outputs = {conv.output, conv.output};
  int32_t y = 0;
  int32_t x = 0;
  for (int32_t position = 0; position < positions; position += kColumns) {
    const bool is_pair = position + 1 < positions;  // an odd last position fills both columns
    for (int32_t column = 0; column < kColumns; ++column) {
      const int8_t* window = gathered;
      if (is_trivial) {
        window = gatherer.InMap(y, x);
      } else {
        gatherer.Gather(y, x, gathered);
      }
      Widen(runs, window, buffer + column * kGroupWords);
      if (is_pair && ++x == conv.window.output_width) {
        x = 0;
        ++y;
      }
    }
    outputs.second = outputs.first + (is_pair ? conv.output_channels : 0);
    if (has_scales) {
      WriteColumns<true>(conv, runs, buffer, outputs);
    } else {
      WriteColumns<false>(conv, runs, buffer, outputs);
    }
    outputs.first += kColumns * conv.output_channels;
  }
}

// Whether both widened columns and one gathered window fit the buffer, and no run is shorter than a word.
bool FitsBuffer(const Conv2D<int8_t>& conv, const Runs& runs) {
  const int32_t gathered = Gatherer(conv).IsTrivial() ? 0 : runs.count * runs.elements;
  constexpr int32_t kRoom = kBufferWords * static_cast<int32_t>(sizeof(uint32_t));
  if (runs.full == 0 || runs.count > kRoom || runs.full > kRoom) return false;
  return int64_t{runs.Groups()} * kGroupBytes + gathered <= kRoom;
}

}  // namespace

void Run(const Conv2D<int8_t>& conv) {
  const Runs runs = MakeRuns(conv);
  if (FitsBuffer(conv, runs)) {
    RunBuffered(conv, runs);
  } else {
    conv2d_int8::Walk<Products>(conv);
  }
}

}  // namespace reds
