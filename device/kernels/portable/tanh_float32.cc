#include "kernels/exponential.h"
#include "kernels/kernels.h"

namespace reds {
namespace {

// Lambert's continued fraction, exact to float32 for small arguments, where 1 - e^-2x has lost its digits.
float TanhOfSmall(float x) {
  const float x2 = x * x;
  return x * (945.0f + x2 * (105.0f + x2)) / (945.0f + x2 * (420.0f + x2 * 15.0f));
}

float TanhOfPositive(float x) {
  const float power = ExpOfNegative(-2.0f * x);
  return (1.0f - power) / (1.0f + power);
}

float Tanh(float x) {
  constexpr float kSmall = 0.5f;
  if (x > -kSmall && x < kSmall) return TanhOfSmall(x);
  return x < 0.0f ? -TanhOfPositive(-x) : TanhOfPositive(x);
}

}  // namespace

void RunTanh(const Elementwise& all) {
  for (int32_t element = 0; element < all.elements; ++element) {
    all.output[element] = Tanh(all.input[element]);
  }
}

}  // namespace reds
