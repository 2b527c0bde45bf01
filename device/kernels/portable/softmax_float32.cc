#include <cstring>

#include "kernels/kernels.h"

namespace reds {
namespace {

// e^x for x <= 0: x = n ln 2 + r with |r| <= ln 2 / 2, e^r by its Taylor series, 2^n by the exponent's bits.
float Exp(float x) {
  constexpr float kSmallestArgument = -87.0f;
  constexpr float kLog2OfE = 1.44269504f;
  constexpr float kLn2High = 0.693359375f;  // few bits, so that n * kLn2High is exact
  constexpr float kLn2Low = -2.12194440e-4f;
  if (!(x >= kSmallestArgument)) return 0.0f;  // also for what is not a number
  const int32_t n = static_cast<int32_t>(x * kLog2OfE - 0.5f);
  const float whole = static_cast<float>(n);
  const float r = (x - whole * kLn2High) - whole * kLn2Low;
  const float series =
      1.0f +
      r * (1.0f + r * (1.0f / 2 + r * (1.0f / 6 + r * (1.0f / 24 + r * (1.0f / 120 + r * (1.0f / 720))))));
  const uint32_t bits = static_cast<uint32_t>(n + 127) << 23;
  float power;
  std::memcpy(&power, &bits, sizeof power);
  return series * power;
}

void Normalise(const float* input, float* output, int32_t channels) {
  float maximum = input[0];
  for (int32_t channel = 1; channel < channels; ++channel) {
    if (input[channel] > maximum) maximum = input[channel];
  }
  float sum = 0;
  for (int32_t channel = 0; channel < channels; ++channel) {
    output[channel] = Exp(input[channel] - maximum);
    sum += output[channel];
  }
  for (int32_t channel = 0; channel < channels; ++channel) output[channel] /= sum;
}

}  // namespace

void Run(const Softmax<float>& softmax) {
  for (int32_t sample = 0; sample < softmax.samples; ++sample) {
    const int32_t offset = sample * softmax.channels;
    Normalise(softmax.input + offset, softmax.output + offset, softmax.channels);
  }
}

}  // namespace reds
