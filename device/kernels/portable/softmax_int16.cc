// Softmax by two tables with linear interpolation, bit-exact with TFLite's reference kernel. "Qn" below is a number with
// n integer bits besides the sign.

#include "kernels/fixed_point.h"
#include "kernels/kernels.h"

namespace reds {
namespace {

// The value of a table for -32768 to 32767, of which it has every 128th.
int32_t LookUp(const int16_t* table, int32_t place) {
  const int32_t clamped = Clamped<int32_t>(place, INT16_MIN, INT16_MAX);
  const int16_t* base = table + 256 + (clamped >> 7);
  return base[0] + (((base[1] - base[0]) * (clamped & 0x7F) + 64) >> 7);
}

int LeadingZeros(uint32_t value) {
  int zeros = 0;
  for (uint32_t bit = uint32_t{1} << 31; bit != 0 && (value & bit) == 0; bit >>= 1) ++zeros;
  return zeros;
}

int32_t Maximum(const int16_t* input, int32_t channels) {
  int32_t maximum = INT16_MIN;
  for (int32_t channel = 0; channel < channels; ++channel) {
    if (input[channel] > maximum) maximum = input[channel];
  }
  return maximum;
}

// e^(element - maximum) in Q0 of 16 bits.
int32_t Exponential(const Softmax<int16_t>& softmax, int32_t difference) {
  const int32_t place =
      MultiplyByQuantizedMultiplier(difference, softmax.factor.multiplier, softmax.factor.shift);
  return LookUp(softmax.exponentials, WrappingAdd(place, INT16_MAX));
}

// The reciprocal in Q0 of 16 bits of a value that is shifted left so far that it lies between 1 and 2.
int32_t ReciprocalOf(const Softmax<int16_t>& softmax, int32_t value, int zeros) {
  constexpr int32_t kOneAndAHalf = (1 << 15) + (1 << 16);
  const int64_t normalised = int64_t{value} << (zeros - 1);
  return LookUp(softmax.reciprocals, (static_cast<int32_t>(normalised + (1 << 13)) >> 14) - kOneAndAHalf);
}

void Normalise(const Softmax<int16_t>& softmax, const int16_t* input, int16_t* output) {
  const int32_t maximum = Maximum(input, softmax.channels);
  int32_t sum = 0;
  for (int32_t channel = 0; channel < softmax.channels; ++channel) {
    const int32_t exponential = Exponential(softmax, input[channel] - maximum);
    sum += exponential;
    output[channel] = static_cast<int16_t>(exponential);
  }
  const int zeros = LeadingZeros(static_cast<uint32_t>(sum));
  const int32_t reciprocal = ReciprocalOf(softmax, sum, zeros);
  const int shift = 31 - zeros;
  for (int32_t channel = 0; channel < softmax.channels; ++channel) {
    const int64_t product = int64_t{output[channel]} * reciprocal;
    const int64_t probability = (product + (int64_t{1} << (shift - 1))) >> shift;
    output[channel] = static_cast<int16_t>(Clamped<int64_t>(probability, 0, INT16_MAX));
  }
}

}  // namespace

void Run(const Softmax<int16_t>& softmax) {
  for (int32_t sample = 0; sample < softmax.samples; ++sample) {
    const int32_t offset = sample * softmax.channels;
    Normalise(softmax, softmax.input + offset, softmax.output + offset);
  }
}

}  // namespace reds
