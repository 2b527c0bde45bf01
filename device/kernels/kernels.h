// The contract between the runtime and the kernels.
//
// A kernel computes the first channels of a layer from the weights of the full layer. Activations are dense
// NHWC maps of the active channels; weights keep the full layer's layout, so the distance between taps or
// rows is a pitch that the kernel is given. Kernels check nothing: reds_open has made sure that
//   - every size is positive and every map and weight tensor is below 2^31 bytes;
//   - every window meets the map in at least one tap where the dilation is 1;
//   - sums of products of int8 values fit int32_t, those of int16 with int8 values int64_t with room for a factor;
//   - inputs and output overlap only as said below;
//   - activations and weights begin at 4-byte boundaries;
//   - weights lie in the model behind the word with their size, so that the four bytes before them can be read;
//   - multipliers of int8 lie behind the biases and shifts, padded to a word, behind the multipliers, so that as many as
//     for one more channel can be read where the number of channels is odd.
//
// Where input and output overlap, a kernel must not write what it has yet to read. src/overlap.h says how near they
// may lie, from how kernels walk:
//   - Functions of one element, Quantize, Softmax, PRelu, and Add and Mul of two whole maps, or of one and constants, go
//     from the first element to the last and have read all that an element is made of before they write it. Their
//     output begins at or before the inputs that it overlaps.
//   - Dequantize goes from the last element to the first. Its output begins behind the begin of the input.
//   - Pools compute the positions of the output from the first to the last, and all channels of one before the next.
//   - Conv2D does so too where its output begins at or before its input; where it begins behind it, from the last
//     position to the first (see IsBackward). After anything of a position has been written, windows of the
//     kConvolutionLookbackPositions positions that came before it may still be read. GroupedConv2D is the same but
//     that its output begins at or before its input or behind the end of it.
//   - DepthwiseConv2D with a multiplier of 1 writes a channel at a place from which it reads only the same channel,
//     since its output begins a whole number of positions before the input. Of each channel it computes the positions
//     from the first to the last, but that after anything of a row has been written, windows of the
//     kDepthwiseLookbackRows rows before it may still be read. Channels may come in any order.
//   - Nothing else overlaps.
//
// An int8 or int16 kernel is bit-exact with TFLite Micro's reference kernel on the stand-alone narrow layer. The
// biases that one for int8 is given have the input's zero point folded in, bias[o] - zero_point * sum(weights of o over
// the active inputs), so that the raw products sum to the right accumulator. A tap in the padding therefore
// counts as the input's zero point. All zero points of int16 are 0.
//
// Kernels for one instruction set lie in a folder of their own. The build takes a file from there in place of
// the file of the same name in portable/.

#ifndef REDS_KERNELS_KERNELS_H
#define REDS_KERNELS_KERNELS_H

#include <cstdint>

#include "reds/conventions.h"

namespace reds {

using conventions::kConvolutionLookbackPositions;
using conventions::kDepthwiseLookbackRows;

// A factor multiplier / 2^31 * 2^shift with a shift from -31 to 30.
struct Factor {
  int32_t multiplier;
  int32_t shift;
};

// How a window slides over a map. Tap (i, j) of output (y, x) is at row y * stride_height - padding_top +
// i * dilation_height and column x * stride_width - padding_left + j * dilation_width.
struct Window {
  uint16_t input_height;
  uint16_t input_width;
  uint16_t output_height;
  uint16_t output_width;
  uint16_t kernel_height;
  uint16_t kernel_width;
  uint8_t stride_height;
  uint8_t stride_width;
  uint8_t dilation_height;
  uint8_t dilation_width;
  uint16_t padding_top;
  uint16_t padding_left;
};

// Type of the weights for activations of a type.
template <typename Element>
struct WeightOf {
  using Type = Element;
};

template <>
struct WeightOf<int16_t> {
  using Type = int8_t;
};

template <typename Element>
using Weight = typename WeightOf<Element>::Type;

// Closed range that results are clamped to.
template <typename Element>
struct Clamp {
  Element minimum;
  Element maximum;
};

// From the sum of products of output channel o to the element that is stored.
template <typename Element>
struct OutputStage;

// clamp((sum + bias[o]) * multiplier[o] / 2^31 * 2^shift[o] + zero_point), rounded twice as in TFLite Micro.
template <>
struct OutputStage<int8_t> {
  const int32_t* bias;
  const int32_t* multiplier;
  const int8_t* shift;
  int32_t zero_point;
  Clamp<int32_t> clamp;
};

// clamp((sum + bias[o]) * multiplier[o] / 2^31 * 2^shift[o]). Where sums have 32 bits it is rounded twice, as for int8.
// Where they have 64, the multiplier is first rounded to 15 bits and the result once, as in TFLite Micro; then sums with
// their bias are below 2^47, and shifts at most 7.
template <>
struct OutputStage<int16_t> {
  const uint32_t* bias;      // the low words
  const int32_t* high_bias;  // the high words; null where sums have 32 bits
  const int32_t* multiplier;
  const int8_t* shift;
  Clamp<int32_t> clamp;
};

// clamp(sum * scale[o] + bias[o]).
template <>
struct OutputStage<float> {
  const float* bias;
  const float* scale;
  Clamp<float> clamp;
};

// Weights: [full outputs][kernel_height][kernel_width][weights_pitch].
template <typename Element>
struct Conv2D {
  Window window;
  const Element* input;
  const Weight<Element>* weights;
  Element* output;
  int32_t input_channels;
  int32_t output_channels;
  int32_t weights_pitch;     // elements from tap to tap: the full layer's input channels
  int32_t input_zero_point;  // value of the padding; 0 for float32
  OutputStage<Element> stage;
};

// Whether positions are computed from the last to the first, so that the output does not overtake the input.
template <typename Element>
inline bool IsBackward(const Conv2D<Element>& conv) {
  return conv.output > conv.input;
}

// Weights: [groups * group_outputs][kernel_height][kernel_width][group_inputs]. All channels are active; group g reads
// the input channels from g * group_inputs on and makes the output channels from g * group_outputs on.
template <typename Element>
struct GroupedConv2D {
  Window window;
  const Element* input;
  const Weight<Element>* weights;
  Element* output;
  int32_t groups;
  int32_t group_inputs;
  int32_t group_outputs;
  int32_t input_zero_point;  // value of the padding; 0 for float32
  OutputStage<Element> stage;
};

// A convolution's transpose: input (y, x) adds to output (y * stride_height - padding_top + i, x * stride_width -
// padding_left + j) what it is times tap (i, j). Biases are as they are, with no zero point in them.
template <typename Element>
struct TransposeConv {
  Conv2D<Element> conv;
};

// Weights: [kernel_height][kernel_width][weights_pitch]. Output channel o belongs to input channel o /
// multiplier.
template <typename Element>
struct DepthwiseConv2D {
  Window window;
  const Element* input;
  const Weight<Element>* weights;
  Element* output;
  int32_t input_channels;
  int32_t multiplier;        // output channels per input channel
  int32_t weights_pitch;     // elements from tap to tap: the full layer's output channels
  int32_t input_zero_point;  // value of the padding; 0 for float32
  OutputStage<Element> stage;
};

// Weights: [full outputs][weights_pitch], walked from the first row to the last, once for all samples; portable
// kernels do so one row after the other, others take a few rows side by side. Every position of the map is a
// sample.
template <typename Element>
struct FullyConnected {
  const Element* input;
  const Weight<Element>* weights;
  Element* output;
  int32_t samples;
  int32_t input_channels;
  int32_t output_channels;
  int32_t weights_pitch;  // elements from row to row: the full layer's input channels
  OutputStage<Element> stage;
};

// Padding counts neither in an average nor in a maximum.
template <typename Element>
struct Pool2D {
  Window window;
  const Element* input;
  Element* output;
  int32_t channels;
  Clamp<Element> clamp;
};

template <typename Element>
struct Relu {
  const Element* input;
  Element* output;
  int32_t elements;
  Clamp<Element> clamp;
};

// Any function of one int8 element: the output is table[the input's byte].
struct Lookup {
  const int8_t* input;
  const int8_t* table;  // 256 elements
  int8_t* output;
  int32_t elements;
};

// A function of one float32 element without constants.
struct Elementwise {
  const float* input;
  float* output;
  int32_t elements;
};

struct LeakyRelu {
  Elementwise elements;
  float slope;  // factor on negative elements
};

template <typename Element>
struct PRelu;

// Weights: [channels], the slope on negative elements. clamp((input - input_zero_point) * factor + zero_point), times
// the slope where that is negative.
template <>
struct PRelu<int8_t> {
  const int8_t* input;
  const int8_t* slopes;
  int8_t* output;
  int32_t positions;
  int32_t channels;
  int32_t input_zero_point;
  Factor positive;
  Factor negative;
  int32_t zero_point;
  Clamp<int32_t> clamp;
};

template <>
struct PRelu<float> {
  const float* input;
  const float* slopes;
  float* output;
  int32_t positions;
  int32_t channels;
};

// The network's input from real values: clamp(round(input / scale) + zero_point), halves away from zero. What is beyond
// the range of an element, however far, becomes the nearest one, and what is no number the smallest.
template <typename Element>
struct Quantize {
  const float* input;
  Element* output;
  int32_t elements;
  float scale;
  int32_t zero_point;
};

// The network's output as real values: scale * (input - zero_point).
template <typename Element>
struct Dequantize {
  const Element* input;
  float* output;
  int32_t elements;
  float scale;
  int32_t zero_point;
};

template <typename Element>
struct Softmax;

// The output's scale is 1/256 and its zero point -128. What the constants mean: src/constants.h.
template <>
struct Softmax<int8_t> {
  const int8_t* input;
  int8_t* output;
  int32_t samples;
  int32_t channels;
  int32_t multiplier;
  int32_t left_shift;
  int32_t minimum_difference;
};

// The output's scale is 1/32768. e^x from -10 to 0 and 1 / (1 + x) from 0 to 1 are looked up in tables.
template <>
struct Softmax<int16_t> {
  const int16_t* input;
  int16_t* output;
  int32_t samples;
  int32_t channels;
  Factor factor;  // from differences to the maximum to places in the first table
  const int16_t* exponentials;
  const int16_t* reciprocals;
};

template <>
struct Softmax<float> {
  const float* input;
  float* output;
  int32_t samples;
  int32_t channels;
};

// A map with a border. All sizes but `rows` are in bytes, so that it serves every type.
struct Pad {
  const uint8_t* input;
  uint8_t* output;
  int32_t rows;  // of the input
  int32_t row;
  int32_t above;
  int32_t left;
  int32_t right;
  int32_t below;
  uint8_t value;
};

void Run(const Pad& pad);

// A map whose rows and positions are repeated. A position's size is in bytes, so that it serves every type.
struct Repeat {
  const uint8_t* input;
  uint8_t* output;
  int32_t rows;     // of the input
  int32_t columns;  // of the input
  int32_t position;
  int32_t row_times;
  int32_t column_times;
};

void Run(const Repeat& repeat);

// A map that has at each of its rows and columns a row and a column of another. Sizes are in bytes, as above.
struct Gather {
  const uint8_t* input;
  uint8_t* output;
  const uint16_t* rows;     // of the input, one per row of the output
  const uint16_t* columns;  // of the input, one per column of the output
  int32_t output_rows;
  int32_t output_columns;
  int32_t row;
  int32_t position;
};

void Run(const Gather& gather);

// A map whose dimensions have changed places: how many elements each dimension of the output has, and how far
// neighbours along it lie apart in the input.
template <typename Element>
struct Transpose {
  const Element* input;
  Element* output;
  int32_t sizes[3];
  int32_t steps[3];
};

template <typename Element>
struct Add;

// How an input of a sum is read: (value - zero_point) * 2^left_shift * factor. Shifts of factors are at most 0.
struct Addend {
  int32_t zero_point;
  Factor factor;
};

// clamp((first + sign * second) * factor + zero_point), each product rounded twice as in TFLite Micro. Left
// shifts are at most 20, and shifts of factors at most 0, so that nothing overflows 32 bits.
template <>
struct Add<int8_t> {
  const int8_t* first;
  const int8_t* second;
  int8_t* output;
  int32_t elements;
  Addend first_addend;
  Addend second_addend;
  int32_t sign;  // 1, or -1 for a difference
  int32_t left_shift;
  Factor factor;
  int32_t zero_point;
  Clamp<int32_t> clamp;
};

// clamp((first + second) * factor), as for int8 with a left shift of 15.
template <>
struct Add<int16_t> {
  const int16_t* first;
  const int16_t* second;
  int16_t* output;
  int32_t elements;
  Factor first_factor;
  Factor second_factor;
  int32_t left_shift;
  Factor factor;
  Clamp<int32_t> clamp;
};

template <>
struct Add<float> {
  const float* first;
  const float* second;
  float* output;
  int32_t elements;
  float sign;  // 1, or -1 for a difference
  Clamp<float> clamp;
};

template <typename Element>
struct Mul;

// clamp((first - its zero point) * (second - its zero point) * factor + zero_point).
template <>
struct Mul<int8_t> {
  const int8_t* first;
  const int8_t* second;
  int8_t* output;
  int32_t elements;
  int32_t first_zero_point;
  int32_t second_zero_point;
  Factor factor;
  int32_t zero_point;
  Clamp<int32_t> clamp;
};

template <>
struct Mul<float> {
  const float* first;
  const float* second;
  float* output;
  int32_t elements;
  Clamp<float> clamp;
};

// Matrices [rows][depth] and [depth][columns] whose products are taken, one pair after the other. Steps are elements
// between neighbours, so that either may lie transposed.
template <typename Element>
struct Matrices {
  const Element* first;
  const Element* second;
  Element* output;  // [pairs][rows][columns]
  int32_t pairs;
  int32_t rows;
  int32_t columns;
  int32_t depth;
  int32_t first_row_step;
  int32_t first_depth_step;
  int32_t second_column_step;
  int32_t second_depth_step;
};

template <typename Element>
struct BatchMatMul;

// clamp(sum of (first - its zero point) * (second - its zero point) * factor + zero_point).
template <>
struct BatchMatMul<int8_t> {
  Matrices<int8_t> matrices;
  int32_t first_zero_point;
  int32_t second_zero_point;
  Factor factor;
  int32_t zero_point;
  Clamp<int32_t> clamp;
};

template <>
struct BatchMatMul<float> {
  Matrices<float> matrices;
};

// clamp(input * factor).
struct Rescale {
  const int16_t* input;
  int16_t* output;
  int32_t elements;
  Factor factor;
  Clamp<int32_t> clamp;
};

// The average of each channel over all positions: clamp(sum of (input - input_zero_point) * factor + zero_point),
// where the factor divides by their number.
template <typename Element>
struct Mean {
  const Element* input;
  Element* output;
  int32_t positions;
  int32_t channels;
  int32_t input_zero_point;
  Factor factor;
  int32_t zero_point;
  Clamp<int32_t> clamp;
};

// One input of a concatenation, or a slice: its channels go to the same place of every position of the output.
struct CopyChannels {
  const uint8_t* input;
  uint8_t* output;  // the first position's place for them
  int32_t positions;
  int32_t bytes;  // of the input's channels at one position
  int32_t pitch;  // bytes from position to position of the output
  int32_t input_pitch;
};

void Run(const CopyChannels& copy);

// The first channels of a map as a map of their own, at the place of the map or before it, from the first position to
// the last. With a table each byte becomes table[byte].
struct NarrowChannels {
  const uint8_t* input;
  uint8_t* output;
  int32_t positions;
  int32_t bytes;        // of the kept channels at one position
  int32_t input_pitch;  // bytes from position to position of the input
  const int8_t* table;  // 256 elements, or null
};

// Bytes brought to a place behind their begin, from the last to the first.
struct MoveUp {
  const uint8_t* input;
  uint8_t* output;
  int32_t bytes;
};

void Run(const NarrowChannels& narrow);
void Run(const MoveUp& move);

void Run(const Conv2D<int8_t>& conv);
void Run(const GroupedConv2D<int8_t>& conv);
void Run(const TransposeConv<int8_t>& transpose);
void Run(const DepthwiseConv2D<int8_t>& conv);
void Run(const FullyConnected<int8_t>& layer);
void RunAverage(const Pool2D<int8_t>& pool);
void RunMaximum(const Pool2D<int8_t>& pool);
void Run(const Relu<int8_t>& relu);
void Run(const Lookup& lookup);
void Run(const Transpose<int8_t>& transpose);
void Run(const Softmax<int8_t>& softmax);
void Run(const Add<int8_t>& sum);
void Run(const Mul<int8_t>& product);
void Run(const BatchMatMul<int8_t>& product);
void Run(const Mean<int8_t>& mean);
void Run(const PRelu<int8_t>& relu);

void Run(const Conv2D<int16_t>& conv);
void Run(const GroupedConv2D<int16_t>& conv);
void Run(const DepthwiseConv2D<int16_t>& conv);
void Run(const FullyConnected<int16_t>& layer);
void RunAverage(const Pool2D<int16_t>& pool);
void RunMaximum(const Pool2D<int16_t>& pool);
void Run(const Rescale& rescale);
void Run(const Softmax<int16_t>& softmax);
void Run(const Add<int16_t>& sum);
void Run(const Mean<int16_t>& mean);

void Run(const Quantize<int8_t>& quantize);
void Run(const Quantize<int16_t>& quantize);
void Run(const Dequantize<int8_t>& dequantize);
void Run(const Dequantize<int16_t>& dequantize);

void Run(const Conv2D<float>& conv);
void Run(const GroupedConv2D<float>& conv);
void Run(const TransposeConv<float>& transpose);
void Run(const DepthwiseConv2D<float>& conv);
void Run(const FullyConnected<float>& layer);
void RunAverage(const Pool2D<float>& pool);
void RunMaximum(const Pool2D<float>& pool);
void Run(const Relu<float>& relu);
void Run(const LeakyRelu& relu);
void Run(const Transpose<float>& transpose);
void Run(const PRelu<float>& relu);
void RunLogistic(const Elementwise& elements);
void RunTanh(const Elementwise& elements);
void RunHardSwish(const Elementwise& elements);
void Run(const Softmax<float>& softmax);
void Run(const Add<float>& sum);
void Run(const Mul<float>& product);
void Run(const BatchMatMul<float>& product);

}  // namespace reds

#endif
