// Going on with a running inference in another subnetwork. What that one still needs of the tensors that were computed
// is narrowed, rescaled and brought to its places; before anything moves, all of it is checked.

#include "kernels/kernels.h"
#include "reds/reds.h"
#include "src/context.h"
#include "src/inputs.h"
#include "src/macs.h"
#include "src/rescale.h"

namespace reds {
namespace {

using schema::ElementType;
using schema::Layer;
using schema::Operation;
using schema::Port;
using schema::Tensor;

// Stands for the network's input among the steps that write tensors.
constexpr int32_t kInput = -1;

// Tensors that may be needed at the same time: the inputs of a concatenation, and some that pass it by.
constexpr uint32_t kMaximumMoves = 16;

// The bytes of the arena that a tensor takes.
struct Range {
  uint32_t begin, end;

  static Range Of(const Port& port) { return {port.offset(), port.offset() + port.bytes()}; }

  uint32_t size() const { return end - begin; }
  bool Contains(uint32_t offset) const { return begin <= offset && offset < end; }
  bool Overlaps(const Range& other) const { return begin < other.end && other.begin < end; }
};

// A verified subnetwork's steps and tensors. What a step writes goes by the step's index; it lies in the arena below
// 2^31 and no two that are needed at the same time overlap.
class RunList {
 public:
  RunList(const Context& context, const Steps& steps, const Tensors& tensors)
      : context_(context), steps_(steps), tensors_(tensors) {}

  const Steps& steps() const { return steps_; }
  const Tensors& tensors() const { return tensors_; }
  uint32_t size() const { return steps_.size(); }
  uint32_t layer(uint32_t step) const { return steps_.Get(step)->layer(); }

  const Tensor& Output(int32_t writer) const {
    return *tensors_.Get(steps_.Get(static_cast<uint32_t>(writer))->output());
  }

  uint32_t Positions(int32_t writer) const {
    const Layer& written = *context_.layers->Get(layer(static_cast<uint32_t>(writer)));
    return static_cast<uint32_t>(written.output_height()) * written.output_width();
  }

  uint32_t PositionBytes(int32_t writer) const {
    const bool is_int8 = context_.element_type == ElementType::Int8;
    return Output(writer).channels() * static_cast<uint32_t>(is_int8 ? sizeof(int8_t) : sizeof(float));
  }

  Range Written(int32_t writer) const {
    if (writer == kInput) return Range::Of(*context_.plan->input());
    if (IsInOutputType(writer)) return Range::Of(*context_.plan->output());
    const uint32_t begin = Output(writer).offset();
    return {begin, begin + Positions(writer) * PositionBytes(writer)};
  }

  uint32_t InputCount(uint32_t step) const { return 1 + Further(step).count; }

  // Who wrote an input of a step. Nothing that is written in between lies where it begins: a plan in which something
  // does is refused.
  int32_t WriterOf(uint32_t step, uint32_t input) const {
    const uint32_t tensor = input == 0 ? steps_.Get(step)->input() : Further(step).tensors[input - 1];
    const uint32_t offset = tensors_.Get(tensor)->offset();
    int32_t writer = static_cast<int32_t>(step) - 1;
    while (writer != kInput && !Written(writer).Contains(offset)) --writer;
    return writer;
  }

  uint64_t MacsFrom(uint32_t first) const {
    uint64_t macs = 0;
    for (uint32_t step = first; step < size(); ++step) {
      const uint32_t input_channels = tensors_.Get(steps_.Get(step)->input())->channels();
      macs += MacsOf(*context_.layers->Get(layer(step)), input_channels,
                     Output(static_cast<int32_t>(step)).channels());
    }
    return macs;
  }

  // Whether a step from `first` on reads what an earlier one wrote.
  bool ReadsFrom(uint32_t first, int32_t writer) const {
    for (uint32_t step = first; step < size(); ++step) {
      for (uint32_t input = 0; input < InputCount(step); ++input) {
        if (WriterOf(step, input) == writer) return true;
      }
    }
    return false;
  }

 private:
  // Whether a step writes the network's output, in a type of its own.
  bool IsInOutputType(int32_t writer) const {
    return context_.layers->Get(layer(static_cast<uint32_t>(writer)))->operation() == Operation::Dequantize;
  }

  FurtherInputs Further(uint32_t step) const {
    return FurtherInputsOf(*steps_.Get(step), *context_.layers->Get(layer(step)), context_.constants);
  }

  const Context& context_;
  const Steps& steps_;
  const Tensors& tensors_;
};

// A tensor on its way from the subnetwork that runs to another.
struct Move {
  int32_t writer;
  uint32_t from;
  uint32_t to;
  uint32_t between;  // where it waits, narrow already, until it is brought up to its place
};

// Steps that two run lists begin with alike, of the first so many of one.
uint32_t CommonSteps(const RunList& running, uint32_t done, const RunList& wanted) {
  uint32_t common = 0;
  while (common < done && common < wanted.size() && running.layer(common) == wanted.layer(common)) ++common;
  return common;
}

class Change {
 public:
  // An inference has begun, and there is such a subnetwork.
  Change(Context& context, uint32_t subnetwork)
      : Change(context, subnetwork, *context.subnetworks->Get(subnetwork)) {}

  uint64_t RemainingMacs() const { return wanted_.MacsFrom(next_); }

  // Finds what has to be moved. False where the inference cannot go on there.
  bool Prepare() {
    if (next_ == 0 || next_ == wanted_.size() || !CanRescale() || BatchOf(*context_.plan) > 1) return false;
    for (uint32_t step = next_; step < wanted_.size(); ++step) {
      for (uint32_t input = 0; input < wanted_.InputCount(step); ++input) {
        if (!Need(wanted_.WriterOf(step, input))) return false;
      }
    }
    return true;
  }

  // The tensors lie in the same order in both subnetworks, mostly. Then each is first narrowed to the lower one of its
  // two places, from the lowest to the highest, and then brought up, from the highest to the lowest: no place is
  // overwritten before its tensor has left.
  void Run() {
    const bool in_order = IsInOrder();
    uint32_t end = 0;
    for (Move& move : *this) {
      move.between = in_order ? Smaller(move.from, move.to) : end;
      Narrow(move);
      end = move.between + Size(move);
    }
    if (!in_order) Sort();
    for (uint32_t left = count_; left > 0; --left) BringUp(moves_[left - 1]);
    context_.running = subnetwork_;
    context_.steps = &wanted_.steps();
    context_.tensors = &wanted_.tensors();
    context_.first_step = next_;
    context_.next_step = next_;
    context_.samples_left = 1;
  }

 private:
  Change(Context& context, uint32_t subnetwork, const schema::Subnetwork& wanted)
      : context_(context),
        running_(context, *context.steps, *context.tensors),
        wanted_(context, *wanted.steps(), *wanted.tensors()),
        subnetwork_(subnetwork),
        next_(CommonSteps(running_, context.next_step, wanted_)) {}

  Move* begin() { return moves_; }
  Move* end() { return moves_ + count_; }

  static uint32_t Smaller(uint32_t a, uint32_t b) { return a < b ? a : b; }

  int32_t Size(const Move& move) const { return static_cast<int32_t>(wanted_.Written(move.writer).size()); }

  // Notes a tensor that a later step reads, in the order of places.
  bool Need(int32_t writer) {
    if (writer >= static_cast<int32_t>(next_)) return true;
    for (const Move& move : *this) {
      if (move.writer == writer) return true;
    }
    if (count_ == kMaximumMoves || !IsThere(writer) || !IsPrefix(writer)) return false;
    const Move needed = {writer, running_.Written(writer).begin, wanted_.Written(writer).begin, 0};
    uint32_t place = count_++;
    for (; place > 0 && moves_[place - 1].from > needed.from; --place) moves_[place] = moves_[place - 1];
    moves_[place] = needed;
    return true;
  }

  // Whether a tensor of the running subnetwork is complete in the arena. One from before an earlier change is if it
  // was needed then.
  bool IsThere(int32_t writer) const {
    const int32_t first = static_cast<int32_t>(context_.first_step);
    if (first > 0 && writer < first && !running_.ReadsFrom(context_.first_step, writer)) return false;
    const Range range = running_.Written(writer);
    const int32_t done = static_cast<int32_t>(context_.next_step);
    for (int32_t step = writer < first ? first : writer + 1; step < done; ++step) {
      if (running_.Written(step).Overlaps(range)) return false;
    }
    return true;
  }

  bool IsPrefix(int32_t writer) const {
    return writer == kInput || wanted_.Output(writer).channels() <= running_.Output(writer).channels();
  }

  bool IsInOrder() const {
    for (uint32_t index = 1; index < count_; ++index) {
      if (moves_[index].to < moves_[index - 1].to) return false;
    }
    return true;
  }

  // Tables rescale int8, and float32 has no scales.
  bool CanRescale() const {
#ifdef REDS_INT8_ONLY
    return true;
#else
    return context_.element_type != ElementType::Int16;
#endif
  }

  bool IsRescaled(int32_t writer) const {
    return writer != kInput && context_.element_type == ElementType::Int8 &&
           !HaveOneQuantization(running_.Output(writer), wanted_.Output(writer));
  }

  void Narrow(const Move& move) const {
    if (IsRescaled(move.writer)) return NarrowRescaled(move);
    if (move.between == move.from && Size(move) == static_cast<int32_t>(running_.Written(move.writer).size()))
      return;
    RunNarrow(move, nullptr);
  }

  // In a frame of its own, for the table.
  __attribute__((noinline)) void NarrowRescaled(const Move& move) const {
    int8_t table[kRescaled];
    FillRescaled(running_.Output(move.writer), wanted_.Output(move.writer), table);
    RunNarrow(move, table);
  }

  void RunNarrow(const Move& move, const int8_t* table) const {
    const uint8_t* input = context_.arena + move.from;
    uint8_t* output = context_.arena + move.between;
    if (move.writer == kInput) return reds::Run(NarrowChannels{input, output, 1, Size(move), 0, table});
    reds::Run(NarrowChannels{input, output, static_cast<int32_t>(running_.Positions(move.writer)),
                             static_cast<int32_t>(wanted_.PositionBytes(move.writer)),
                             static_cast<int32_t>(running_.PositionBytes(move.writer)), table});
  }

  // Brings tensors that wait side by side into the order of their places.
  void Sort() {
    for (uint32_t sorted = 0; sorted < count_; ++sorted) {
      uint32_t lowest = sorted;
      for (uint32_t index = sorted + 1; index < count_; ++index) {
        if (moves_[index].to < moves_[lowest].to) lowest = index;
      }
      BringBefore(sorted, lowest);
    }
  }

  void BringBefore(uint32_t place, uint32_t later) {
    Move moved = moves_[later];
    const uint32_t size = static_cast<uint32_t>(Size(moved));
    Reverse(moves_[place].between, moved.between);
    Reverse(moved.between, moved.between + size);
    Reverse(moves_[place].between, moved.between + size);
    moved.between = moves_[place].between;
    for (uint32_t index = later; index > place; --index) {
      moves_[index] = moves_[index - 1];
      moves_[index].between += size;
    }
    moves_[place] = moved;
  }

  void Reverse(uint32_t first, uint32_t last) const {
    for (; first < last; ++first) {
      const uint8_t element = context_.arena[first];
      context_.arena[first] = context_.arena[--last];
      context_.arena[last] = element;
    }
  }

  void BringUp(const Move& move) const {
    if (move.between == move.to) return;
    reds::Run(MoveUp{context_.arena + move.between, context_.arena + move.to, Size(move)});
  }

  Context& context_;
  RunList running_;
  RunList wanted_;
  uint32_t subnetwork_;
  uint32_t next_;
  uint32_t count_ = 0;
  Move moves_[kMaximumMoves];
};

}  // namespace
}  // namespace reds

reds_status reds_continue_in(reds_context* context, uint32_t subnetwork) {
  if (context == nullptr) return REDS_ERROR_ARGUMENT;
  reds::Context& self = reds::Private(context);
  if (subnetwork >= self.subnetworks->size()) return REDS_ERROR_ARGUMENT;
  if (self.subnetworks->Get(subnetwork)->arena_bytes() > self.arena_bytes) return REDS_ERROR_ARENA;
  if (self.next_step == 0) return REDS_ERROR_CONTINUE;
  reds::Change change(self, subnetwork);
  if (!change.Prepare()) return REDS_ERROR_CONTINUE;
  change.Run();
  return REDS_OK;
}

reds_status reds_continue_within(reds_context* context, uint32_t macs) {
  if (context == nullptr) return REDS_ERROR_ARGUMENT;
  reds::Context& self = reds::Private(context);
  if (self.next_step == 0) return REDS_ERROR_CONTINUE;
  for (const reds::schema::Rank* rank : *self.ranking) {
    if (rank->arena_bytes() > self.arena_bytes) continue;
    reds::Change change(self, rank->subnetwork());
    if (change.RemainingMacs() > macs || !change.Prepare()) continue;
    change.Run();
    return REDS_OK;
  }
  return REDS_ERROR_BUDGET;
}
