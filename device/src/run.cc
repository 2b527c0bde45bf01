// Running a subnetwork: each step of its run list becomes the operands of one kernel.

#include <cstring>
#include <type_traits>

#include "kernels/kernels.h"
#include "reds/reds.h"
#include "src/constants.h"
#include "src/context.h"
#include "src/observe.h"
#include "src/operation.h"

namespace reds {

using schema::Activation;
using schema::ElementType;
using schema::Layer;
using schema::Operation;
using schema::PortType;
using schema::Step;
using schema::Tensor;

// One step with everything that it refers to.
struct Task {
  const Context& context;
  const Step& step;
  const Layer& layer;
  const Tensor& source;
  const Tensor& destination;

  // A tensor that the step reads beside `source`.
  const Tensor& OtherSource(uint32_t tensor) const { return *context.tensors->Get(tensor); }

  template <typename Element>
  const Element* Elements(const Tensor& tensor) const {
    return reinterpret_cast<const Element*>(context.arena + tensor.offset());
  }

  template <typename Element>
  const Element* Input() const {
    return Elements<Element>(source);
  }

  template <typename Element>
  Element* Output() const {
    return reinterpret_cast<Element*>(context.arena + destination.offset());
  }

  template <typename Element>
  const Weight<Element>* Weights() const {
    return reinterpret_cast<const Weight<Element>*>(context.buffers->Get(layer.weights())->data()->data());
  }

  const uint32_t* Constants() const { return context.constants->data() + step.constants(); }

  int32_t Positions() const { return layer.output_height() * layer.output_width(); }

  // The second tensor of an operation on two.
  const Tensor& SecondSource() const { return OtherSource(SecondTensor(Constants())); }

  bool SecondIsConstant() const { return layer.weights() != 0; }

  template <typename Element>
  const Element* Second() const {
    return SecondIsConstant() ? Weights<Element>() : Elements<Element>(SecondSource());
  }

  int32_t SecondZero() const {
    return SecondIsConstant() ? SecondZeroPoint(Constants()) : SecondSource().zero_point();
  }

  // Whether one constant meets every element.
  template <typename Element>
  bool SecondIsOneElement() const {
    return SecondIsConstant() && context.buffers->Get(layer.weights())->data()->size() == sizeof(Element);
  }

  // How often an operation on two maps takes the second one: once, or at every position.
  int32_t SecondRepeats() const { return layer.kernel_height() * layer.kernel_width(); }

  int32_t ElementsAtOnce() const { return Positions() / SecondRepeats() * destination.channels(); }
};

namespace {

Window MakeWindow(const Layer& layer) {
  return {layer.input_height(),    layer.input_width(),    layer.output_height(), layer.output_width(),
          layer.kernel_height(),   layer.kernel_width(),   layer.stride_height(), layer.stride_width(),
          layer.dilation_height(), layer.dilation_width(), layer.padding_top(),   layer.padding_left()};
}

template <typename Element>
Clamp<Element> MakeClamp(const Task& task);

template <>
Clamp<int8_t> MakeClamp<int8_t>(const Task& task) {
  return {task.step.activation_minimum(), task.step.activation_maximum()};
}

template <typename Element>
OutputStage<Element> MakeStage(const Task& task);

template <>
OutputStage<int8_t> MakeStage<int8_t>(const Task& task) {
  const ChannelConstants<int8_t> constants(task.Constants(), task.destination.channels());
  return {constants.bias,
          constants.multiplier,
          constants.shift,
          task.destination.zero_point(),
          {task.step.activation_minimum(), task.step.activation_maximum()}};
}

#ifndef REDS_INT8_ONLY
template <>
Clamp<int16_t> MakeClamp<int16_t>(const Task& task) {
  const RangeConstants range(task.Constants());
  return {range.minimum, range.maximum};
}

template <>
OutputStage<int16_t> MakeStage<int16_t>(const Task& task) {
  const Clamp<int16_t> clamp = MakeClamp<int16_t>(task);
  const ChannelConstants<int16_t> constants(task.Constants(), task.destination.channels());
  return {constants.bias,
          constants.high_bias,
          constants.multiplier,
          constants.shift,
          {clamp.minimum, clamp.maximum}};
}

template <>
Clamp<float> MakeClamp<float>(const Task& task) {
  constexpr float kLargest = 3.40282347e38f;
  switch (task.layer.activation()) {
    case Activation::Relu:
      return {0.0f, kLargest};
    case Activation::Relu6:
      return {0.0f, 6.0f};
    case Activation::None:
      break;
  }
  return {-kLargest, kLargest};
}

template <>
OutputStage<float> MakeStage<float>(const Task& task) {
  const ChannelConstants<float> constants(task.Constants(), task.destination.channels());
  return {constants.bias, constants.scale, MakeClamp<float>(task)};
}
#endif

template <typename Element>
int32_t PaddingValue(const Task& task) {
  return std::is_same<Element, int8_t>::value ? task.source.zero_point() : 0;
}

template <typename Element>
Conv2D<Element> MakeConv2D(const Task& task) {
  return {MakeWindow(task.layer),      task.Input<Element>(),       task.Weights<Element>(),
          task.Output<Element>(),      task.source.channels(),      task.destination.channels(),
          task.layer.input_channels(), PaddingValue<Element>(task), MakeStage<Element>(task)};
}

template <typename Element>
void RunConv2D(const Task& task) {
  Run(MakeConv2D<Element>(task));
}

template <typename Element>
void RunTransposeConv(const Task& task) {
  Run(TransposeConv<Element>{MakeConv2D<Element>(task)});
}

template <typename Element>
void RunGroupedConv2D(const Task& task) {
  const Layer& layer = task.layer;
  Run(GroupedConv2D<Element>{MakeWindow(layer), task.Input<Element>(), task.Weights<Element>(),
                             task.Output<Element>(), layer.groups(), layer.input_channels() / layer.groups(),
                             layer.output_channels() / layer.groups(), PaddingValue<Element>(task),
                             MakeStage<Element>(task)});
}

template <typename Element>
void RunDepthwiseConv2D(const Task& task) {
  Run(DepthwiseConv2D<Element>{
      MakeWindow(task.layer), task.Input<Element>(), task.Weights<Element>(), task.Output<Element>(),
      task.source.channels(), task.layer.output_channels() / task.layer.input_channels(),
      task.layer.output_channels(), PaddingValue<Element>(task), MakeStage<Element>(task)});
}

template <typename Element>
void RunFullyConnected(const Task& task) {
  Run(FullyConnected<Element>{task.Input<Element>(), task.Weights<Element>(), task.Output<Element>(),
                              task.Positions(), task.source.channels(), task.destination.channels(),
                              task.layer.input_channels(), MakeStage<Element>(task)});
}

template <typename Element>
Pool2D<Element> MakePool(const Task& task) {
  return {MakeWindow(task.layer), task.Input<Element>(), task.Output<Element>(), task.destination.channels(),
          MakeClamp<Element>(task)};
}

template <typename Element>
void RunAveragePool(const Task& task) {
  RunAverage(MakePool<Element>(task));
}

template <typename Element>
void RunMaxPool(const Task& task) {
  RunMaximum(MakePool<Element>(task));
}

void RunLookup(const Task& task) {
  Run(Lookup{task.Input<int8_t>(), LookupConstants(task.Constants()).table, task.Output<int8_t>(),
             task.Positions() * task.destination.channels()});
}

#ifndef REDS_INT8_ONLY
Elementwise MakeElementwise(const Task& task) {
  return {task.Input<float>(), task.Output<float>(), task.Positions() * task.destination.channels()};
}

void RunLeakyRelu(const Task& task) {
  Run(LeakyRelu{MakeElementwise(task), SlopeConstants(task.Constants()).slope});
}

template <void (*kRun)(const Elementwise&)>
void RunElementwise(const Task& task) {
  kRun(MakeElementwise(task));
}

template <typename Element>
void RunQuantizeOfFloat(const Task& task) {
  Run(Quantize<Element>{task.Input<float>(), task.Output<Element>(),
                        task.Positions() * task.destination.channels(), task.destination.scale(),
                        task.destination.zero_point()});
}

template <typename Element>
void RunDequantizeToFloat(const Task& task) {
  Run(Dequantize<Element>{task.Input<Element>(), task.Output<float>(),
                          task.Positions() * task.destination.channels(), task.source.scale(),
                          task.source.zero_point()});
}
#endif

// The network's input from another type.
void RunQuantize(const Task& task) {
#ifndef REDS_INT8_ONLY
  if (task.context.plan->input()->type() == PortType::Float32) return RunQuantizeOfFloat<int8_t>(task);
#endif
  RunLookup(task);
}

// The network's output in another type.
void RunDequantize(const Task& task) {
#ifndef REDS_INT8_ONLY
  if (task.context.plan->output()->type() == PortType::Float32) return RunDequantizeToFloat<int8_t>(task);
#endif
  RunLookup(task);
}

template <typename Element>
void RunRelu(const Task& task) {
  Run(Relu<Element>{task.Input<Element>(), task.Output<Element>(),
                    task.Positions() * task.destination.channels(), MakeClamp<Element>(task)});
}

// A clamp, or a table where it also changes the quantisation.
void RunReluOrLookup(const Task& task) {
  HaveOneQuantization(task.source, task.destination) ? RunRelu<int8_t>(task) : RunLookup(task);
}

template <typename Element>
void RunPad(const Task& task) {
  const Layer& layer = task.layer;
  const int32_t position = task.source.channels() * static_cast<int32_t>(sizeof(Element));
  const int32_t row = layer.output_width() * position;
  const int32_t below = layer.output_height() - layer.input_height() - layer.padding_top();
  const int32_t right = layer.output_width() - layer.input_width() - layer.padding_left();
  Run(Pad{task.Input<uint8_t>(), task.Output<uint8_t>(), layer.input_height(), layer.input_width() * position,
          layer.padding_top() * row, layer.padding_left() * position, right * position, below * row,
          static_cast<uint8_t>(PaddingValue<Element>(task))});
}

template <typename Element>
Softmax<Element> MakeSoftmax(const Task& task);

template <>
Softmax<int8_t> MakeSoftmax<int8_t>(const Task& task) {
  const SoftmaxConstants constants(task.Constants());
  return {task.Input<int8_t>(),        task.Output<int8_t>(), task.Positions(),
          task.destination.channels(), constants.multiplier,  constants.left_shift,
          constants.minimum_difference};
}

#ifndef REDS_INT8_ONLY
template <>
Softmax<int16_t> MakeSoftmax<int16_t>(const Task& task) {
  const SoftmaxTables constants(task.Constants());
  return {task.Input<int16_t>(),
          task.Output<int16_t>(),
          task.Positions(),
          task.destination.channels(),
          {constants.multiplier, constants.shift},
          constants.exponentials,
          constants.reciprocals};
}

template <>
Softmax<float> MakeSoftmax<float>(const Task& task) {
  return {task.Input<float>(), task.Output<float>(), task.Positions(), task.destination.channels()};
}
#endif

template <typename Element>
Add<Element> MakeAdd(const Task& task);

template <>
Add<int8_t> MakeAdd<int8_t>(const Task& task) {
  const AddConstants constants(task.Constants());
  const auto factor = [&constants](int index) {
    return Factor{constants.multiplier[index], constants.shift[index]};
  };
  return {task.Input<int8_t>(),
          task.Second<int8_t>(),
          task.Output<int8_t>(),
          task.ElementsAtOnce(),
          {task.source.zero_point(), factor(0)},
          {task.SecondZero(), factor(1)},
          task.layer.operation() == Operation::Sub ? -1 : 1,
          constants.left_shift,
          factor(2),
          task.destination.zero_point(),
          {task.step.activation_minimum(), task.step.activation_maximum()}};
}

#ifndef REDS_INT8_ONLY
template <>
Add<int16_t> MakeAdd<int16_t>(const Task& task) {
  const AddConstants constants(task.Constants());
  const RangeConstants range(task.Constants() + AddConstants::kWords);
  return {task.Input<int16_t>(),
          task.Elements<int16_t>(task.SecondSource()),
          task.Output<int16_t>(),
          task.ElementsAtOnce(),
          {constants.multiplier[0], constants.shift[0]},
          {constants.multiplier[1], constants.shift[1]},
          constants.left_shift,
          {constants.multiplier[2], constants.shift[2]},
          {range.minimum, range.maximum}};
}

template <>
Add<float> MakeAdd<float>(const Task& task) {
  return {task.Input<float>(),
          task.Second<float>(),
          task.Output<float>(),
          task.ElementsAtOnce(),
          task.layer.operation() == Operation::Sub ? -1.0f : 1.0f,
          MakeClamp<float>(task)};
}
#endif

template <typename Element>
Mul<Element> MakeMul(const Task& task);

template <>
Mul<int8_t> MakeMul<int8_t>(const Task& task) {
  const FactorConstants factor = MulConstants(task.Constants()).factor;
  return {task.Input<int8_t>(),
          task.Second<int8_t>(),
          task.Output<int8_t>(),
          task.ElementsAtOnce(),
          task.source.zero_point(),
          task.SecondZero(),
          {factor.multiplier, factor.shift},
          task.destination.zero_point(),
          {task.step.activation_minimum(), task.step.activation_maximum()}};
}

#ifndef REDS_INT8_ONLY
template <>
Mul<float> MakeMul<float>(const Task& task) {
  return {task.Input<float>(), task.Second<float>(), task.Output<float>(), task.ElementsAtOnce(),
          MakeClamp<float>(task)};
}
#endif

// The kernel names the dimensions over which is summed: 1 the columns of a map, 2 its channels.
template <typename Element>
Matrices<Element> MakeMatrices(const Task& task) {
  const Layer& layer = task.layer;
  const int32_t first_pitch = task.source.channels();
  const int32_t second_pitch = task.SecondSource().channels();
  const bool first_lies_in_rows = layer.kernel_height() == 2;
  const bool second_lies_in_rows = layer.kernel_width() == 1;
  return {task.Input<Element>(),
          task.Second<Element>(),
          task.Output<Element>(),
          layer.output_height(),
          layer.output_width(),
          task.destination.channels(),
          first_lies_in_rows ? first_pitch : layer.input_width(),
          first_lies_in_rows ? first_pitch : 1,
          first_lies_in_rows ? 1 : first_pitch,
          second_lies_in_rows ? 1 : second_pitch,
          second_lies_in_rows ? second_pitch : 1};
}

template <typename Element>
BatchMatMul<Element> MakeBatchMatMul(const Task& task);

template <>
BatchMatMul<int8_t> MakeBatchMatMul<int8_t>(const Task& task) {
  const FactorConstants factor = MulConstants(task.Constants()).factor;
  return {MakeMatrices<int8_t>(task),       task.source.zero_point(),
          task.SecondSource().zero_point(), {factor.multiplier, factor.shift},
          task.destination.zero_point(),    {task.step.activation_minimum(), task.step.activation_maximum()}};
}

#ifndef REDS_INT8_ONLY
template <>
BatchMatMul<float> MakeBatchMatMul<float>(const Task& task) {
  return {MakeMatrices<float>(task)};
}
#endif

// Calls `run` for parts of an operation on two maps, all of which take the second from its begin.
template <typename Pair, typename RunPart>
void RunParts(Pair pair, int32_t elements, const RunPart& run) {
  for (int32_t left = elements; left > 0; left -= pair.elements) {
    if (left < pair.elements) pair.elements = left;
    run(pair);
    pair.first += pair.elements;
    pair.output += pair.elements;
  }
}

// The same where the second is one element, of which kernels get a few copies. Only these need their place on the stack.
template <typename Element, typename Pair, typename RunPart>
__attribute__((noinline)) void RunPartsOfCopies(Pair pair, int32_t elements, const RunPart& run) {
  constexpr int32_t kCopies = 16;
  Element copies[kCopies];
  for (Element& copy : copies) copy = *pair.second;
  pair.second = copies;
  pair.elements = kCopies;
  RunParts(pair, elements, run);
}

// Calls `run` for an operation on two maps, once for each time that the second one is taken.
template <typename Element, typename Pair, typename RunPart>
void RunPair(const Task& task, const Pair& pair, const RunPart& run) {
  const int32_t elements = task.Positions() * task.destination.channels();
  if (task.SecondIsOneElement<Element>()) return RunPartsOfCopies<Element>(pair, elements, run);
  RunParts(pair, elements, run);
}

// The difference of the second and the first.
Add<int8_t> Exchanged(const Add<int8_t>& sum) {
  Add<int8_t> exchanged = sum;
  exchanged.first = sum.second;
  exchanged.second = sum.first;
  exchanged.first_addend = sum.second_addend;
  exchanged.second_addend = sum.first_addend;
  return exchanged;
}

#ifndef REDS_INT8_ONLY
Add<float> Exchanged(const Add<float>& sum) {
  Add<float> exchanged = sum;
  exchanged.first = sum.second;
  exchanged.second = sum.first;
  return exchanged;
}
#endif

template <typename Element>
void RunMean(const Task& task);

template <>
void RunMean<int8_t>(const Task& task) {
  const FactorConstants factor(task.Constants());
  Run(Mean<int8_t>{task.Input<int8_t>(),
                   task.Output<int8_t>(),
                   task.layer.input_height() * task.layer.input_width(),
                   task.destination.channels(),
                   task.source.zero_point(),
                   {factor.multiplier, factor.shift},
                   task.destination.zero_point(),
                   {task.step.activation_minimum(), task.step.activation_maximum()}});
}

#ifndef REDS_INT8_ONLY
// The range and the factor of an operation in int16.
struct Scaling {
  Factor factor;
  Clamp<int32_t> clamp;

  explicit Scaling(const Task& task) {
    const RangeConstants range(task.Constants());
    const FactorConstants constants(task.Constants() + RangeConstants::kWords);
    factor = {constants.multiplier, constants.shift};
    clamp = {range.minimum, range.maximum};
  }
};

template <>
void RunMean<int16_t>(const Task& task) {
  const Scaling scaling(task);
  Run(Mean<int16_t>{task.Input<int16_t>(), task.Output<int16_t>(),
                    task.layer.input_height() * task.layer.input_width(), task.destination.channels(), 0,
                    scaling.factor, 0, scaling.clamp});
}

void RunRescale(const Task& task) {
  const Scaling scaling(task);
  Run(Rescale{task.Input<int16_t>(), task.Output<int16_t>(), task.Positions() * task.destination.channels(),
              scaling.factor, scaling.clamp});
}

template <>
void RunMean<float>(const Task& task) {
  RunAverage(MakePool<float>(task));
}
#endif

template <typename Element>
PRelu<Element> MakePRelu(const Task& task);

template <>
PRelu<int8_t> MakePRelu<int8_t>(const Task& task) {
  const PReluConstants constants(task.Constants());
  return {task.Input<int8_t>(),
          task.Weights<int8_t>(),
          task.Output<int8_t>(),
          task.Positions(),
          task.destination.channels(),
          task.source.zero_point(),
          {constants.positive.multiplier, constants.positive.shift},
          {constants.negative.multiplier, constants.negative.shift},
          task.destination.zero_point(),
          {task.step.activation_minimum(), task.step.activation_maximum()}};
}

#ifndef REDS_INT8_ONLY
template <>
PRelu<float> MakePRelu<float>(const Task& task) {
  return {task.Input<float>(), task.Weights<float>(), task.Output<float>(), task.Positions(),
          task.destination.channels()};
}
#endif

template <typename Element>
void RunResize(const Task& task) {
  const Layer& layer = task.layer;
  const int32_t position = task.source.channels() * static_cast<int32_t>(sizeof(Element));
  if (layer.stride_height() == 0) {
    const NearestConstants nearest(task.Constants(), layer.output_height());
    return Run(Gather{task.Input<uint8_t>(), task.Output<uint8_t>(), nearest.rows, nearest.columns,
                      layer.output_height(), layer.output_width(), layer.input_width() * position, position});
  }
  Run(Repeat{task.Input<uint8_t>(), task.Output<uint8_t>(), layer.input_height(), layer.input_width(),
             position, layer.stride_height(), layer.stride_width()});
}

template <typename Element>
void RunSlice(const Task& task) {
  const Layer& layer = task.layer;
  constexpr int32_t kBytes = sizeof(Element);
  const int32_t from = task.source.channels() * kBytes;
  const int32_t to = task.destination.channels() * kBytes;
  const int32_t first = layer.padding_top() * layer.input_width() + layer.padding_left();
  const uint8_t* input = task.Input<uint8_t>() + first * from + layer.kernel_width() * kBytes;
  uint8_t* output = task.Output<uint8_t>();
  for (int32_t left = layer.output_height(); left > 0; --left) {
    Run(CopyChannels{input, output, layer.output_width(), to, to, from});
    input += layer.input_width() * from;
    output += layer.output_width() * to;
  }
}

template <typename Element>
void RunTranspose(const Task& task) {
  const Layer& layer = task.layer;
  const int32_t channels = task.source.channels();
  const int32_t steps[] = {layer.input_width() * channels, channels, 1};
  const int rows = layer.kernel_height();
  const int columns = layer.kernel_width();
  Run(Transpose<Element>{task.Input<Element>(),
                         task.Output<Element>(),
                         {layer.output_height(), layer.output_width(), task.destination.channels()},
                         {steps[rows], steps[columns], steps[3 - rows - columns]}});
}

template <typename Element>
void RunSoftmax(const Task& task) {
  Run(MakeSoftmax<Element>(task));
}

template <typename Element>
void RunSum(const Task& task) {
  // The padding of a difference says that the constant is the first.
  const bool exchanged = task.SecondIsConstant() && task.layer.padding_top() != 0;
  RunPair<Element>(task, MakeAdd<Element>(task),
                   [exchanged](const Add<Element>& sum) { Run(exchanged ? Exchanged(sum) : sum); });
}

#ifndef REDS_INT8_ONLY
// Of two computed maps.
template <>
void RunSum<int16_t>(const Task& task) {
  RunParts(MakeAdd<int16_t>(task), task.Positions() * task.destination.channels(),
           [](const Add<int16_t>& sum) { Run(sum); });
}
#endif

template <typename Element>
void RunProduct(const Task& task) {
  RunPair<Element>(task, MakeMul<Element>(task), [](const Mul<Element>& product) { Run(product); });
}

template <typename Element>
void RunBatchMatMul(const Task& task) {
  Run(MakeBatchMatMul<Element>(task));
}

template <typename Element>
void RunPRelu(const Task& task) {
  Run(MakePRelu<Element>(task));
}

template <typename Element>
void RunConcatenation(const Task& task) {
  const ConcatenationConstants constants(task.Constants());
  const int32_t pitch = task.destination.channels() * static_cast<int32_t>(sizeof(Element));
  uint8_t* place = task.Output<uint8_t>();
  for (uint32_t input = 0; input <= constants.count; ++input) {
    const Tensor& source = input == 0 ? task.source : task.OtherSource(constants.tensors[input - 1]);
    const int32_t bytes = source.channels() * static_cast<int32_t>(sizeof(Element));
    Run(CopyChannels{task.Elements<uint8_t>(source), place, task.Positions(), bytes, pitch, bytes});
    place += bytes;
  }
}

constexpr reds_operation Int8(Operation operation, Runner run, uint32_t groups = 0) {
  return {KeyOf(ElementType::Int8, operation) | groups, run};
}

#ifndef REDS_INT8_ONLY
constexpr reds_operation Int16(Operation operation, Runner run, uint32_t groups = 0) {
  return {KeyOf(ElementType::Int16, operation) | groups, run};
}

constexpr reds_operation Float32(Operation operation, Runner run, uint32_t groups = 0) {
  return {KeyOf(ElementType::Float32, operation) | groups, run};
}
#endif

void BeginInference(Context& context) {
  context.running = context.selected;
  const schema::Subnetwork& subnetwork = *context.subnetworks->Get(context.running);
  context.steps = subnetwork.steps();
  context.tensors = subnetwork.tensors();
  context.first_step = 0;
  context.next_step = 0;
  context.samples_left = BatchOf(*context.plan);
}

void CopySample(const Context& context, const schema::Port& port, uint32_t from, uint32_t to) {
  uint8_t* samples = context.arena + port.offset();
  std::memcpy(samples + to * port.bytes(), samples + from * port.bytes(), port.bytes());
}

// Steps read the last sample of the input and write the first one of the output, so that samples run from the last to
// the first.
void BeginNextSample(Context& context) {
  CopySample(context, *context.plan->output(), 0, context.samples_left);
  CopySample(context, *context.plan->input(), context.samples_left - 1, BatchOf(*context.plan) - 1);
  context.next_step = 0;
}

void RunStep(const Context& context) {
  const Step& step = *context.steps->Get(context.next_step);
  const Layer& layer = *context.layers->Get(step.layer());
  RunnerOf(KeyOf(context.element_type, layer))(
      {context, step, layer, *context.tensors->Get(step.input()), *context.tensors->Get(step.output())});
}

reds_type TypeOf(const Context& context, const schema::Port& port) {
  switch (port.type()) {
    case PortType::Float32:
      return REDS_FLOAT32;
    case PortType::UInt8:
      return REDS_UINT8;
    case PortType::OfPlan:
      break;
  }
#ifndef REDS_INT8_ONLY
  if (context.element_type == ElementType::Int16) return REDS_INT16;
#endif
  return context.element_type == ElementType::Int8 ? REDS_INT8 : REDS_FLOAT32;
}

reds_tensor DescribePort(const Context& context, const schema::Port& port) {
  reds_tensor tensor = {};
  tensor.data = context.arena + port.offset();
  tensor.bytes = size_t{BatchOf(*context.plan)} * port.bytes();
  tensor.type = TypeOf(context, port);
  if (tensor.type != REDS_FLOAT32) {
    tensor.scale = port.scale();
    tensor.zero_point = port.zero_point();
  }
  return tensor;
}

}  // namespace
}  // namespace reds

// ---- What a firmware can link ----

using reds::Int8;
using reds::Operation;

const reds_operation reds_conv_2d_int8 = Int8(Operation::Conv2D, reds::RunConv2D<int8_t>);
const reds_operation reds_grouped_conv_2d_int8 =
    Int8(Operation::Conv2D, reds::RunGroupedConv2D<int8_t>, reds::kHasGroups);
const reds_operation reds_depthwise_conv_2d_int8 =
    Int8(Operation::DepthwiseConv2D, reds::RunDepthwiseConv2D<int8_t>);
const reds_operation reds_fully_connected_int8 =
    Int8(Operation::FullyConnected, reds::RunFullyConnected<int8_t>);
const reds_operation reds_average_pool_2d_int8 = Int8(Operation::AveragePool2D, reds::RunAveragePool<int8_t>);
const reds_operation reds_max_pool_2d_int8 = Int8(Operation::MaxPool2D, reds::RunMaxPool<int8_t>);
const reds_operation reds_relu_int8 = Int8(Operation::Relu, reds::RunReluOrLookup);
const reds_operation reds_softmax_int8 = Int8(Operation::Softmax, reds::RunSoftmax<int8_t>);
const reds_operation reds_add_int8 = Int8(Operation::Add, reds::RunSum<int8_t>);
const reds_operation reds_concatenation_int8 = Int8(Operation::Concatenation, reds::RunConcatenation<int8_t>);
const reds_operation reds_leaky_relu_int8 = Int8(Operation::LeakyRelu, reds::RunLookup);
const reds_operation reds_logistic_int8 = Int8(Operation::Logistic, reds::RunLookup);
const reds_operation reds_tanh_int8 = Int8(Operation::Tanh, reds::RunLookup);
const reds_operation reds_hard_swish_int8 = Int8(Operation::HardSwish, reds::RunLookup);
const reds_operation reds_pad_int8 = Int8(Operation::Pad, reds::RunPad<int8_t>);
const reds_operation reds_mul_int8 = Int8(Operation::Mul, reds::RunProduct<int8_t>);
const reds_operation reds_sub_int8 = Int8(Operation::Sub, reds::RunSum<int8_t>);
const reds_operation reds_mean_int8 = Int8(Operation::Mean, reds::RunMean<int8_t>);
const reds_operation reds_prelu_int8 = Int8(Operation::PRelu, reds::RunPRelu<int8_t>);
const reds_operation reds_requantize_int8 = Int8(Operation::Requantize, reds::RunLookup);
const reds_operation reds_resize_nearest_neighbor_int8 =
    Int8(Operation::ResizeNearestNeighbor, reds::RunResize<int8_t>);
const reds_operation reds_transpose_conv_int8 =
    Int8(Operation::TransposeConv, reds::RunTransposeConv<int8_t>);
const reds_operation reds_strided_slice_int8 = Int8(Operation::StridedSlice, reds::RunSlice<int8_t>);
const reds_operation reds_transpose_int8 = Int8(Operation::Transpose, reds::RunTranspose<int8_t>);
const reds_operation reds_batch_mat_mul_int8 = Int8(Operation::BatchMatMul, reds::RunBatchMatMul<int8_t>);
const reds_operation reds_quantize_int8 = Int8(Operation::Quantize, reds::RunQuantize);
const reds_operation reds_dequantize_int8 = Int8(Operation::Dequantize, reds::RunDequantize);

#ifndef REDS_INT8_ONLY
using reds::Float32;
using reds::Int16;

const reds_operation reds_conv_2d_int16 = Int16(Operation::Conv2D, reds::RunConv2D<int16_t>);
const reds_operation reds_grouped_conv_2d_int16 =
    Int16(Operation::Conv2D, reds::RunGroupedConv2D<int16_t>, reds::kHasGroups);
const reds_operation reds_depthwise_conv_2d_int16 =
    Int16(Operation::DepthwiseConv2D, reds::RunDepthwiseConv2D<int16_t>);
const reds_operation reds_fully_connected_int16 =
    Int16(Operation::FullyConnected, reds::RunFullyConnected<int16_t>);
const reds_operation reds_average_pool_2d_int16 =
    Int16(Operation::AveragePool2D, reds::RunAveragePool<int16_t>);
const reds_operation reds_max_pool_2d_int16 = Int16(Operation::MaxPool2D, reds::RunMaxPool<int16_t>);
const reds_operation reds_relu_int16 = Int16(Operation::Relu, reds::RunRescale);
const reds_operation reds_softmax_int16 = Int16(Operation::Softmax, reds::RunSoftmax<int16_t>);
const reds_operation reds_add_int16 = Int16(Operation::Add, reds::RunSum<int16_t>);
const reds_operation reds_concatenation_int16 =
    Int16(Operation::Concatenation, reds::RunConcatenation<int16_t>);
const reds_operation reds_pad_int16 = Int16(Operation::Pad, reds::RunPad<int16_t>);
const reds_operation reds_mean_int16 = Int16(Operation::Mean, reds::RunMean<int16_t>);
const reds_operation reds_requantize_int16 = Int16(Operation::Requantize, reds::RunRescale);
const reds_operation reds_resize_nearest_neighbor_int16 =
    Int16(Operation::ResizeNearestNeighbor, reds::RunResize<int16_t>);
const reds_operation reds_strided_slice_int16 = Int16(Operation::StridedSlice, reds::RunSlice<int16_t>);
const reds_operation reds_quantize_int16 = Int16(Operation::Quantize, reds::RunQuantizeOfFloat<int16_t>);
const reds_operation reds_dequantize_int16 =
    Int16(Operation::Dequantize, reds::RunDequantizeToFloat<int16_t>);

const reds_operation reds_conv_2d_float32 = Float32(Operation::Conv2D, reds::RunConv2D<float>);
const reds_operation reds_grouped_conv_2d_float32 =
    Float32(Operation::Conv2D, reds::RunGroupedConv2D<float>, reds::kHasGroups);
const reds_operation reds_depthwise_conv_2d_float32 =
    Float32(Operation::DepthwiseConv2D, reds::RunDepthwiseConv2D<float>);
const reds_operation reds_fully_connected_float32 =
    Float32(Operation::FullyConnected, reds::RunFullyConnected<float>);
const reds_operation reds_average_pool_2d_float32 =
    Float32(Operation::AveragePool2D, reds::RunAveragePool<float>);
const reds_operation reds_max_pool_2d_float32 = Float32(Operation::MaxPool2D, reds::RunMaxPool<float>);
const reds_operation reds_relu_float32 = Float32(Operation::Relu, reds::RunRelu<float>);
const reds_operation reds_softmax_float32 = Float32(Operation::Softmax, reds::RunSoftmax<float>);
const reds_operation reds_add_float32 = Float32(Operation::Add, reds::RunSum<float>);
const reds_operation reds_concatenation_float32 =
    Float32(Operation::Concatenation, reds::RunConcatenation<float>);
const reds_operation reds_leaky_relu_float32 = Float32(Operation::LeakyRelu, reds::RunLeakyRelu);
const reds_operation reds_logistic_float32 =
    Float32(Operation::Logistic, reds::RunElementwise<reds::RunLogistic>);
const reds_operation reds_tanh_float32 = Float32(Operation::Tanh, reds::RunElementwise<reds::RunTanh>);
const reds_operation reds_hard_swish_float32 =
    Float32(Operation::HardSwish, reds::RunElementwise<reds::RunHardSwish>);
const reds_operation reds_pad_float32 = Float32(Operation::Pad, reds::RunPad<float>);
const reds_operation reds_mul_float32 = Float32(Operation::Mul, reds::RunProduct<float>);
const reds_operation reds_sub_float32 = Float32(Operation::Sub, reds::RunSum<float>);
const reds_operation reds_mean_float32 = Float32(Operation::Mean, reds::RunMean<float>);
const reds_operation reds_prelu_float32 = Float32(Operation::PRelu, reds::RunPRelu<float>);
const reds_operation reds_resize_nearest_neighbor_float32 =
    Float32(Operation::ResizeNearestNeighbor, reds::RunResize<float>);
const reds_operation reds_transpose_conv_float32 =
    Float32(Operation::TransposeConv, reds::RunTransposeConv<float>);
const reds_operation reds_strided_slice_float32 = Float32(Operation::StridedSlice, reds::RunSlice<float>);
const reds_operation reds_transpose_float32 = Float32(Operation::Transpose, reds::RunTranspose<float>);
const reds_operation reds_batch_mat_mul_float32 =
    Float32(Operation::BatchMatMul, reds::RunBatchMatMul<float>);
#endif

// ---- Inference ----

reds_tensor reds_input(const reds_context* context) {
  const reds::Context& self = reds::Private(context);
  return reds::DescribePort(self, *self.plan->input());
}

reds_tensor reds_output(const reds_context* context) {
  const reds::Context& self = reds::Private(context);
  return reds::DescribePort(self, *self.plan->output());
}

void reds_invoke(reds_context* context) {
  reds::Private(context).samples_left = 0;
  while (reds_step(context) != REDS_DONE) {
  }
}

reds_status reds_step(reds_context* context) {
  reds::Context& self = reds::Private(context);
  if (self.samples_left == 0) reds::BeginInference(self);
  reds::Observe(self, false);
  reds::RunStep(self);
  reds::Observe(self, true);
  if (++self.next_step < self.steps->size()) return REDS_OK;
  if (--self.samples_left == 0) return REDS_DONE;
  reds::BeginNextSample(self);
  return REDS_OK;
}
