// Four output channels of up to four positions at a time. The one tap of a pointwise convolution is read where it lies.
// Other windows are gathered on the stack, as many at once as fit. Of windows that do not fit, the runs that lie side by
// side in the map and in the weights are read where they lie.
//
// The windows of a group of positions are read again between its blocks of output channels. Once another group is
// written they are not.

#include <cstdint>

#include "kernels/helium/copy.h"
#include "kernels/helium/requantize.h"
#include "kernels/helium/row_fours.h"
#include "kernels/kernels.h"
#include "kernels/taps.h"

namespace reds {
namespace {

using helium::Copy;
using helium::Fill;
using helium::kLanes;
using helium::Requantizer;
using helium::RowFour;

constexpr int32_t kMostPositions = kConvolutionLookbackPositions + 1;
constexpr int32_t kBufferElements = 512;
constexpr int32_t kVector = 16;  // elements that are multiplied at a time

int32_t Smaller(int32_t a, int32_t b) { return a < b ? a : b; }

int32_t VectorsOf(int32_t elements) { return (elements + kVector - 1) / kVector; }

// How the elements of a window lie one behind the other in a column, and which of them are a run of the weights.
struct Column {
  // Where channels are left out, taps are runs, or as far apart in the column as they are in the weights with zeros
  // between them, if that takes no longer.
  __attribute__((noinline)) explicit Column(const Conv2D<int8_t>& conv)
      : taps(conv.window.kernel_height * conv.window.kernel_width), tap_pitch(conv.input_channels) {
    const bool is_contiguous = taps == 1 || conv.input_channels == conv.weights_pitch;
    const int32_t spread = taps * conv.weights_pitch;
    has_gaps = !is_contiguous && spread <= kBufferElements &&
               VectorsOf(spread) <= taps * (VectorsOf(conv.input_channels) + 1);
    if (has_gaps) tap_pitch = conv.weights_pitch;
    elements = taps * tap_pitch;
    run = is_contiguous || has_gaps ? elements : conv.input_channels;
  }

  int32_t taps;
  int32_t tap_pitch;
  int32_t elements;
  int32_t run;
  bool has_gaps;
};

class Convolution {
 public:
  explicit Convolution(const Conv2D<int8_t>& conv)
      : conv_(conv),
        row_pitch_(conv.window.kernel_height * conv.window.kernel_width * conv.weights_pitch),
        column_(conv),
        most_positions_(MostPositions()) {
    if (IsParted()) {
      Fill(conv.input_zero_point, kBufferElements, buffer_);
    } else if (column_.has_gaps) {
      Fill(0, kBufferElements, buffer_);
    }
  }

  void Run() {
    const int32_t positions = conv_.window.output_height * conv_.window.output_width;
    const bool is_backward = IsBackward(conv_);
    for (int32_t left = positions; left > 0; left -= most_positions_) {
      const int32_t count = Smaller(left, most_positions_);
      WritePositions(is_backward ? left - count : positions - left, count);
    }
  }

 private:
  bool IsInPlace() const { return column_.taps == 1; }

  // Whether windows are too large to be gathered.
  bool IsParted() const { return !IsInPlace() && column_.elements > kBufferElements; }

  int32_t MostPositions() const {
    if (IsInPlace()) return kMostPositions;
    return IsParted() ? 1 : Smaller(kMostPositions, kBufferElements / column_.elements);
  }

  void WritePositions(int32_t first, int32_t count) {
    for (int32_t position = 0; position < count; ++position) BeginPosition(first + position, position);
    const int32_t outputs = conv_.output_channels;
    int8_t* const to = conv_.output + first * outputs;
    const int8_t* row = conv_.weights;
    for (int32_t channel = 0; channel < outputs; channel += kLanes) {
      if (column_.run == column_.elements && !IsParted()) {
        WriteChannels(channel, row, count, to + channel);
      } else {
        WriteChannelsByRuns(channel, row, count, to + channel);
      }
      row += kLanes * row_pitch_;
    }
  }

  // Of `count` positions, whose columns are one run.
  __attribute__((noinline)) void WriteChannels(int32_t channel, const int8_t* row, int32_t count,
                                               int8_t* output) const {
    const int32_t outputs = conv_.output_channels;
    Requantizer requantizer(conv_.stage, channel, outputs);
    RowFour rows(row, row_pitch_, outputs - channel, requantizer.Biases());
    const int32_t elements = column_.elements;
    const int8_t* const* const end = columns_ + count;
    for (const int8_t* const* column = columns_; column != end; ++column) {
      requantizer.StoreBiased(rows.Sums(*column, elements), output);
      output += outputs;
    }
  }

  // The same for windows of several runs.
  __attribute__((noinline)) void WriteChannelsByRuns(int32_t channel, const int8_t* row, int32_t count,
                                                     int8_t* output) const {
    for (int32_t position = 0; position < count; ++position) {
      WriteByRuns(channel, row, columns_[position], output);
      output += conv_.output_channels;
    }
  }

  // One position. Functions of their own, so that the frame under the products stays small.
  __attribute__((noinline)) void WriteByRuns(int32_t channel, const int8_t* row, const int8_t* column,
                                             int8_t* output) const {
    RowFour rows(row, row_pitch_, conv_.output_channels - channel, vdupq_n_s32(0));
    if (IsParted()) {
      AddParts(rows);
    } else {
      AddRuns(column, rows);
    }
    Finish(channel, rows, output);
  }

  __attribute__((noinline)) void Finish(int32_t channel, const RowFour& rows, int8_t* output) const {
    Requantizer requantizer(conv_.stage, channel, conv_.output_channels);
    requantizer.Store(rows.SumsSoFar(), output);
  }

  // Adds the products of a column.
  __attribute__((noinline)) void AddRuns(const int8_t* column, RowFour& rows) const {
    const int8_t* const end = column + column_.elements;
    for (; column != end; column += column_.run) rows.Add(column, column_.run, conv_.weights_pitch);
  }

  // The place of a position among those that are written together; `index` counts positions of the output by rows.
  void BeginPosition(int32_t index, int32_t place) {
    const Window& window = conv_.window;
    taps_ = TapsAt(window, index / window.output_width, index % window.output_width);
    if (IsInPlace()) {
      columns_[place] = TapInMap(0, 0);
      return;
    }
    int8_t* const column = buffer_ + place * column_.elements;
    columns_[place] = column;
    if (!IsParted()) Gather(column);
  }

  // Where a tap of the window lies.
  const int8_t* TapInMap(int32_t tap_y, int32_t tap_x) const {
    const Window& window = conv_.window;
    const int32_t y = taps_.rows.origin + tap_y * window.dilation_height;
    const int32_t x = taps_.columns.origin + tap_x * window.dilation_width;
    return conv_.input + (y * window.input_width + x) * conv_.input_channels;
  }

  bool IsRowInside(int32_t tap_y) const { return tap_y >= taps_.rows.first && tap_y < taps_.rows.end; }

  bool IsInside(int32_t tap_y, int32_t tap_x) const {
    return IsRowInside(tap_y) && tap_x >= taps_.columns.first && tap_x < taps_.columns.end;
  }

  void Gather(int8_t* to) const {
    if (conv_.window.dilation_width == 1 && !column_.has_gaps) return GatherRows(to);
    for (int32_t tap_y = 0; tap_y < conv_.window.kernel_height; ++tap_y) to = GatherTaps(tap_y, to);
  }

  // Rows of taps that lie side by side.
  __attribute__((noinline)) void GatherRows(int8_t* to) const {
    const Window& window = conv_.window;
    const TapRange& rows = taps_.rows;
    const int32_t channels = conv_.input_channels;
    const int32_t row = window.kernel_width * channels;
    const int32_t before = taps_.columns.first * channels;
    const int32_t end = taps_.columns.end * channels;
    const int32_t row_step = window.dilation_height * window.input_width * channels;
    const int8_t* from = TapInMap(rows.first, taps_.columns.first);
    to = Fill(conv_.input_zero_point, rows.first * row, to);
    for (int32_t tap_y = rows.first; tap_y < rows.end; ++tap_y) {
      if (before > 0) to = Fill(conv_.input_zero_point, before, to);
      to = Copy(from, end - before, to);
      if (end < row) to = Fill(conv_.input_zero_point, row - end, to);
      from += row_step;
    }
    Fill(conv_.input_zero_point, (window.kernel_height - rows.end) * row, to);
  }

  // A row of taps that do not lie side by side.
  __attribute__((noinline)) int8_t* GatherTaps(int32_t tap_y, int8_t* to) const {
    const int32_t channels = conv_.input_channels;
    for (int32_t tap_x = 0; tap_x < conv_.window.kernel_width; ++tap_x) {
      if (IsInside(tap_y, tap_x)) {
        Copy(TapInMap(tap_y, tap_x), channels, to);
      } else {
        Fill(conv_.input_zero_point, channels, to);
      }
      to += column_.tap_pitch;
    }
    return to;
  }

  // Adds the products of a window that is not gathered.
  __attribute__((noinline)) void AddParts(RowFour& rows) const {
    const Window& window = conv_.window;
    const int32_t gap = conv_.weights_pitch - conv_.input_channels;
    const bool are_rows_runs = window.dilation_width == 1 && gap == 0 && taps_.columns.first == 0 &&
                               taps_.columns.end == window.kernel_width;
    const int32_t taps_of_run = are_rows_runs ? window.kernel_width : 1;
    const int32_t run = taps_of_run * conv_.input_channels;
    for (int32_t tap_y = 0; tap_y < window.kernel_height; ++tap_y) {
      for (int32_t tap_x = 0; tap_x < window.kernel_width; tap_x += taps_of_run) {
        const bool is_inside = IsInside(tap_y, tap_x);
        const int8_t* const from = is_inside ? TapInMap(tap_y, tap_x) : buffer_;
        // The padding in the buffer may be shorter than the run.
        const int32_t most = is_inside ? run : kBufferElements;
        for (int32_t left = run; left > 0; left -= most) {
          rows.Add(from, Smaller(left, most), left > most ? most : left + gap);
        }
      }
    }
  }

  const Conv2D<int8_t>& conv_;
  const int32_t row_pitch_;  // elements of the weights from row to row
  const Column column_;
  const int32_t most_positions_;           // that are written together
  TapsInMap taps_;                         // of the last position that was begun
  const int8_t* columns_[kMostPositions];  // of the positions that are written together
  int8_t buffer_[kBufferElements];         // columns, or padding where windows are parted
};

// Whether the window is the whole map, and what it covers one run of the weights.
bool IsFullyConnected(const Conv2D<int8_t>& conv) {
  const Window& window = conv.window;
  return window.output_height == 1 && window.output_width == 1 && window.padding_top == 0 &&
         window.padding_left == 0 && window.kernel_height == window.input_height &&
         window.kernel_width == window.input_width && window.dilation_height == 1 &&
         window.dilation_width == 1 &&
         (conv.input_channels == conv.weights_pitch || window.kernel_height * window.kernel_width == 1);
}

// Functions of their own, so that their frames do not lie under each other.
__attribute__((noinline)) void RunFullyConnected(const Conv2D<int8_t>& conv) {
  const int32_t taps = conv.window.kernel_height * conv.window.kernel_width;
  Run(FullyConnected<int8_t>{conv.input, conv.weights, conv.output, 1, taps * conv.input_channels,
                             conv.output_channels, taps * conv.weights_pitch, conv.stage});
}

__attribute__((noinline)) void RunConvolution(const Conv2D<int8_t>& conv) { Convolution(conv).Run(); }

}  // namespace

void Run(const Conv2D<int8_t>& conv) {
  if (IsFullyConnected(conv)) {
    RunFullyConnected(conv);
  } else {
    RunConvolution(conv);
  }
}

}  // namespace reds
