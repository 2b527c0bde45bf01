// Two positions of the output at a time, the columns: their windows are gathered into a buffer on the stack, widened
// to int16, and multiplied with two rows of weights at a time, which stay where they are. What does not fit the buffer
// is gathered part by part while the sums wait in the buffer, and again for every block of output channels.
//
// A pair's windows are read again between its blocks of output channels. Once another pair is written they are not.
//
// Windows that fit the stack are not parted: small ones that are one run of the weights are taken four at a time
// (column_fours.h), others of whole groups of channels two at a time (column_twos.h).

#include <cstdint>

#include "kernels/armv7em/column_fours.h"
#include "kernels/armv7em/column_pairs.h"
#include "kernels/armv7em/column_twos.h"
#include "kernels/armv7em/copy_rows.h"
#include "kernels/armv7em/dual_products.h"
#include "kernels/armv7em/requantize.h"
#include "kernels/fixed_point.h"
#include "kernels/kernels.h"
#include "kernels/taps.h"

namespace reds {
namespace {

using armv7em::Copy;
using armv7em::GroupsOf;
using armv7em::kColumns;
using armv7em::kGroup;
using armv7em::kGroupWords;
using armv7em::kPairWords;
using armv7em::MissingTo;
using armv7em::StoreWord;
using armv7em::Widen;
using armv7em::WidenHere;

constexpr int32_t kBufferWords = 128;
// Output channels of a block, where the sums leave room for the whole window, and where they do not.
constexpr int32_t kFewChannels = 8;
constexpr int32_t kMostChannels = 32;

int32_t Smaller(int32_t a, int32_t b) { return a < b ? a : b; }

// Part of a window: elements [first, end) of its rows of taps, one after the other.
struct Part {
  int32_t first;
  int32_t end;
};

// How windows are cut to parts. Elements that are contiguous in the weights are a run: a whole part where no input
// channel is left out, otherwise a tap or what a part has of it. A run is preceded by as many zeros as it needs to be
// whole groups.
class Cut {
 public:
  __attribute__((noinline)) explicit Cut(const Conv2D<int8_t>& conv)
      : elements_(conv.window.kernel_height * conv.window.kernel_width * conv.input_channels),
        is_contiguous_(conv.input_channels == conv.weights_pitch || conv.input_channels == elements_),
        are_whole_groups_(conv.input_channels % kGroup == 0),
        is_by_tap_(conv.window.dilation_width != 1 || AreTapsRuns()) {
    const int32_t channels = conv.output_channels + conv.output_channels % 2;
    const int32_t tap_groups = GroupsOf(conv.input_channels);
    const int32_t groups =
        is_contiguous_ ? GroupsOf(elements_) : elements_ / conv.input_channels * tap_groups;
    // Elements that are not whole groups are first gathered as they are, behind the groups.
    const int32_t words = are_whole_groups_ ? kPairWords : kPairWords + 1;
    const int32_t few = Smaller(channels, kFewChannels);
    if (groups <= (kBufferWords - kColumns * few) / words) {
      const int32_t left = kBufferWords - groups * words;
      block_ = Smaller(channels, left / (kColumns * few) * few);
      most_elements_ = elements_;
      return;
    }
    block_ = Smaller(channels, kMostChannels);
    const int32_t fitting = (kBufferWords - kColumns * block_) / words;
    most_elements_ = is_contiguous_ || tap_groups > fitting ? fitting * kGroup
                                                            : fitting / tap_groups * conv.input_channels;
  }

  // The part of a window that begins there.
  Part PartAt(const Conv2D<int8_t>& conv, int32_t first) const {
    const int32_t channels = conv.input_channels;
    const bool splits_taps = !is_contiguous_ && most_elements_ < channels;
    const int32_t limit = splits_taps ? (first / channels + 1) * channels : elements_;
    return {first, Smaller(first + most_elements_, limit)};
  }

  // Whether the part ends with the window.
  bool IsLast(const Part& part) const { return part.end == elements_; }

  // Where the elements of a part lie in the weights.
  armv7em::RowPart InWeights(const Conv2D<int8_t>& conv, const Part& part) const {
    const int32_t channels = conv.input_channels;
    const int32_t pitch = conv.weights_pitch;
    const int32_t elements = part.end - part.first;
    const int32_t run = is_contiguous_ || elements < channels ? elements : channels;
    const int32_t tap = part.first / channels;
    const int32_t offset = part.first + tap * (pitch - channels);
    const int32_t row_pitch = conv.window.kernel_height * conv.window.kernel_width * pitch;
    return {conv.weights + offset - MissingTo(run), row_pitch, pitch, elements / run, GroupsOf(run)};
  }

  // Output channels that are computed together, an even number.
  int32_t Block() const { return block_; }

  // Whether the whole window is one part.
  bool IsWhole() const { return most_elements_ == elements_; }

  bool AreWholeGroups() const { return are_whole_groups_; }

  // Whether taps do not lie next to each other, in the map or as runs of their own.
  bool IsByTap() const { return is_by_tap_; }

  bool AreTapsRuns() const { return !is_contiguous_ && !are_whole_groups_; }

 private:
  int32_t elements_;       // of a window
  int32_t most_elements_;  // of a part
  int32_t block_;
  bool is_contiguous_;
  bool are_whole_groups_;
  bool is_by_tap_;
};

int8_t* Fill(int32_t element, int32_t count, int8_t* to) {
  for (; count > 0; --count) *to++ = static_cast<int8_t>(element);
  return to;
}

// A position of the output.
struct Position {
  int32_t y;
  int32_t x;
};

class Convolution {
 public:
  explicit Convolution(const Conv2D<int8_t>& conv)
      : conv_(conv),
        row_step_(conv.window.dilation_height * conv.window.input_width * conv.input_channels),
        last_whole_{
            LastWhole(conv.window.input_height, conv.window.kernel_height, conv.window.dilation_height),
            LastWhole(conv.window.input_width, conv.window.kernel_width, conv.window.dilation_width)},
        cut_(conv),
        have_scales_(armv7em::HaveScales(conv.stage, conv.output_channels)),
        positions_() {
    BeginPart(0);
  }

  void Run() {
    const int32_t channels = conv_.output_channels;
    const int32_t positions = conv_.window.output_height * conv_.window.output_width;
    const bool is_backward = IsBackward(conv_);
    for (int32_t left = positions; left > 0; left -= kColumns) {
      // An odd last position fills both columns.
      const int32_t next = left > 1 ? 1 : 0;
      const int32_t first = is_backward ? left - 1 - next : positions - left;
      positions_[0] = first;
      positions_[1] = first + next;
      int8_t* const output = conv_.output + first * channels;
      WritePair(output, output + next * channels);
    }
  }

 private:
  // Where the last window begins that has no tap behind the map.
  static int32_t LastWhole(int32_t input, int32_t kernel, int32_t dilation) {
    return input - (kernel - 1) * dilation - 1;
  }

  Position PositionAt(int32_t index) const {
    return {index / conv_.window.output_width, index % conv_.window.output_width};
  }

  void WritePair(int8_t* output0, int8_t* output1) {
    const int32_t block = cut_.Block();
    if (cut_.IsWhole()) FillColumns();
    for (int32_t channel = 0; channel < conv_.output_channels; channel += block) {
      const int32_t count = Smaller(block, conv_.output_channels - channel);
      const int32_t* const bias = conv_.stage.bias + channel;
      if (cut_.IsWhole()) {
        rows_.AddProducts(channel, count, Columns(), bias, buffer_);
      } else {
        AddParts(channel, count, bias);
      }
      armv7em::FinishColumns(conv_.stage, have_scales_, channel, channel + count, buffer_, output0, output1);
    }
  }

  void AddParts(int32_t channel, int32_t count, const int32_t* bias) {
    part_.end = 0;
    do {
      BeginPart(part_.end);
      FillColumns();
      rows_.AddProducts(channel, count, Columns(), bias, buffer_);
      bias = nullptr;
    } while (!cut_.IsLast(part_));
  }

  __attribute__((noinline)) void BeginPart(int32_t first) {
    part_ = cut_.PartAt(conv_, first);
    rows_ = cut_.InWeights(conv_, part_);
  }

  uint32_t* Columns() { return reinterpret_cast<uint32_t*>(buffer_ + kColumns * cut_.Block()); }

  // Gathers and widens the part of both windows.
  void FillColumns() {
    uint32_t* const columns = Columns();
    int8_t* const elements = reinterpret_cast<int8_t*>(columns + rows_.Groups() * kPairWords);
    FillColumn(positions_[0], elements, columns);
    FillColumn(positions_[1], elements, columns + kGroupWords);
  }

  // At a position of the output. `elements` is where those are gathered that are not whole groups.
  __attribute__((noinline)) void FillColumn(int32_t index, int8_t* elements, uint32_t* to) const {
    const Window& window = conv_.window;
    const Position position = PositionAt(index);
    const int32_t y = position.y * window.stride_height - window.padding_top;
    const int32_t x = position.x * window.stride_width - window.padding_left;
    if (y >= 0 && y <= last_whole_.y && x >= 0 && x <= last_whole_.x && !cut_.IsByTap()) {
      return FillColumnByRows(conv_.input + (y * window.input_width + x) * conv_.input_channels, elements,
                              to);
    }
    FillColumnByPieces(index, elements, to);
  }

  // A part of a window without padding whose tap (0, 0) lies at `row`.
  __attribute__((noinline)) void FillColumnByRows(const int8_t* row, int8_t* elements, uint32_t* to) const {
    const int32_t row_elements = conv_.window.kernel_width * conv_.input_channels;
    const int32_t tap_y = part_.first / row_elements;
    row += tap_y * row_step_;
    int32_t first = part_.first - tap_y * row_elements;
    int32_t left = part_.end - part_.first;
    if (cut_.AreWholeGroups()) {
      for (; left > 0; left -= row_elements - first, first = 0) {
        to = WidenHere(row + first, Smaller(left, row_elements - first), to);
        row += row_step_;
      }
      return;
    }
    int8_t* end = elements + rows_.Groups() * kGroup - left;
    StoreWord(0, elements);
    for (; left > 0; left -= row_elements - first, first = 0) {
      end = Copy(row + first, Smaller(left, row_elements - first), end);
      row += row_step_;
    }
    Widen(elements, rows_.Groups() * kGroup, to);
  }

  // A part of any window, in pieces that are contiguous in the map.
  __attribute__((noinline)) void FillColumnByPieces(int32_t index, int8_t* elements, uint32_t* to) const {
    const Window& window = conv_.window;
    const Position position = PositionAt(index);
    const int32_t channels = conv_.input_channels;
    const TapsInMap taps = TapsAt(window, position.y, position.x);
    const TapRange& rows = taps.rows;
    const TapRange& columns = taps.columns;
    const int32_t row_elements = window.kernel_width * channels;
    int32_t tap_y = part_.first / row_elements;
    int32_t first = part_.first - tap_y * row_elements;
    int32_t left = part_.end - part_.first;
    // Where tap 0 of a row lies, inside the map or not.
    const int8_t* row =
        conv_.input + (rows.origin * window.input_width + columns.origin) * channels + tap_y * row_step_;
    void* end = elements;
    if (cut_.AreWholeGroups()) end = to;
    if (!cut_.AreTapsRuns()) end = AppendEqual(0, MissingTo(left), end);
    while (left > 0) {
      int32_t piece_end = Smaller(row_elements, first + left);
      const int8_t* from = row;
      if (cut_.IsByTap()) {
        const int32_t tap = first / channels;
        piece_end = Smaller(piece_end, (tap + 1) * channels);
        from += tap * (window.dilation_width - 1) * channels;
        if (cut_.AreTapsRuns()) end = AppendEqual(0, MissingTo(piece_end - first), end);
      }
      left -= piece_end - first;
      if (tap_y >= rows.first && tap_y < rows.end) {
        const int32_t inside = Clamped(columns.first * channels, first, piece_end);
        const int32_t inside_end = Clamped(columns.end * channels, inside, piece_end);
        end = AppendEqual(conv_.input_zero_point, inside - first, end);
        end = Append(from + inside, inside_end - inside, end);
        first = inside_end;
      }
      end = AppendEqual(conv_.input_zero_point, piece_end - first, end);
      first = piece_end;
      if (first == row_elements) {
        first = 0;
        row += row_step_;
        ++tap_y;
      }
    }
    if (!cut_.AreWholeGroups()) Widen(elements, rows_.Groups() * kGroup, to);
  }

  // Puts elements where a column is gathered, widened if they are whole groups. Returns where the next ones go.
  __attribute__((noinline)) void* Append(const int8_t* from, int32_t count, void* to) const {
    if (cut_.AreWholeGroups()) return Widen(from, count, static_cast<uint32_t*>(to));
    return Copy(from, count, static_cast<int8_t*>(to));
  }

  __attribute__((noinline)) void* AppendEqual(int32_t element, int32_t count, void* to) const {
    if (!cut_.AreWholeGroups()) return Fill(element, count, static_cast<int8_t*>(to));
    const uint32_t half = static_cast<uint16_t>(element);
    uint32_t* group = static_cast<uint32_t*>(to);
    for (; count > 0; count -= kGroup) {
      group[0] = group[1] = half << 16 | half;
      group += kPairWords;
    }
    return group;
  }

  const Conv2D<int8_t>& conv_;
  const int32_t row_step_;     // elements of the input from row to row of a window
  const Position last_whole_;  // of the input: where the last windows begin that have no tap behind it
  const Cut cut_;
  const bool have_scales_;
  Part part_;
  armv7em::RowPart rows_;         // the part in the weights
  int32_t positions_[kColumns];   // of the output, counted by rows
  int32_t buffer_[kBufferWords];  // sums, then columns
};

// Whether the window is the whole map, and what it covers one run of the weights.
bool IsFullyConnected(const Conv2D<int8_t>& conv) {
  const Window& window = conv.window;
  return window.output_height == 1 && window.output_width == 1 && window.padding_top == 0 &&
         window.padding_left == 0 && window.kernel_height == window.input_height &&
         window.kernel_width == window.input_width &&
         (conv.input_channels == conv.weights_pitch || window.kernel_height * window.kernel_width == 1);
}

// Functions of their own, so that their frames do not lie under each other.
__attribute__((noinline)) void RunFullyConnected(const Conv2D<int8_t>& conv) {
  const int32_t taps = conv.window.kernel_height * conv.window.kernel_width;
  Run(FullyConnected<int8_t>{conv.input, conv.weights, conv.output, 1, taps * conv.input_channels,
                             conv.output_channels, taps * conv.weights_pitch, conv.stage});
}

__attribute__((noinline)) void RunFours(const Conv2D<int8_t>& conv) { armv7em::ColumnFours(conv).Run(); }

__attribute__((noinline)) void RunTwos(const Conv2D<int8_t>& conv) { armv7em::ColumnTwos(conv).Run(); }

__attribute__((noinline)) void RunPairs(const Conv2D<int8_t>& conv) { Convolution(conv).Run(); }

}  // namespace

void Run(const Conv2D<int8_t>& conv) {
  if (IsFullyConnected(conv)) return RunFullyConnected(conv);
  if (armv7em::HaveScales(conv.stage, conv.output_channels)) {
    if (armv7em::ColumnFours::Supports(conv)) return RunFours(conv);
    if (armv7em::ColumnTwos::Supports(conv)) return RunTwos(conv);
  }
  RunPairs(conv);
}

}  // namespace reds
