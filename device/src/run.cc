// Running a subnetwork: each step of its run list becomes the operands of one kernel.

#include <type_traits>

#include "kernels/kernels.h"
#include "reds/reds.h"
#include "src/constants.h"
#include "src/context.h"

namespace reds {
namespace {

using schema::Activation;
using schema::ElementType;
using schema::Layer;
using schema::Operation;
using schema::PortType;
using schema::Step;
using schema::Tensor;

// The operands of a kernel lie under its frame; those of the others should not.
#define REDS_OWN_FRAME __attribute__((noinline))

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

  template <typename Element>
  const Element* Second() const {
    return Elements<Element>(SecondSource());
  }

  // How often an operation on two maps takes the second one: once, or at every position.
  int32_t SecondRepeats() const { return layer.kernel_height() * layer.kernel_width(); }

  int32_t ElementsAtOnce() const { return Positions() / SecondRepeats() * destination.channels(); }
};

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
REDS_OWN_FRAME void RunConv2D(const Task& task) {
  Run(MakeConv2D<Element>(task));
}

template <typename Element>
REDS_OWN_FRAME void RunTransposeConv(const Task& task) {
  Run(TransposeConv<Element>{MakeConv2D<Element>(task)});
}

template <typename Element>
REDS_OWN_FRAME void RunGroupedConv2D(const Task& task) {
  const Layer& layer = task.layer;
  Run(GroupedConv2D<Element>{MakeWindow(layer), task.Input<Element>(), task.Weights<Element>(),
                             task.Output<Element>(), layer.groups(), layer.input_channels() / layer.groups(),
                             layer.output_channels() / layer.groups(), PaddingValue<Element>(task),
                             MakeStage<Element>(task)});
}

template <typename Element>
REDS_OWN_FRAME void RunDepthwiseConv2D(const Task& task) {
  Run(DepthwiseConv2D<Element>{
      MakeWindow(task.layer), task.Input<Element>(), task.Weights<Element>(), task.Output<Element>(),
      task.source.channels(), task.layer.output_channels() / task.layer.input_channels(),
      task.layer.output_channels(), PaddingValue<Element>(task), MakeStage<Element>(task)});
}

template <typename Element>
REDS_OWN_FRAME void RunFullyConnected(const Task& task) {
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
REDS_OWN_FRAME void RunAveragePool(const Task& task) {
  RunAverage(MakePool<Element>(task));
}

template <typename Element>
REDS_OWN_FRAME void RunMaxPool(const Task& task) {
  RunMaximum(MakePool<Element>(task));
}

template <typename Element>
void RunElementwise(const Task& task);

template <>
REDS_OWN_FRAME void RunElementwise<int8_t>(const Task& task) {
  Run(Lookup{task.Input<int8_t>(), LookupConstants(task.Constants()).table, task.Output<int8_t>(),
             task.Positions() * task.destination.channels()});
}

#ifndef REDS_INT8_ONLY
template <>
REDS_OWN_FRAME void RunElementwise<float>(const Task& task) {
  const Elementwise elements = {task.Input<float>(), task.Output<float>(),
                                task.Positions() * task.destination.channels()};
  switch (task.layer.operation()) {
    case Operation::LeakyRelu:
      return Run(LeakyRelu{elements, SlopeConstants(task.Constants()).slope});
    case Operation::Logistic:
      return RunLogistic(elements);
    case Operation::Tanh:
      return RunTanh(elements);
    default:
      return RunHardSwish(elements);
  }
}
#endif

#ifndef REDS_INT8_ONLY
template <typename Element>
REDS_OWN_FRAME void RunQuantizeOfFloat(const Task& task) {
  Run(Quantize<Element>{task.Input<float>(), task.Output<Element>(),
                        task.Positions() * task.destination.channels(), task.destination.scale(),
                        task.destination.zero_point()});
}

template <typename Element>
REDS_OWN_FRAME void RunDequantizeToFloat(const Task& task) {
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
  RunElementwise<int8_t>(task);
}

// The network's output in another type.
void RunDequantize(const Task& task) {
#ifndef REDS_INT8_ONLY
  if (task.context.plan->output()->type() == PortType::Float32) return RunDequantizeToFloat<int8_t>(task);
#endif
  RunElementwise<int8_t>(task);
}

template <typename Element>
REDS_OWN_FRAME void RunRelu(const Task& task) {
  // In int8 it is a clamp, or a table where it also changes the quantisation.
  if (std::is_same<Element, int8_t>::value && !HaveOneQuantization(task.source, task.destination)) {
    return RunElementwise<Element>(task);
  }
  Run(Relu<Element>{task.Input<Element>(), task.Output<Element>(),
                    task.Positions() * task.destination.channels(), MakeClamp<Element>(task)});
}

template <typename Element>
REDS_OWN_FRAME void RunPad(const Task& task) {
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
          {task.SecondSource().zero_point(), factor(1)},
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
          task.Second<int16_t>(),
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
          task.SecondSource().zero_point(),
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

// Runs an operation on two maps, once for each time that the second one is taken.
template <typename Pair>
void RunPair(const Task& task, Pair pair) {
  for (int32_t left = task.SecondRepeats(); left > 0; --left) {
    Run(pair);
    pair.first += pair.elements;
    pair.output += pair.elements;
  }
}

template <typename Element>
void RunMean(const Task& task);

template <>
REDS_OWN_FRAME void RunMean<int8_t>(const Task& task) {
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
REDS_OWN_FRAME void RunMean<int16_t>(const Task& task) {
  const Scaling scaling(task);
  Run(Mean<int16_t>{task.Input<int16_t>(), task.Output<int16_t>(),
                    task.layer.input_height() * task.layer.input_width(), task.destination.channels(), 0,
                    scaling.factor, 0, scaling.clamp});
}

REDS_OWN_FRAME void RunRescale(const Task& task) {
  const Scaling scaling(task);
  Run(Rescale{task.Input<int16_t>(), task.Output<int16_t>(), task.Positions() * task.destination.channels(),
              scaling.factor, scaling.clamp});
}

template <>
REDS_OWN_FRAME void RunMean<float>(const Task& task) {
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
REDS_OWN_FRAME void RunResize(const Task& task) {
  const Layer& layer = task.layer;
  Run(Repeat{task.Input<uint8_t>(), task.Output<uint8_t>(), layer.input_height(), layer.input_width(),
             task.source.channels() * static_cast<int32_t>(sizeof(Element)), layer.stride_height(),
             layer.stride_width()});
}

template <typename Element>
REDS_OWN_FRAME void RunSlice(const Task& task) {
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
REDS_OWN_FRAME void RunSoftmax(const Task& task) {
  Run(MakeSoftmax<Element>(task));
}

template <typename Element>
REDS_OWN_FRAME void RunSum(const Task& task) {
  RunPair(task, MakeAdd<Element>(task));
}

template <typename Element>
REDS_OWN_FRAME void RunProduct(const Task& task) {
  RunPair(task, MakeMul<Element>(task));
}

template <typename Element>
REDS_OWN_FRAME void RunPRelu(const Task& task) {
  Run(MakePRelu<Element>(task));
}

template <typename Element>
REDS_OWN_FRAME void RunConcatenation(const Task& task) {
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

template <typename Element>
void RunTask(const Task& task) {
  switch (task.layer.operation()) {
    case Operation::Conv2D:
      return task.layer.groups() > 1 ? RunGroupedConv2D<Element>(task) : RunConv2D<Element>(task);
    case Operation::TransposeConv:
      return RunTransposeConv<Element>(task);
    case Operation::DepthwiseConv2D:
      return RunDepthwiseConv2D<Element>(task);
    case Operation::FullyConnected:
      return RunFullyConnected<Element>(task);
    case Operation::AveragePool2D:
      return RunAveragePool<Element>(task);
    case Operation::MaxPool2D:
      return RunMaxPool<Element>(task);
    case Operation::Relu:
      return RunRelu<Element>(task);
    case Operation::Softmax:
      return RunSoftmax<Element>(task);
    case Operation::Add:
    case Operation::Sub:
      return RunSum<Element>(task);
    case Operation::Mul:
      return RunProduct<Element>(task);
    case Operation::Mean:
      return RunMean<Element>(task);
    case Operation::PRelu:
      return RunPRelu<Element>(task);
    case Operation::ResizeNearestNeighbor:
      return RunResize<Element>(task);
    case Operation::StridedSlice:
      return RunSlice<Element>(task);
    case Operation::Concatenation:
      return RunConcatenation<Element>(task);
    case Operation::LeakyRelu:
    case Operation::Logistic:
    case Operation::Tanh:
    case Operation::HardSwish:
    case Operation::Requantize:
      return RunElementwise<Element>(task);
    case Operation::Pad:
      return RunPad<Element>(task);
    case Operation::Quantize:
      return RunQuantize(task);
    case Operation::Dequantize:
      return RunDequantize(task);
  }
}

#ifndef REDS_INT8_ONLY
// Fewer operations than in other types: those that the plan rules let through.
template <>
void RunTask<int16_t>(const Task& task) {
  switch (task.layer.operation()) {
    case Operation::Conv2D:
      return task.layer.groups() > 1 ? RunGroupedConv2D<int16_t>(task) : RunConv2D<int16_t>(task);
    case Operation::DepthwiseConv2D:
      return RunDepthwiseConv2D<int16_t>(task);
    case Operation::FullyConnected:
      return RunFullyConnected<int16_t>(task);
    case Operation::AveragePool2D:
      return RunAveragePool<int16_t>(task);
    case Operation::MaxPool2D:
      return RunMaxPool<int16_t>(task);
    case Operation::Relu:
    case Operation::Requantize:
      return RunRescale(task);
    case Operation::Softmax:
      return RunSoftmax<int16_t>(task);
    case Operation::Add:
      return RunSum<int16_t>(task);
    case Operation::Mean:
      return RunMean<int16_t>(task);
    case Operation::ResizeNearestNeighbor:
      return RunResize<int16_t>(task);
    case Operation::StridedSlice:
      return RunSlice<int16_t>(task);
    case Operation::Concatenation:
      return RunConcatenation<int16_t>(task);
    case Operation::Pad:
      return RunPad<int16_t>(task);
    case Operation::Quantize:
      return RunQuantizeOfFloat<int16_t>(task);
    case Operation::Dequantize:
      return RunDequantizeToFloat<int16_t>(task);
    default:
      return;
  }
}
#endif

void RunTaskOfType(ElementType type, const Task& task) {
#ifdef REDS_INT8_ONLY
  static_cast<void>(type);
  RunTask<int8_t>(task);
#else
  switch (type) {
    case ElementType::Int8:
      return RunTask<int8_t>(task);
    case ElementType::Int16:
      return RunTask<int16_t>(task);
    case ElementType::Float32:
      return RunTask<float>(task);
  }
#endif
}

void Observe(const Context& context, const Step& step, Operation operation, bool finished) {
  if (context.observer == nullptr) return;
  context.observer(context.user, context.next_step, step.layer(), static_cast<uint32_t>(operation), finished);
}

void RunStep(const Context& context, const Step& step) {
  const Layer& layer = *context.layers->Get(step.layer());
  Observe(context, step, layer.operation(), false);
  RunTaskOfType(context.plan->element_type(), {context, step, layer, *context.tensors->Get(step.input()),
                                               *context.tensors->Get(step.output())});
  Observe(context, step, layer.operation(), true);
}

void BeginInference(Context& context) {
  const schema::Subnetwork& subnetwork = *context.subnetworks->Get(context.selected);
  context.steps = subnetwork.steps();
  context.tensors = subnetwork.tensors();
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
  if (context.plan->element_type() == ElementType::Int16) return REDS_INT16;
#endif
  return context.plan->element_type() == ElementType::Int8 ? REDS_INT8 : REDS_FLOAT32;
}

reds_tensor DescribePort(const Context& context, const schema::Port& port) {
  reds_tensor tensor = {};
  tensor.data = context.arena + port.offset();
  tensor.bytes = port.bytes();
  tensor.type = TypeOf(context, port);
  if (tensor.type != REDS_FLOAT32) {
    tensor.scale = port.scale();
    tensor.zero_point = port.zero_point();
  }
  return tensor;
}

}  // namespace
}  // namespace reds

reds_tensor reds_input(const reds_context* context) {
  const reds::Context& self = reds::Private(context);
  return reds::DescribePort(self, *self.plan->input());
}

reds_tensor reds_output(const reds_context* context) {
  const reds::Context& self = reds::Private(context);
  return reds::DescribePort(self, *self.plan->output());
}

void reds_invoke(reds_context* context) {
  reds::Private(context).next_step = 0;
  while (reds_step(context) != REDS_DONE) {
  }
}

reds_status reds_step(reds_context* context) {
  reds::Context& self = reds::Private(context);
  if (self.next_step == 0) reds::BeginInference(self);
  reds::RunStep(self, *self.steps->Get(self.next_step));
  ++self.next_step;
  if (self.next_step < self.steps->size()) return REDS_OK;
  self.next_step = 0;
  return REDS_DONE;
}
