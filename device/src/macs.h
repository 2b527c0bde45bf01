// Multiply-accumulates of a layer, as the host counts them (host/reds/compiled.py).

#ifndef REDS_SRC_MACS_H
#define REDS_SRC_MACS_H

#include <cstdint>

#include "src/schema.h"

namespace reds {

inline uint64_t MacsOf(const schema::Layer& layer, uint32_t input_channels, uint32_t output_channels) {
  const uint64_t taps = uint64_t{layer.kernel_height()} * layer.kernel_width();
  const uint64_t inputs = uint64_t{layer.input_height()} * layer.input_width() * input_channels;
  const uint64_t outputs = uint64_t{layer.output_height()} * layer.output_width() * output_channels;
  switch (layer.operation()) {
    case schema::Operation::Conv2D:
      return outputs * taps * (input_channels / (layer.groups() > 1 ? layer.groups() : 1));
    case schema::Operation::TransposeConv:
      return inputs * taps * output_channels;
    case schema::Operation::DepthwiseConv2D:
      return outputs * taps;
    case schema::Operation::FullyConnected:
      return outputs * input_channels;
    default:
      return 0;
  }
}

}  // namespace reds

#endif
