#include "kernels/exponential.h"
#include "kernels/kernels.h"

namespace reds {
namespace {

void Normalise(const float* input, float* output, int32_t channels) {
  float maximum = input[0];
  for (int32_t channel = 1; channel < channels; ++channel) {
    if (input[channel] > maximum) maximum = input[channel];
  }
  float sum = 0;
  for (int32_t channel = 0; channel < channels; ++channel) {
    output[channel] = ExpOfNegative(input[channel] - maximum);
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
