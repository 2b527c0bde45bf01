#include <limits>

#include "kernels/fixed_point.h"
#include "kernels/kernels.h"

namespace reds {
namespace {

// Larger than the distance of any two elements, and small enough for float32 to have fractions.
constexpr float kFar = 1 << 18;

// The nearest integer, halves away from zero; what is no number counts as far below.
int32_t Rounded(float value) {
  const float near = value > -kFar ? (value < kFar ? value : kFar) : -kFar;
  const int32_t whole = static_cast<int32_t>(near);
  const float fraction = near - static_cast<float>(whole);
  return whole + (fraction >= 0.5f ? 1 : 0) - (fraction <= -0.5f ? 1 : 0);
}

template <typename Element>
void RunAll(const Quantize<Element>& quantize) {
  constexpr int32_t kMinimum = std::numeric_limits<Element>::min();
  constexpr int32_t kMaximum = std::numeric_limits<Element>::max();
  for (int32_t index = 0; index < quantize.elements; ++index) {
    const int32_t element = Rounded(quantize.input[index] / quantize.scale) + quantize.zero_point;
    quantize.output[index] = static_cast<Element>(Clamped(element, kMinimum, kMaximum));
  }
}

}  // namespace

void Run(const Quantize<int8_t>& quantize) { RunAll(quantize); }
void Run(const Quantize<int16_t>& quantize) { RunAll(quantize); }

}  // namespace reds
