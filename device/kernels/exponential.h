// The exponential function of float32 kernels, without a library.

#ifndef REDS_KERNELS_EXPONENTIAL_H
#define REDS_KERNELS_EXPONENTIAL_H

#include <cstdint>
#include <cstring>

namespace reds {

// e^x for x <= 0: x = n ln 2 + r with |r| <= ln 2 / 2, e^r by its Taylor series, 2^n by the exponent's bits.
inline float ExpOfNegative(float x) {
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

}  // namespace reds

#endif
