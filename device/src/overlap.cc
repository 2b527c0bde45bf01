#include "src/overlap.h"

#include "reds/conventions.h"

namespace reds {
namespace {

using schema::Layer;
using schema::Operation;

int32_t Smaller(int32_t a, int32_t b) { return a < b ? a : b; }
int32_t Larger(int32_t a, int32_t b) { return a > b ? a : b; }

// A window that goes through a map row by row. Sizes of rows and positions are in bytes; maps have fewer than 2^31.
class Walk {
 public:
  Walk(const Layer& layer, int32_t input, int32_t output)
      : input_height_(layer.input_height()),
        input_row_(layer.input_width() * input),
        output_height_(layer.output_height()),
        output_width_(layer.output_width()),
        output_(output),
        stride_(layer.stride_height()),
        padding_(layer.padding_top()),
        reach_((layer.kernel_height() - 1) * layer.dilation_height()) {
    if (!IsPointwise(layer)) return;
    // Every position is a row of its own.
    input_height_ *= layer.input_width();
    input_row_ = input;
    output_height_ *= output_width_;
    output_width_ = 1;
  }

  // How far the output has to begin before the input for a walk from the first position to the last: when the last
  // position that looks back to row y has been written, all from that row's first tap on has to be there. The
  // difference is concave in y, so its maximum is at one of its bends or ends.
  int32_t Before(int32_t lookback) const {
    const int32_t clipped = padding_ / stride_;
    const int32_t whole = output_height_ - 1 - lookback / output_width_;
    return Largest(&Walk::NeededBefore, lookback, {0, clipped, clipped + 1, whole - 1, whole});
  }

  // The same behind the input for a walk from the last position to the first.
  int32_t Behind(int32_t lookback) const {
    const int32_t last_reach = input_height_ - 1 + padding_ - reach_;
    const int32_t clipped = last_reach < 0 ? 0 : last_reach / stride_;
    const int32_t whole = lookback / output_width_;
    return Largest(&Walk::NeededBehind, lookback, {0, clipped, clipped + 1, whole, whole + 1});
  }

 private:
  static constexpr int kRows = 5;

  static bool IsPointwise(const Layer& layer) {
    return layer.kernel_height() == 1 && layer.kernel_width() == 1 && layer.stride_height() == 1 &&
           layer.stride_width() == 1 && layer.output_height() == layer.input_height() &&
           layer.output_width() == layer.input_width();
  }

  int32_t NeededBefore(int32_t y, int32_t lookback) const {
    const int32_t left = (output_height_ - 1 - y) * output_width_;
    const int32_t written = output_height_ * output_width_ - Larger(0, left - lookback);
    return written * output_ - Larger(0, y * stride_ - padding_) * input_row_;
  }

  int32_t NeededBehind(int32_t y, int32_t lookback) const {
    const int32_t rows = Smaller(input_height_, y * stride_ - padding_ + reach_ + 1);
    return rows * input_row_ - Larger(0, y * output_width_ - lookback) * output_;
  }

  int32_t Largest(int32_t (Walk::*needed)(int32_t, int32_t) const, int32_t lookback,
                  const int32_t (&rows)[kRows]) const {
    const int32_t last = output_height_ - 1;
    int32_t largest = Larger(0, (this->*needed)(last, lookback));
    for (const int32_t row : rows) {
      largest = Larger(largest, (this->*needed)(Smaller(Larger(row, 0), last), lookback));
    }
    return largest;
  }

  int32_t input_height_;
  int32_t input_row_;
  int32_t output_height_;
  int32_t output_width_;
  int32_t output_;
  int32_t stride_;
  int32_t padding_;
  int32_t reach_;  // rows from a window's first tap to its last
};

constexpr Overlap kNone = {Overlap::kNever, 1, Overlap::kNever};

}  // namespace

Overlap OverlapOf(const Layer& layer, int32_t input, int32_t output) {
  // Only of operations with a window: the second input of another one may be wider than its layer's.
  const auto walk = [&] { return Walk(layer, input, output); };
  switch (layer.operation()) {
    case Operation::Conv2D:
      return {
          walk().Before(conventions::kConvolutionLookbackPositions), 1,
          layer.groups() > 1 ? Overlap::kNever : walk().Behind(conventions::kConvolutionLookbackPositions)};
    case Operation::DepthwiseConv2D:
      if (layer.input_channels() != layer.output_channels()) return kNone;
      return {walk().Before(conventions::kDepthwiseLookbackRows * layer.output_width()), input,
              Overlap::kNever};
    case Operation::AveragePool2D:
    case Operation::MaxPool2D:
      return {walk().Before(0), 1, Overlap::kNever};
    case Operation::Relu:
    case Operation::LeakyRelu:
    case Operation::Logistic:
    case Operation::Tanh:
    case Operation::HardSwish:
    case Operation::Softmax:
    case Operation::PRelu:
    case Operation::Requantize:
    case Operation::Quantize:
      return {0, 1, Overlap::kNever};
    case Operation::Dequantize:
      if (input == output) return {0, 1, Overlap::kNever};
      // Wider elements are written from the last to the first.
      return {Overlap::kNever, 1, 1};
    case Operation::Add:
    case Operation::Sub:
    case Operation::Mul:
      // One position that meets the whole map is read again for each of its positions.
      if (layer.weights() == 0 && (layer.kernel_height() != 1 || layer.kernel_width() != 1)) return kNone;
      return {0, 1, Overlap::kNever};
    case Operation::FullyConnected:
    case Operation::Concatenation:
    case Operation::Pad:
    case Operation::Mean:
    case Operation::ResizeNearestNeighbor:
    case Operation::TransposeConv:
    case Operation::StridedSlice:
    case Operation::Transpose:
    case Operation::BatchMatMul:
      break;
  }
  return kNone;
}

}  // namespace reds
