// Softmax in fixed point, bit-exact with TFLite's reference kernel: e^x from a table of constants and a
// polynomial, 1 / sum by Newton's iteration. "Qn" below is a 32-bit word with n integer bits besides the
// sign.

#include "kernels/fixed_point.h"
#include "kernels/kernels.h"

namespace reds {
namespace {

constexpr int kDifferenceIntegerBits = 5;  // Q5: from -32 to 0
constexpr int kSumIntegerBits = 12;        // Q12
constexpr int kOutputBits = 8;
constexpr int32_t kKeptExps = 16;  // of so many channels e^x is computed once, of others twice

// value * 2^exponent, saturated.
int32_t ShiftLeftSaturated(int32_t value, int exponent) {
  const int32_t threshold = static_cast<int32_t>((uint32_t{1} << (31 - exponent)) - 1);
  if (value > threshold) return INT32_MAX;
  if (value < -threshold) return INT32_MIN;
  return WrappingShiftLeft(value, exponent);
}

// MultiplyHigh of words that are not both the least one, in line wherever small code is asked for.
inline __attribute__((always_inline)) int32_t Product(int32_t a, int32_t b) {
  return static_cast<int32_t>((int64_t{a} * b + (int64_t{1} << 30)) >> 31);
}

// e^value for a Q0 value in [-1/4, 0), by its Taylor series around -1/8.
int32_t ExpOfSmall(int32_t value) {
  constexpr int32_t kExpOfMinusOneEighth = 1895147668;
  constexpr int32_t kOneThird = 715827883;
  constexpr int32_t kOneEighth = 1 << 28;
  const int32_t x = value + kOneEighth;
  const int32_t x2 = Product(x, x);
  const int32_t x3 = Product(x2, x);
  const int32_t x4_over_4 = DivideByPowerOfTwo(Product(x2, x2), 2);
  const int32_t higher_terms = DivideByPowerOfTwo(Product(x4_over_4 + x3, kOneThird) + x2, 1);
  return kExpOfMinusOneEighth + Product(kExpOfMinusOneEighth, x + higher_terms);
}

// e^-(2^i / 4) in Q0.
constexpr int32_t kExpOfMinusPowers[] = {1672461947, 1302514674, 790015084, 290630308, 39332535, 720401, 242};

// e^value for a Q5 value that is not positive; the result is Q0.
int32_t Exp(int32_t value) {
  constexpr int kFractionalBits = 31 - kDifferenceIntegerBits;
  constexpr int32_t kQuarter = 1 << (kFractionalBits - 2);
  if (value == 0) return INT32_MAX;
  const int32_t small = (value & (kQuarter - 1)) - kQuarter;
  int32_t result = ExpOfSmall(WrappingShiftLeft(small, kDifferenceIntegerBits));
  const int32_t* factor = kExpOfMinusPowers;
  for (int32_t quarters = (small - value) / kQuarter; quarters != 0; quarters >>= 1) {
    if ((quarters & 1) != 0) result = Product(result, *factor);
    ++factor;
  }
  return result;
}

// 1 / (1 + value) for a Q0 value in [0, 1]; the result is Q0.
int32_t ReciprocalOfOnePlus(int32_t value) {
  constexpr int32_t kFortyEightOver17 = 1515870810;       // Q2
  constexpr int32_t kMinusThirtyTwoOver17 = -1010580540;  // Q2
  constexpr int32_t kOne = 1 << 29;                       // Q2
  const int32_t half_denominator = static_cast<int32_t>((int64_t{value} + INT32_MAX + 1) / 2);
  int32_t x = kFortyEightOver17 + MultiplyHigh(half_denominator, kMinusThirtyTwoOver17);
  for (int iteration = 0; iteration < 3; ++iteration) {
    const int32_t error = kOne - MultiplyHigh(half_denominator, x);
    x += ShiftLeftSaturated(MultiplyHigh(x, error), 2);
  }
  return ShiftLeftSaturated(x, 1);
}

// A positive number 2^exponent / fraction with fraction in Q0.
struct Reciprocal {
  int32_t fraction;
  int exponent;
};

Reciprocal ReciprocalOfSum(int32_t sum) {
  const int zeros = __builtin_clz(static_cast<uint32_t>(sum));
  const uint32_t normalised = static_cast<uint32_t>(sum) << zeros;
  const int32_t above_one = static_cast<int32_t>(normalised - (uint32_t{1} << 31));
  return {ReciprocalOfOnePlus(above_one), kSumIntegerBits - zeros};
}

// One sample, whose largest element is `maximum`.
class Sample {
 public:
  Sample(const Softmax<int8_t>& softmax, const int8_t* input) : softmax_(softmax), maximum_(INT8_MIN) {
    for (int32_t channel = 0; channel < softmax.channels; ++channel) {
      if (input[channel] > maximum_) maximum_ = input[channel];
    }
  }

  // e^(element - maximum) in Q0; 0 where it is negligible.
  int32_t ExpOf(int8_t element) const {
    const int32_t difference = element - maximum_;
    if (difference < softmax_.minimum_difference) return 0;
    return Exp(MultiplyHigh(WrappingShiftLeft(difference, softmax_.left_shift), softmax_.multiplier));
  }

 private:
  const Softmax<int8_t>& softmax_;
  int32_t maximum_;
};

int8_t Probability(int32_t exp, const Reciprocal& reciprocal) {
  const int shift = reciprocal.exponent + 31 - kOutputBits;
  // More than 31 places to the right leave less than a half of the smallest output.
  const int32_t product = MultiplyHigh(reciprocal.fraction, exp);
  const int32_t probability = shift > 31 ? 0 : DivideByPowerOfTwo(product, shift);
  return static_cast<int8_t>(Clamped<int32_t>(probability + INT8_MIN, INT8_MIN, INT8_MAX));
}

void Normalise(const Softmax<int8_t>& softmax, const int8_t* input, int8_t* output) {
  const Sample sample(softmax, input);
  int32_t kept[kKeptExps];
  int32_t sum = 0;
  for (int32_t channel = 0; channel < softmax.channels; ++channel) {
    const int32_t exp = sample.ExpOf(input[channel]);
    if (channel < kKeptExps) kept[channel] = exp;
    sum += DivideByPowerOfTwo(exp, kSumIntegerBits);
  }
  const Reciprocal reciprocal = ReciprocalOfSum(sum);
  for (int32_t channel = 0; channel < softmax.channels; ++channel) {
    const int32_t exp = channel < kKeptExps ? kept[channel] : sample.ExpOf(input[channel]);
    output[channel] = Probability(exp, reciprocal);
  }
}

}  // namespace

void Run(const Softmax<int8_t>& softmax) {
  for (int32_t sample = 0; sample < softmax.samples; ++sample) {
    const int32_t offset = sample * softmax.channels;
    Normalise(softmax, softmax.input + offset, softmax.output + offset);
  }
}

}  // namespace reds
