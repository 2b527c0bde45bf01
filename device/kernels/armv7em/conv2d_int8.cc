// Two positions of the output at a time: their windows are gathered into a buffer on the stack, widened to
// int16, and multiplied with two rows of weights at a time, which stay where they are. A product of two rows
// and two columns loads every word for two uses. Windows that do not fit the buffer are walked where they lie.

#include "kernels/conv2d_int8.h"

#include <cstdint>

#include "kernels/armv7em/dual_products.h"
#include "kernels/armv7em/pointwise_int8.h"
#include "kernels/armv7em/requantize.h"
#include "kernels/fixed_point.h"
#include "kernels/kernels.h"
#include "kernels/taps.h"

namespace reds {
namespace {

using armv7em::kGroup;

constexpr int32_t kBufferWords = 188;  // all frames together stay below 1 kB
constexpr int32_t kColumns = 2;
constexpr int32_t kGroupWords = 2;                 // of one widened column
constexpr int32_t kStep = kColumns * kGroupWords;  // words from group to group of one column
constexpr int32_t kGroupBytes = kStep * sizeof(uint32_t);

// The elements of a window come in runs that are contiguous in the weights: the whole window where no input
// channel is left out, otherwise its taps. A run's groups are its full words and, where elements remain, the
// word that ends with the run, in which what came before counts as 0.
struct Runs {
  bool is_gathered;  // whether they lie together in the map as in the weights
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
  return {armv7em::Pointwise::IsPointwise(conv.window),
          contiguous ? 1 : taps,
          elements,
          elements / kGroup,
          elements % kGroup,
          conv.weights_pitch,
          taps * conv.weights_pitch};
}

// The window of one position, element by element as in the weights.
class Gatherer {
 public:
  explicit Gatherer(const Conv2D<int8_t>& conv) : conv_(conv) {}

  __attribute__((noinline)) void Gather(int32_t y, int32_t x, int8_t* to) const {
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
    if (columns.end - columns.first != window.kernel_width) {
      Fill(to, columns.first * channels);
      Fill(to + columns.end * channels, (window.kernel_width - columns.end) * channels);
    }
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
    for (; count > 0; --count) *to++ = static_cast<int8_t>(conv_.input_zero_point);
  }

  static void CopyWord(const int8_t* from, int8_t* to) {
    const uint32_t word = armv7em::LoadWord(from);
    memcpy(to, &word, sizeof word);
  }

  // What remains after the full words is copied with the word that ends with it.
  static void Copy(const int8_t* from, int32_t count, int8_t* to) {
    if (count < kGroup) {
      for (; count > 0; --count) *to++ = *from++;
      return;
    }
    for (; count > kGroup; count -= kGroup) {
      CopyWord(from, to);
      from += kGroup;
      to += kGroup;
    }
    CopyWord(from + count - kGroup, to + count - kGroup);
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
  for (int32_t left = runs.count;;) {
    const int8_t* run0 = row0;
    const int8_t* run1 = row1;
    armv7em::AddProducts2x2(run0, run1, columns, runs.full, sums);
    if (runs.remainder != 0) {
      const int32_t back = kGroup - runs.remainder;
      armv7em::AddGroup2x2(run0 - back, run1 - back, columns, sums);
    }
    if (--left == 0) return;
    row0 += runs.pitch;
    row1 += runs.pitch;
  }
}

// All channels of two positions of the output, which may be the same. An odd last channel is computed twice.
__attribute__((noinline)) void WriteColumns(const OutputStage<int8_t>& stage, const Runs& runs,
                                            const int8_t* row, int32_t channels, const uint32_t* columns,
                                            int8_t* output0, int8_t* output1) {
  int32_t channel = 0;
  do {
    const int32_t next = channel + 1 < channels ? 1 : 0;
    const int32_t bias0 = stage.bias[channel];
    const int32_t bias1 = stage.bias[channel + next];
    armv7em::Sums2x2 sums = {bias0, bias0, bias1, bias1};
    AddRuns(runs, row, row + next * runs.row_pitch, columns, sums);
    const armv7em::Scale scale0 = armv7em::MakeScale(stage.multiplier[channel], stage.shift[channel]);
    const armv7em::Scale scale1 =
        armv7em::MakeScale(stage.multiplier[channel + next], stage.shift[channel + next]);
    int32_t values[4] = {armv7em::Requantized(sums.s00, scale0, stage.zero_point),
                         armv7em::Requantized(sums.s01, scale0, stage.zero_point),
                         armv7em::Requantized(sums.s10, scale1, stage.zero_point),
                         armv7em::Requantized(sums.s11, scale1, stage.zero_point)};
    armv7em::ClampFour(stage.clamp, values);
    output0[channel] = static_cast<int8_t>(values[0]);
    output1[channel] = static_cast<int8_t>(values[1]);
    output0[channel + next] = static_cast<int8_t>(values[2]);
    output1[channel + next] = static_cast<int8_t>(values[3]);
    row += 2 * runs.row_pitch;
    channel += 2;
  } while (channel < channels);
}

struct Products {
  static void Add(const int8_t* input, const int8_t* weights, int32_t row_pitch, int32_t count,
                  int32_t (&sums)[4]) {
    armv7em::AddProducts4Rows(input, weights, row_pitch, count, sums);
  }

  static void Add(const int8_t* input, const int8_t* weights, int32_t, int32_t count, int32_t (&sums)[1]) {
    armv7em::AddProducts1Row(input, weights, count, sums[0]);
  }
};

void RunBuffered(const Conv2D<int8_t>& conv, const Runs& runs) {
  alignas(8) uint32_t buffer[kBufferWords];
  int8_t* const gathered = reinterpret_cast<int8_t*>(buffer + runs.Groups() * kStep);
  const Gatherer gatherer(conv);
  const int32_t width = conv.window.output_width;
  const int32_t positions = conv.window.output_height * width;
  const bool is_backward = IsBackward(conv);
  for (int32_t left = positions; left > 0; left -= kColumns) {
    // An odd last position fills both columns.
    const int32_t next = left > 1 ? 1 : 0;
    const int32_t first = is_backward ? left - 1 - next : positions - left;
    for (int32_t column = 0; column < kColumns; ++column) {
      const int32_t position = first + column * next;
      const int8_t* elements = gathered;
      if (runs.is_gathered) {
        elements = conv.input + position * conv.input_channels;
      } else {
        gatherer.Gather(position / width, position % width, gathered);
      }
      Widen(runs, elements, buffer + column * kGroupWords);
    }
    int8_t* const output = conv.output + first * conv.output_channels;
    WriteColumns(conv.stage, runs, conv.weights, conv.output_channels, buffer, output,
                 output + next * conv.output_channels);
  }
}

// A function of its own, so that its frame does not lie under the buffer.
__attribute__((noinline)) void RunUnbuffered(const Conv2D<int8_t>& conv) {
  conv2d_int8::Walk<Products>(conv);
}

// Whether both widened columns and one gathered window fit the buffer, and no run is shorter than a word.
bool FitsBuffer(const Runs& runs) {
  constexpr int32_t kRoom = kBufferWords * static_cast<int32_t>(sizeof(uint32_t));
  if (runs.full == 0 || runs.count > kRoom || runs.full > kRoom) return false;
  const int32_t gathered = runs.is_gathered ? 0 : runs.count * runs.elements;
  return int64_t{runs.Groups()} * kGroupBytes + gathered <= kRoom;
}

}  // namespace

void Run(const Conv2D<int8_t>& conv) {
  if (armv7em::Pointwise::Supports(conv)) return armv7em::Pointwise::Run(conv);
  const Runs runs = MakeRuns(conv);
  if (FitsBuffer(runs) && armv7em::HaveScales(conv.stage, conv.output_channels)) {
    RunBuffered(conv, runs);
  } else {
    RunUnbuffered(conv);
  }
}

}  // namespace reds
