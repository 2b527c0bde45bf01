#include "src/plan_rules.h"

#include "reds/conventions.h"
#include "src/constants.h"
#include "src/inputs.h"
#include "src/overlap.h"

namespace reds {
namespace {

using schema::ElementType;
using schema::Layer;
using schema::Operation;
using schema::Port;
using schema::PortType;
using schema::Step;
using schema::Subnetwork;
using schema::Tensor;

// Sizes and offsets are below 2^31, so that kernels can count in int32_t.
constexpr uint32_t kMaximumBytes = INT32_MAX;

// The model and the plan, while they are checked, with what is asked for at every step.
struct Checked {
  const tflite::Model& model;
  const schema::Plan& plan;
  const Buffers* buffers;
  const Layers* layers;
  const Words* constants;
  ElementType element_type;
  uint32_t batch = 1;

  Checked(const tflite::Model& checked_model, const schema::Plan& checked_plan)
      : model(checked_model),
        plan(checked_plan),
        buffers(model.buffers()),
        layers(plan.layers()),
        constants(plan.constants()),
        element_type(plan.element_type()) {}

  bool is_int8() const { return element_type == ElementType::Int8; }
#ifdef REDS_INT8_ONLY
  bool is_int16() const { return false; }
#else
  bool is_int16() const { return element_type == ElementType::Int16; }
#endif
  bool is_quantized() const { return is_int8() || is_int16(); }
  uint32_t weight_bytes() const { return is_quantized() ? sizeof(int8_t) : sizeof(float); }

  uint32_t element_bytes() const {
    if (is_int16()) return sizeof(int16_t);
    return is_int8() ? sizeof(int8_t) : sizeof(float);
  }

  bool IsAllowedZeroPoint(int32_t zero_point) const {
    if (is_int16()) return zero_point == 0;
    return !is_int8() || (zero_point >= INT8_MIN && zero_point <= INT8_MAX);
  }

  uint32_t ElementBytes(const Port& port) const {
    if (port.type() == PortType::OfPlan) return element_bytes();
    return port.type() == PortType::UInt8 ? sizeof(uint8_t) : sizeof(float);
  }
};

template <typename Vector>
bool HasElements(const Vector* vector) {
  return vector != nullptr && vector->size() > 0;
}

// Of sizes below 2^16.
uint32_t MapArea(uint32_t height, uint32_t width) { return height * width; }
uint32_t InputArea(const Layer& layer) { return MapArea(layer.input_height(), layer.input_width()); }
uint32_t OutputArea(const Layer& layer) { return MapArea(layer.output_height(), layer.output_width()); }
uint32_t KernelArea(const Layer& layer) { return MapArea(layer.kernel_height(), layer.kernel_width()); }

// ---- Layers ----

// One direction of a sliding window.
struct Axis {
  uint32_t input, output, kernel, stride, dilation, padding;

  // The first window ends in the map and the last one begins in it, so every window without dilation meets
  // the map.
  bool IsConsistent() const {
    return kernel > 0 && stride > 0 && dilation > 0 && padding <= (kernel - 1) * dilation &&
           (output - 1) * stride < input + padding;
  }
};

bool WindowIsConsistent(const Layer& layer) {
  const Axis vertical = {layer.input_height(),  layer.output_height(),   layer.kernel_height(),
                         layer.stride_height(), layer.dilation_height(), layer.padding_top()};
  const Axis horizontal = {layer.input_width(),  layer.output_width(),   layer.kernel_width(),
                           layer.stride_width(), layer.dilation_width(), layer.padding_left()};
  return vertical.IsConsistent() && horizontal.IsConsistent();
}

// Taps that reach outside of the maps are left out, so that any window does.
bool TransposedWindowIsConsistent(const Layer& layer) {
  return KernelArea(layer) > 0 && layer.stride_height() > 0 && layer.stride_width() > 0 &&
         layer.dilation_height() == 1 && layer.dilation_width() == 1;
}

// The map lies inside the padded one.
bool IsPadded(const Layer& layer) {
  return layer.input_height() + layer.padding_top() <= layer.output_height() &&
         layer.input_width() + layer.padding_left() <= layer.output_width();
}

// The map grows by a whole factor, its stride, in each direction.
bool IsRepeated(const Layer& layer) {
  return layer.output_height() == layer.input_height() * layer.stride_height() &&
         layer.output_width() == layer.input_width() * layer.stride_width();
}

// Without strides, it has any size.
bool IsResized(const Layer& layer) {
  return IsRepeated(layer) || (layer.stride_height() == 0 && layer.stride_width() == 0);
}

// The part of a map behind `padding` rows and columns and `kernel_width` channels.
bool IsSlice(const Layer& layer) {
  return layer.output_height() + layer.padding_top() <= layer.input_height() &&
         layer.output_width() + layer.padding_left() <= layer.input_width() &&
         layer.output_channels() + layer.kernel_width() <= layer.input_channels();
}

// The kernel names the dimensions of the input - 0 its rows, 1 its columns, 2 its channels - that the output has as
// rows and as columns.
bool IsTransposed(const Layer& layer) {
  const uint32_t sizes[] = {layer.input_height(), layer.input_width(), layer.input_channels()};
  const uint32_t rows = layer.kernel_height();
  const uint32_t columns = layer.kernel_width();
  return rows <= 2 && columns <= 2 && rows != columns && layer.output_height() == sizes[rows] &&
         layer.output_width() == sizes[columns] && layer.output_channels() == sizes[3 - rows - columns];
}

bool KeepsChannels(const Layer& layer) { return layer.input_channels() == layer.output_channels(); }
bool KeepsArea(const Layer& layer) { return InputArea(layer) == OutputArea(layer); }

bool IsPool(const Layer& layer) {
  return WindowIsConsistent(layer) && KeepsChannels(layer) && layer.dilation_height() == 1 &&
         layer.dilation_width() == 1;
}

// Files of format 1.0 have no groups and a zero in their place.
constexpr uint32_t kFirstMinorVersionWithGroups = 1;

uint32_t GroupsOf(const Layer& layer) { return layer.groups() > 1 ? layer.groups() : 1; }

bool GroupsHold(const Checked& checked, const Layer& layer) {
  if (checked.plan.format_minor() < kFirstMinorVersionWithGroups) return layer.groups() == 0;
  if (layer.groups() <= 1) return layer.groups() == 1;
  return layer.operation() == Operation::Conv2D && layer.input_channels() % layer.groups() == 0 &&
         layer.output_channels() % layer.groups() == 0;
}

// A product of matrices sums over the columns of its input, 1, or over its channels, 2. Its kernel says so for both.
uint32_t Depth(const Layer& layer) {
  return layer.kernel_height() == 2 ? layer.input_channels() : layer.input_width();
}

bool IsProductOfMatrices(const Layer& layer) {
  const uint32_t rows = layer.kernel_height() == 2 ? layer.input_width() : layer.input_channels();
  const bool dimensions_hold = (layer.kernel_height() == 1 || layer.kernel_height() == 2) &&
                               (layer.kernel_width() == 1 || layer.kernel_width() == 2);
  return dimensions_hold && layer.output_height() == layer.input_height() && layer.output_width() == rows;
}

// Weights of one output channel, or taps of one window.
uint64_t Taps(const Layer& layer) {
  switch (layer.operation()) {
    case Operation::Conv2D:
      return uint64_t{KernelArea(layer)} * (layer.input_channels() / GroupsOf(layer));
    case Operation::TransposeConv:
      return uint64_t{KernelArea(layer)} * layer.input_channels();
    case Operation::FullyConnected:
      return layer.input_channels();
    case Operation::DepthwiseConv2D:
    case Operation::AveragePool2D:
    case Operation::MaxPool2D:
    case Operation::Mean:
      return KernelArea(layer);
    case Operation::PRelu:
      return 1;
    case Operation::BatchMatMul:
      return Depth(layer);
    default:
      return 0;
  }
}

bool HasWeights(Operation operation) {
  return operation == Operation::Conv2D || operation == Operation::DepthwiseConv2D ||
         operation == Operation::FullyConnected || operation == Operation::PRelu ||
         operation == Operation::TransposeConv;
}

// Where zero points are taken from what is multiplied, it has one bit more. So many bits more than products of int8
// values have int16 values, which pools sum alone.
uint64_t ProductsOfInt8(const Checked& checked, const Layer& layer) {
  switch (layer.operation()) {
    case Operation::TransposeConv:
      return 2 * Taps(layer);
    case Operation::BatchMatMul:
      return 4 * Taps(layer);
    default:
      return checked.is_int16() && !HasWeights(layer.operation()) ? 2 * Taps(layer) : Taps(layer);
  }
}

// The second map of an operation on two has the first one's size, or one position for all of them.
bool IsSpread(const Layer& layer) { return KernelArea(layer) == 1 || KernelArea(layer) == InputArea(layer); }

// Its positions, without a division, which is a function of the compiler's library on some cores.
uint32_t SecondArea(const Layer& layer) { return KernelArea(layer) == 1 ? InputArea(layer) : 1; }

// A whole map, or for all positions one of all channels or one element.
bool IsSecondSize(const Checked& checked, const Layer& layer, uint64_t bytes) {
  const bool is_one_element = KernelArea(layer) == InputArea(layer) && bytes == checked.element_bytes();
  return is_one_element ||
         bytes == uint64_t{SecondArea(layer)} * layer.input_channels() * checked.element_bytes();
}

bool WeightsHold(const Checked& checked, const Layer& layer) {
  if (!HasWeights(layer.operation()) && !HasConstantSecond(layer)) return layer.weights() == 0;
  if (layer.weights() >= checked.buffers->size()) return false;
  const auto* data = checked.buffers->Get(layer.weights())->data();
  if (data == nullptr || (reinterpret_cast<uintptr_t>(data->data()) & (alignof(uint32_t) - 1)) != 0)
    return false;
  if (HasConstantSecond(layer)) return !checked.is_int16() && IsSecondSize(checked, layer, data->size());
  return data->size() == Taps(layer) * layer.output_channels() * checked.weight_bytes();
}

bool ShapesHold(const Layer& layer) {
  if (InputArea(layer) == 0 || OutputArea(layer) == 0) return false;
  if (layer.input_channels() == 0 || layer.output_channels() == 0) return false;
  switch (layer.operation()) {
    case Operation::Conv2D:
      return WindowIsConsistent(layer);
    case Operation::TransposeConv:
      return TransposedWindowIsConsistent(layer);
    case Operation::DepthwiseConv2D:
      return WindowIsConsistent(layer) && layer.output_channels() % layer.input_channels() == 0;
    case Operation::AveragePool2D:
    case Operation::MaxPool2D:
      return IsPool(layer);
    case Operation::Mean:
      return IsPool(layer) && KernelArea(layer) == InputArea(layer) && OutputArea(layer) == 1;
    case Operation::FullyConnected:
      return KeepsArea(layer);
    case Operation::Relu:
    case Operation::LeakyRelu:
    case Operation::Logistic:
    case Operation::Tanh:
    case Operation::HardSwish:
    case Operation::PRelu:
    case Operation::Requantize:
    case Operation::Quantize:
    case Operation::Dequantize:
      return KeepsArea(layer) && KeepsChannels(layer);
    case Operation::Add:
    case Operation::Sub:
    case Operation::Mul:
      return KeepsArea(layer) && KeepsChannels(layer) && IsSpread(layer);
    case Operation::Pad:
      return IsPadded(layer) && KeepsChannels(layer);
    case Operation::StridedSlice:
      return IsSlice(layer);
    case Operation::Transpose:
      return IsTransposed(layer);
    case Operation::BatchMatMul:
      return IsProductOfMatrices(layer);
    case Operation::ResizeNearestNeighbor:
      return IsResized(layer) && KeepsChannels(layer);
    case Operation::Concatenation:
      return KeepsArea(layer) && layer.input_channels() < layer.output_channels();
    case Operation::Softmax:
      return KeepsArea(layer) && KeepsChannels(layer) &&
             layer.output_channels() <= conventions::kMaximumSoftmaxChannels;
  }
  return false;
}

bool LayerHolds(const Checked& checked, const Layer& layer) {
  return layer.operation() <= Operation::MAX && layer.activation() <= schema::Activation::MAX &&
         GroupsHold(checked, layer) && ShapesHold(layer) &&
         ProductsOfInt8(checked, layer) <= conventions::kMaximumTaps && WeightsHold(checked, layer);
}

// ---- Tensors ----

bool IsAligned(uint32_t offset) { return offset % conventions::kTensorAlignment == 0; }

bool TensorHolds(const Checked& checked, const Tensor& tensor) {
  return tensor.channels() > 0 && IsAligned(tensor.offset()) && tensor.offset() <= kMaximumBytes &&
         checked.IsAllowedZeroPoint(tensor.zero_point());
}

// The bytes of the arena that a tensor takes.
struct Range {
  uint32_t begin, end;

  bool Overlaps(const Range& other) const { return begin < other.end && other.begin < end; }
  bool operator==(const Range& other) const { return begin == other.begin && end == other.end; }
};

// One of 2^31 bytes stands for every larger tensor too; none is in an arena.
Range RangeOf(const Tensor& tensor, uint32_t area, uint32_t element_bytes) {
  const uint64_t bytes = uint64_t{area} * (tensor.channels() * element_bytes);
  const uint32_t limited = bytes > kMaximumBytes ? kMaximumBytes + 1 : static_cast<uint32_t>(bytes);
  return {tensor.offset(), tensor.offset() + limited};
}

bool PortTypeHolds(const Checked& checked, const Port& port) {
  switch (port.type()) {
    case PortType::OfPlan:
      return checked.IsAllowedZeroPoint(port.zero_point());
    case PortType::UInt8:
      return checked.is_int8() && port.zero_point() >= 0 && port.zero_point() <= UINT8_MAX;
    case PortType::Float32:
#ifdef REDS_INT8_ONLY
      return false;
#else
      return checked.is_quantized();
#endif
  }
  return false;
}

bool PortHolds(const Checked& checked, const Port* port) {
  if (port == nullptr || !HasElements(port->shape()) || port->offset() > kMaximumBytes) return false;
  if (!PortTypeHolds(checked, *port)) return false;
  uint64_t bytes = checked.ElementBytes(*port);
  for (const uint32_t dimension : *port->shape()) {
    bytes *= dimension;
    if (bytes == 0 || bytes > kMaximumBytes) return false;
  }
  return port->shape()->Get(0) == BatchOf(checked.plan) &&
         bytes == uint64_t{port->bytes()} * port->shape()->Get(0);
}

// The place in the arena behind the first samples of a port that holds.
uint32_t EndOf(const Port& port, uint32_t samples) { return port.offset() + port.bytes() * samples; }

// The tensor is that sample of the port, and means the same numbers; those of a port of another type stand there alone.
bool IsAtPort(const Checked& checked, const Tensor& tensor, uint32_t area, const Port& port,
              uint32_t sample) {
  const Range range = RangeOf(tensor, area, checked.ElementBytes(port));
  if (range.begin != EndOf(port, sample) || range.end != EndOf(port, sample + 1)) return false;
  return !checked.is_quantized() || port.type() != PortType::OfPlan ||
         (tensor.zero_point() == port.zero_point() && BitsOf(tensor.scale()) == BitsOf(port.scale()));
}

// ---- Constants ----

bool IsShift(int32_t shift) { return shift >= -31 && shift <= 30; }

bool RequantizationHolds(const uint32_t* words, uint32_t channels) {
  const ChannelConstants<int8_t> constants(words, channels);
  for (uint32_t channel = 0; channel < channels; ++channel) {
    if (!IsShift(constants.shift[channel])) return false;
  }
  return true;
}

bool SoftmaxHolds(const SoftmaxConstants& constants) {
  constexpr int kFractionalBits = 31 - conventions::kSoftmaxScaledDifferenceIntegerBits;
  constexpr int64_t kLargestDifference = int64_t{INT32_MAX} >> kFractionalBits << kFractionalBits;
  return constants.multiplier >= 0 && constants.left_shift >= 0 && constants.left_shift <= 31 &&
         constants.minimum_difference <= 0 &&
         -int64_t{constants.minimum_difference} << constants.left_shift <= kLargestDifference;
}

bool AreBelow(const uint16_t* places, uint32_t count, uint32_t size) {
  for (uint32_t index = 0; index < count; ++index) {
    if (places[index] >= size) return false;
  }
  return true;
}

bool NearestHolds(const Layer& layer, const NearestConstants& constants) {
  return AreBelow(constants.rows, layer.output_height(), layer.input_height()) &&
         AreBelow(constants.columns, layer.output_width(), layer.input_width());
}

// With these shifts, int8 inputs and their sum stay within 32 bits.
bool AddHolds(const AddConstants& constants) {
  for (const int32_t shift : constants.shift) {
    if (shift < -31 || shift > 0) return false;
  }
  return constants.left_shift >= 0 && constants.left_shift <= conventions::kSumLeftShift;
}

// The constants of a step if there are that many words, else null.
const uint32_t* FindConstants(const Checked& checked, const Step& step, uint32_t words) {
  const Words* all = checked.constants;
  if (all == nullptr || words > all->size() || step.constants() > all->size() - words) return nullptr;
  return all->data() + step.constants();
}

// More words than a plan can have: for what it may not hold.
constexpr uint32_t kNeverThere = UINT32_MAX;

uint32_t ConcatenationWords(const Checked& checked, const Step& step) {
  const uint32_t* count = FindConstants(checked, step, 1);
  const bool holds = count != nullptr && *count >= 1 && *count < conventions::kMaximumConcatenationInputs;
  return holds ? 1 + *count : kNeverThere;
}

// Of an operation on two maps in float32.
uint32_t FloatWords(const Layer& layer) { return TakesSecondTensor(layer) ? kSecondTensorWords : 0; }

uint32_t ResizingWords(const Layer& layer) {
  return IsRepeated(layer) ? 0 : NearestConstants::Words(layer.output_height(), layer.output_width());
}

// Where the network's input or output is converted: a table from or to bytes.
uint32_t ConversionWords(const Port& port) {
  if (port.type() == PortType::OfPlan) return kNeverThere;
  return port.type() == PortType::UInt8 ? LookupConstants::kWords : 0;
}

#ifndef REDS_INT8_ONLY
uint32_t Int16ChannelWords(const Checked& checked, const Step& step, uint32_t channels) {
  using Constants = ChannelConstants<int16_t>;
  const uint32_t* first = FindConstants(checked, step, Constants::kFirstWords);
  return first == nullptr ? kNeverThere : Constants::Words(Constants::IsWide(first), channels);
}

uint32_t Int16ConstantWords(const Checked& checked, const Step& step, const Tensor& destination,
                            const Layer& layer) {
  switch (layer.operation()) {
    case Operation::Conv2D:
    case Operation::DepthwiseConv2D:
    case Operation::FullyConnected:
      return Int16ChannelWords(checked, step, destination.channels());
    case Operation::AveragePool2D:
    case Operation::MaxPool2D:
      return RangeConstants::kWords;
    case Operation::Relu:
    case Operation::Requantize:
    case Operation::Mean:
      return RangeConstants::kWords + FactorConstants::kWords;
    case Operation::Add:
      return AddConstants::kWords + RangeConstants::kWords;
    case Operation::Softmax:
      return SoftmaxTables::kWords;
    case Operation::Concatenation:
      return ConcatenationWords(checked, step);
    case Operation::ResizeNearestNeighbor:
      return ResizingWords(layer);
    case Operation::Pad:
    case Operation::StridedSlice:
      return 0;
    case Operation::Quantize:
      return ConversionWords(*checked.plan.input());
    case Operation::Dequantize:
      return ConversionWords(*checked.plan.output());
    default:
      return kNeverThere;
  }
}

bool RangeHolds(const RangeConstants& range) { return range.minimum <= range.maximum; }

// Biases and shifts with which 64-bit sums do not overflow when they are multiplied.
bool WideSumsHold(const ChannelConstants<int16_t>& constants, uint32_t channels) {
  constexpr int32_t kMaximumHighBias = 1 << 14;
  constexpr int32_t kMaximumShift = 7;
  for (uint32_t channel = 0; channel < channels; ++channel) {
    if (constants.high_bias[channel] < -kMaximumHighBias ||
        constants.high_bias[channel] >= kMaximumHighBias || constants.shift[channel] > kMaximumShift) {
      return false;
    }
  }
  return true;
}

bool Int16ChannelsHold(const uint32_t* words, uint32_t channels) {
  const ChannelConstants<int16_t> constants(words, channels);
  for (uint32_t channel = 0; channel < channels; ++channel) {
    if (!IsShift(constants.shift[channel])) return false;
  }
  return RangeHolds(RangeConstants(words)) && (!constants.is_wide || WideSumsHold(constants, channels));
}

// No exponential is negative, and that of the maximum is so large that the sum has a reciprocal.
bool SoftmaxTablesHold(const SoftmaxTables& constants) {
  constexpr int kLast = conventions::kSoftmaxTableElements - 1;
  constexpr int16_t kLeastOfMaximum = 2;
  for (int index = 0; index <= kLast; ++index) {
    if (constants.exponentials[index] < 0) return false;
  }
  return IsShift(constants.shift) && constants.exponentials[kLast - 1] >= kLeastOfMaximum &&
         constants.exponentials[kLast] >= kLeastOfMaximum;
}

// With this left shift, int16 inputs stay within 32 bits.
bool Int16AddHolds(const AddConstants& constants) {
  return AddHolds(constants) && constants.left_shift <= conventions::kSumLeftShiftInt16;
}

// `first` are as many words as the operation has.
bool Int16ConstantsHold(const uint32_t* first, uint32_t channels, Operation operation) {
  switch (operation) {
    case Operation::Conv2D:
    case Operation::DepthwiseConv2D:
    case Operation::FullyConnected:
      return Int16ChannelsHold(first, channels);
    case Operation::AveragePool2D:
    case Operation::MaxPool2D:
      return RangeHolds(RangeConstants(first));
    case Operation::Relu:
    case Operation::Requantize:
    case Operation::Mean:
      return RangeHolds(RangeConstants(first)) &&
             IsShift(FactorConstants(first + RangeConstants::kWords).shift);
    case Operation::Add:
      return Int16AddHolds(AddConstants(first)) && RangeHolds(RangeConstants(first + AddConstants::kWords));
    case Operation::Softmax:
      return SoftmaxTablesHold(SoftmaxTables(first));
    default:
      return true;
  }
}
#endif

uint32_t ConstantWords(const Checked& checked, const Step& step, const Tensor& source,
                       const Tensor& destination, const Layer& layer) {
#ifndef REDS_INT8_ONLY
  if (checked.is_int16()) return Int16ConstantWords(checked, step, destination, layer);
#endif
  const bool is_int8 = checked.is_int8();
  const uint32_t channels = destination.channels();
  switch (layer.operation()) {
    case Operation::Conv2D:
    case Operation::DepthwiseConv2D:
    case Operation::FullyConnected:
    case Operation::TransposeConv:
      return is_int8 ? ChannelConstants<int8_t>::Words(channels) : ChannelConstants<float>::Words(channels);
    case Operation::LeakyRelu:
      return is_int8 ? LookupConstants::kWords : SlopeConstants::kWords;
    case Operation::Logistic:
    case Operation::Tanh:
    case Operation::HardSwish:
      return is_int8 ? LookupConstants::kWords : 0;
    case Operation::Requantize:
      return is_int8 ? LookupConstants::kWords : kNeverThere;
    case Operation::Quantize:
      return ConversionWords(*checked.plan.input());
    case Operation::Dequantize:
      return ConversionWords(*checked.plan.output());
    case Operation::Softmax:
      return is_int8 ? SoftmaxConstants::kWords : 0;
    case Operation::Add:
    case Operation::Sub:
      return is_int8 ? AddConstants::kWords : FloatWords(layer);
    case Operation::Mul:
    case Operation::BatchMatMul:
      return is_int8 ? MulConstants::kWords : FloatWords(layer);
    case Operation::Mean:
      return is_int8 ? FactorConstants::kWords : 0;
    case Operation::PRelu:
      return is_int8 ? PReluConstants::kWords : 0;
    case Operation::Concatenation:
      return ConcatenationWords(checked, step);
    case Operation::Relu:
      return is_int8 && !HaveOneQuantization(source, destination) ? LookupConstants::kWords : 0;
    case Operation::ResizeNearestNeighbor:
      return ResizingWords(layer);
    case Operation::AveragePool2D:
    case Operation::MaxPool2D:
    case Operation::Pad:
    case Operation::StridedSlice:
    case Operation::Transpose:
      return 0;
  }
  return kNeverThere;
}

bool ConstantsHold(const Checked& checked, const Step& step, const Tensor& source, const Tensor& destination,
                   const Layer& layer) {
  const Operation operation = layer.operation();
  const uint32_t words = ConstantWords(checked, step, source, destination, layer);
  if (words == 0) return true;
  const uint32_t* first = FindConstants(checked, step, words);
  if (first == nullptr) return false;
  if (operation == Operation::ResizeNearestNeighbor) {
    return NearestHolds(layer, NearestConstants(first, layer.output_height()));
  }
#ifndef REDS_INT8_ONLY
  if (checked.is_int16()) return Int16ConstantsHold(first, destination.channels(), operation);
#endif
  if (!checked.is_int8()) return true;
  if (HasConstantSecond(layer) && !checked.IsAllowedZeroPoint(SecondZeroPoint(first))) return false;
  switch (operation) {
    case Operation::Softmax:
      return SoftmaxHolds(SoftmaxConstants(first));
    case Operation::Add:
    case Operation::Sub:
      return AddHolds(AddConstants(first));
    case Operation::Mul:
    case Operation::BatchMatMul:
      return IsShift(MulConstants(first).factor.shift);
    case Operation::Mean:
      return IsShift(FactorConstants(first).shift);
    case Operation::PRelu:
      return IsShift(PReluConstants(first).positive.shift) && IsShift(PReluConstants(first).negative.shift);
    default:
      return !HasWeights(operation) || RequantizationHolds(first, destination.channels());
  }
}

// ---- Steps ----

// A subnetwork's run list, while it is checked.
struct RunList {
  const Checked& checked;
  const Steps& steps;
  const Tensors& tensors;
  uint32_t begin, end;  // of what it may write

  const Step& step(uint32_t index) const { return *steps.Get(index); }
  const Tensor& tensor(uint32_t index) const { return *tensors.Get(index); }
  const Layer& layer(const Step& step) const { return *checked.layers->Get(step.layer()); }

  uint32_t InputBytes(const Step& step) const {
    return ReadsPort(step) ? checked.ElementBytes(*checked.plan.input()) : checked.element_bytes();
  }

  uint32_t OutputBytes(const Step& step) const {
    return WritesPort(step) ? checked.ElementBytes(*checked.plan.output()) : checked.element_bytes();
  }

  // Whether it reads the network's input in the type of the port, and so nothing else.
  bool ReadsPort(const Step& step) const { return layer(step).operation() == Operation::Quantize; }
  bool WritesPort(const Step& step) const { return layer(step).operation() == Operation::Dequantize; }

  Range InputRange(const Step& step, uint32_t read, uint32_t area) const {
    return RangeOf(tensor(read), area, InputBytes(step));
  }

  Range OutputRange(const Step& step) const {
    return RangeOf(tensor(step.output()), OutputArea(layer(step)), OutputBytes(step));
  }
};

bool IndicesHold(const RunList& list, const Step& step) {
  const uint32_t tensors = list.tensors.size();
  return step.layer() < list.checked.layers->size() && step.input() < tensors && step.output() < tensors &&
         step.output() != 0 && step.output() != step.input();
}

bool AllChannels(const Layer& layer, uint32_t input, uint32_t output) {
  return input == layer.input_channels() && output == layer.output_channels();
}

// Whether it has a constant for each element, whose positions do not narrow.
bool IsWholeConstant(const Layer& layer) {
  return HasConstantSecond(layer) && KernelArea(layer) < InputArea(layer);
}

// The channels are a prefix of the layer's and fit each other.
bool ChannelsHold(const Layer& layer, uint32_t input, uint32_t output) {
  if (input > layer.input_channels() || output > layer.output_channels()) return false;
  switch (layer.operation()) {
    case Operation::Conv2D:
      return GroupsOf(layer) == 1 || AllChannels(layer, input, output);
    case Operation::FullyConnected:
    case Operation::TransposeConv:
      return true;
    case Operation::DepthwiseConv2D:
      return output == input * (layer.output_channels() / layer.input_channels());
    default:
      return output == input && (!IsWholeConstant(layer) || AllChannels(layer, input, output));
    case Operation::StridedSlice:
      return KeepsChannels(layer) ? output == input : AllChannels(layer, input, output);
    case Operation::Transpose:
    case Operation::BatchMatMul:
      return AllChannels(layer, input, output);
    case Operation::Concatenation:
      return output > input;
  }
}

// Of the second of two maps, where the first has so many.
uint32_t SecondChannels(const Layer& layer, uint32_t first) {
  if (layer.operation() != Operation::BatchMatMul) return first;
  return layer.kernel_width() == 2 ? Depth(layer) : layer.output_channels();
}

// The second of two maps has the channels that it needs, and a concatenation is filled by what it joins.
bool FurtherChannelsHold(const RunList& list, const Step& step, const FurtherInputs& further) {
  const Layer& layer = list.layer(step);
  const uint32_t first = list.tensor(step.input()).channels();
  uint32_t all = first;
  for (uint32_t index = 0; index < further.count; ++index) {
    const uint32_t channels = list.tensor(further.tensors[index]).channels();
    if (TakesTwo(layer.operation()) && channels != SecondChannels(layer, first)) return false;
    all += channels;
  }
  return layer.operation() != Operation::Concatenation || all == list.tensor(step.output()).channels();
}

// The network's input has all its channels in every subnetwork, and the place, size and type of the port.
bool IsPort(const RunList& list, const Step& step, uint32_t tensor, uint32_t area) {
  const Port& port = *list.checked.plan.input();
  if (list.ReadsPort(step) != (port.type() != PortType::OfPlan)) return false;
  const Tensor& input = list.tensor(tensor);
  const bool whole = tensor != step.input() || input.channels() == list.layer(step).input_channels();
  return whole && IsAtPort(list.checked, input, area, port, list.checked.batch - 1);
}

// Whether one of the first steps writes the tensor.
bool IsWritten(const RunList& list, uint32_t tensor, uint32_t steps) {
  for (uint32_t index = 0; index < steps; ++index) {
    if (list.step(index).output() == tensor) return true;
  }
  return false;
}

// Whether it is the network's input, or another shape of the tensor at its place.
bool IsView(const RunList& list, uint32_t tensor) { return !IsWritten(list, tensor, list.steps.size()); }

// No tensor is written twice. Most run lists write their tensors in order, which needs no search.
bool OutputsDiffer(const RunList& list) {
  uint32_t largest = 0;
  for (uint32_t index = 0; index < list.steps.size(); ++index) {
    const uint32_t output = list.step(index).output();
    if (output <= largest && IsWritten(list, output, index)) return false;
    largest = output > largest ? output : largest;
  }
  return true;
}

// Walks back from a step to the one that wrote what it reads: sizes agree, and nothing in between has overwritten
// it.
bool InputIsLive(const RunList& list, uint32_t index, uint32_t tensor, uint32_t area) {
  const bool of_plan = !list.ReadsPort(list.step(index));
  const Range input = list.InputRange(list.step(index), tensor, area);
  for (uint32_t earlier = index; earlier-- > 0;) {
    const Step& candidate = list.step(earlier);
    if (candidate.output() == tensor) return of_plan && OutputArea(list.layer(candidate)) == area;
    const Range written = list.OutputRange(candidate);
    if (written.Overlaps(input)) return of_plan && written == input && IsView(list, tensor);
  }
  return IsView(list, tensor) && IsPort(list, list.step(index), tensor, area);
}

int32_t PositionBytes(const Tensor& tensor, uint32_t element_bytes) {
  return static_cast<int32_t>(tensor.channels() * element_bytes);
}

// What overlaps does so where the kernel reads before it writes.
bool PlacesHold(const RunList& list, const Step& step, uint32_t tensor, uint32_t area) {
  const Range input = list.InputRange(step, tensor, area);
  const Range output = list.OutputRange(step);
  if (output.begin < list.begin || input.end > list.end || output.end > list.end) return false;
  if (!input.Overlaps(output)) return true;
  const Overlap allowed =
      OverlapOf(list.layer(step), PositionBytes(list.tensor(tensor), list.InputBytes(step)),
                PositionBytes(list.tensor(step.output()), list.OutputBytes(step)));
  return allowed.Allows(static_cast<int32_t>(input.begin), static_cast<int32_t>(output.begin));
}

// `area` is that of the tensor, as the step reads it.
bool InputHolds(const RunList& list, uint32_t index, uint32_t tensor, uint32_t area) {
  return PlacesHold(list, list.step(index), tensor, area) && InputIsLive(list, index, tensor, area);
}

uint32_t FurtherArea(const Layer& layer) {
  if (layer.operation() == Operation::BatchMatMul) {
    return MapArea(layer.input_height(), layer.kernel_width() == 2 ? layer.output_channels() : Depth(layer));
  }
  return TakesTwo(layer.operation()) ? SecondArea(layer) : InputArea(layer);
}

bool FurtherInputsHold(const RunList& list, uint32_t index) {
  const Step& step = list.step(index);
  const FurtherInputs further = FurtherInputsOf(step, list.layer(step), list.checked.constants);
  for (uint32_t input = 0; input < further.count; ++input) {
    const uint32_t tensor = further.tensors[input];
    if (tensor >= list.tensors.size() || tensor == step.output()) return false;
    if (!InputHolds(list, index, tensor, FurtherArea(list.layer(step)))) return false;
  }
  return FurtherChannelsHold(list, step, further);
}

bool StepHolds(const RunList& list, uint32_t index) {
  const Step& step = list.step(index);
  if (!IndicesHold(list, step)) return false;
  const Layer& layer = list.layer(step);
  const Tensor& source = list.tensor(step.input());
  const Tensor& destination = list.tensor(step.output());
  return ChannelsHold(layer, source.channels(), destination.channels()) &&
         InputHolds(list, index, step.input(), InputArea(layer)) &&
         ConstantsHold(list.checked, step, source, destination, layer) && FurtherInputsHold(list, index) &&
         step.activation_minimum() <= step.activation_maximum();
}

// Only the last step writes the network's output, and in its type.
bool OutputHolds(const RunList& list) {
  const uint32_t steps = list.steps.size();
  for (uint32_t index = 0; index + 1 < steps; ++index) {
    if (list.WritesPort(list.step(index))) return false;
  }
  const Port& port = *list.checked.plan.output();
  const Step& last = list.step(steps - 1);
  const Tensor& output = list.tensor(last.output());
  return list.WritesPort(last) == (port.type() != PortType::OfPlan) &&
         output.channels() == list.layer(last).output_channels() &&
         IsAtPort(list.checked, output, OutputArea(list.layer(last)), port, 0);
}

// ---- Subnetworks ----

// Its steps may use all of the arena but the samples of the input that wait and those of the output that are done, where an
// inference has several.

bool SubnetworkHolds(const Checked& checked, const Subnetwork& subnetwork) {
  if (subnetwork.name() == nullptr || subnetwork.exit() >= checked.plan.exits()->size()) return false;
  if (!HasElements(subnetwork.steps()) || !HasElements(subnetwork.tensors())) return false;
  if (subnetwork.steps()->size() > conventions::kMaximumLayers || subnetwork.arena_bytes() > kMaximumBytes)
    return false;
  for (const Tensor* tensor : *subnetwork.tensors()) {
    if (!TensorHolds(checked, *tensor)) return false;
  }
  RunList list = {checked, *subnetwork.steps(), *subnetwork.tensors(), 0, subnetwork.arena_bytes()};
  if (const uint32_t others = checked.batch - 1) {
    list.begin = EndOf(*checked.plan.input(), others);
    list.end = EndOf(*checked.plan.output(), 1);
    if (EndOf(*checked.plan.output(), checked.batch) > subnetwork.arena_bytes()) return false;
  }
  const uint32_t steps = list.steps.size();
  for (uint32_t index = 0; index < steps; ++index) {
    if (!StepHolds(list, index)) return false;
  }
  return OutputsDiffer(list) && OutputHolds(list);
}

// Every subnetwork has one line, which repeats its costs.
bool RankingHolds(const Checked& checked) {
  const Ranking& ranking = *checked.plan.ranking();
  const Subnetworks& subnetworks = *checked.plan.subnetworks();
  if (ranking.size() != subnetworks.size()) return false;
  for (uint32_t line = 0; line < ranking.size(); ++line) {
    const schema::Rank& rank = *ranking.Get(line);
    if (rank.subnetwork() >= subnetworks.size()) return false;
    const Subnetwork& subnetwork = *subnetworks.Get(rank.subnetwork());
    if (rank.macs() != subnetwork.macs() || rank.arena_bytes() != subnetwork.arena_bytes()) return false;
    for (uint32_t earlier = 0; earlier < line; ++earlier) {
      if (ranking.Get(earlier)->subnetwork() == rank.subnetwork()) return false;
    }
  }
  return true;
}

bool ExitsHold(const Checked& checked) {
  for (const schema::Exit* exit : *checked.plan.exits()) {
    if (exit->name() == nullptr || exit->tap() >= checked.layers->size()) return false;
  }
  return true;
}

bool TargetsHold(const Checked& checked) {
  if (checked.plan.targets() == nullptr) return true;
  for (const schema::Target* target : *checked.plan.targets()) {
    if (target->name() == nullptr || target->instructions() == nullptr) return false;
    if (target->instructions()->size() != checked.plan.subnetworks()->size()) return false;
  }
  return true;
}

bool IsComplete(const Checked& checked) {
  const schema::Plan& plan = checked.plan;
  return checked.buffers != nullptr && checked.element_type <= ElementType::MAX &&
         HasElements(checked.layers) && checked.layers->size() <= conventions::kMaximumLayers &&
         HasElements(plan.exits()) && HasElements(plan.subnetworks()) &&
         plan.subnetworks()->size() <= conventions::kMaximumSubnetworks && HasElements(plan.ranking());
}

}  // namespace

bool KeepsRules(const tflite::Model& model, const schema::Plan& plan) {
  Checked checked(model, plan);
  if (!IsComplete(checked) || !PortHolds(checked, plan.input()) || !PortHolds(checked, plan.output())) {
    return false;
  }
  checked.batch = BatchOf(plan);
  for (const Layer* layer : *checked.layers) {
    if (!LayerHolds(checked, *layer)) return false;
  }
  if (!ExitsHold(checked)) return false;
  for (const Subnetwork* subnetwork : *plan.subnetworks()) {
    if (!SubnetworkHolds(checked, *subnetwork)) return false;
  }
  return RankingHolds(checked) && TargetsHold(checked);
}

}  // namespace reds
