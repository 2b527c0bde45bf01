// Fixed-point arithmetic of TFLite's int8 kernels, to the bit: 32-bit words, products with 64-bit
// intermediates.

#ifndef REDS_KERNELS_FIXED_POINT_H
#define REDS_KERNELS_FIXED_POINT_H

#include <cstdint>

#include "kernels/kernels.h"

namespace reds {

// Additions and shifts that hostile constants could drive beyond 32 bits wrap, as they do in the processor.
inline int32_t WrappingAdd(int32_t a, int32_t b) {
  return static_cast<int32_t>(static_cast<uint32_t>(a) + static_cast<uint32_t>(b));
}

inline int32_t WrappingShiftLeft(int32_t value, int exponent) {
  return static_cast<int32_t>(static_cast<uint32_t>(value) << exponent);
}

template <typename Number>
inline Number Clamped(Number value, Number minimum, Number maximum) {
  const Number raised = value < minimum ? minimum : value;
  return raised > maximum ? maximum : raised;
}

// round(a * b / 2^31), half up, saturated.
inline int32_t MultiplyHigh(int32_t a, int32_t b) {
  if (a == INT32_MIN && b == INT32_MIN) return INT32_MAX;
  return static_cast<int32_t>((int64_t{a} * b + (int64_t{1} << 30)) >> 31);
}

// round(value / 2^exponent), half away from zero, for exponents from 0 to 31.
inline __attribute__((always_inline)) int32_t DivideByPowerOfTwo(int32_t value, int exponent) {
  const uint32_t mask = (uint32_t{1} << exponent) - 1;
  const uint32_t remainder = static_cast<uint32_t>(value) & mask;
  const uint32_t threshold = (mask >> 1) + (value < 0 ? 1 : 0);
  return (value >> exponent) + (remainder > threshold ? 1 : 0);
}

// value * multiplier / 2^31 * 2^shift with a rounding after the product and one after a shift to the right.
inline int32_t MultiplyByQuantizedMultiplier(int32_t value, int32_t multiplier, int shift) {
  const int left = shift > 0 ? shift : 0;
  const int right = shift > 0 ? 0 : -shift;
  return DivideByPowerOfTwo(MultiplyHigh(WrappingShiftLeft(value, left), multiplier), right);
}

// clamp(value * factor + zero_point).
inline int8_t Requantized(int32_t value, const Factor& factor, int32_t zero_point,
                          const Clamp<int32_t>& clamp) {
  const int32_t scaled = MultiplyByQuantizedMultiplier(value, factor.multiplier, factor.shift);
  return static_cast<int8_t>(Clamped(WrappingAdd(scaled, zero_point), clamp.minimum, clamp.maximum));
}

// The element to store for output channel `channel`, from its sum of products and bias. A function of its own, which all
// kernels share.
inline __attribute__((noinline)) int8_t FinishBiased(const OutputStage<int8_t>& stage, int32_t channel,
                                                     int32_t sum) {
  const int32_t scaled = MultiplyByQuantizedMultiplier(sum, stage.multiplier[channel], stage.shift[channel]);
  const int32_t shifted = WrappingAdd(scaled, stage.zero_point);
  return static_cast<int8_t>(Clamped(shifted, stage.clamp.minimum, stage.clamp.maximum));
}

// The element to store for output channel `channel`, from its sum of products.
inline int8_t Finish(const OutputStage<int8_t>& stage, int32_t channel, int32_t sum) {
  return FinishBiased(stage, channel, WrappingAdd(sum, stage.bias[channel]));
}

// value * multiplier / 2^31 * 2^shift, rounded once, half up, with a multiplier of 15 bits: for values below 2^47.
inline int32_t MultiplyByReducedMultiplier(int64_t value, int32_t multiplier, int shift) {
  const int32_t reduced = multiplier < 0x7FFF0000 ? (multiplier + (1 << 15)) >> 16 : 0x7FFF;
  const int right = 15 - shift;
  return static_cast<int32_t>((value * reduced + (int64_t{1} << (right - 1))) >> right);
}

// The element to store for output channel `channel`, from its sum of products.
inline int16_t Finish(const OutputStage<int16_t>& stage, int32_t channel, int64_t sum) {
  const uint32_t bias = stage.bias[channel];
  const int32_t multiplier = stage.multiplier[channel];
  const int shift = stage.shift[channel];
  int32_t scaled;
  if (stage.high_bias == nullptr) {
    const uint32_t biased = static_cast<uint32_t>(sum) + bias;
    scaled = MultiplyByQuantizedMultiplier(static_cast<int32_t>(biased), multiplier, shift);
  } else {
    const int64_t biased = sum + bias + stage.high_bias[channel] * (int64_t{1} << 32);
    scaled = MultiplyByReducedMultiplier(biased, multiplier, shift);
  }
  return static_cast<int16_t>(Clamped(scaled, stage.clamp.minimum, stage.clamp.maximum));
}

inline float Finish(const OutputStage<float>& stage, int32_t channel, float sum) {
  return Clamped(sum * stage.scale[channel] + stage.bias[channel], stage.clamp.minimum, stage.clamp.maximum);
}

}  // namespace reds

#endif
