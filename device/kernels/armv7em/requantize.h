// The output stage with the DSP instructions, equal to fixed_point.h to the bit.
//
// Let a be the sum, b the multiplier, e the shift to the right. SMMLAR d, n, m, x gives
// x + floor((n * m + 2^31) / 2^32), from the exact product.
//
// 1. round(a * b / 2^31) = floor((a * 2b + 2^31) / 2^32). For b >= 2^30 the word that holds 2b stands for
//    2b - 2^32 when it is signed, so that SMMLAR with x = a adds what is missing, a * 2^32 / 2^32.
// 2. Half away from zero at the division by 2^e is half up after 1 is taken off a negative value v, and
//    floor((v + 2^(e-1)) / 2^e) = floor((v * 2^(32-e) + 2^31) / 2^32). For e >= 2 the factor fits a signed
//    word, and SMMLAR with x = the zero point adds that for nothing.
//
// Taking 1 off never wraps: |round(a * b / 2^31)| < 2^31 for b < 2^31.
//
// 3. A factor f that is raised to f * (1 + 2^-20) takes the place of taking 1 off where e <= 12. What v * f misses to the
//    next whole result is a multiple of f, so that |v| < 2^20 changes nothing but halves, and those away from zero. Any
//    larger |v| ends at least 2^20 / 2^12 = 256 from the zero point, beyond the range of int8, raised or not.

#ifndef REDS_KERNELS_ARMV7EM_REQUANTIZE_H
#define REDS_KERNELS_ARMV7EM_REQUANTIZE_H

#include <cstdint>

#include "kernels/fixed_point.h"
#include "kernels/kernels.h"

namespace reds {
namespace armv7em {

// How the sums of one output channel are scaled.
struct Scale {
  int32_t doubled_multiplier;  // modulo 2^32
  int32_t shift_factor;        // 2^(32 - e)
};

// Longest shift to the right for which a factor may be raised, and what it is shifted to the left from.
constexpr int32_t kLongestRaisedShift = 12;
constexpr int32_t kRaisedUnit = (1 << (32 - kLongestRaisedShift)) + 1;

inline bool HasScale(int32_t multiplier, int32_t shift) { return multiplier >= 1 << 30 && shift <= -2; }

// 2^(32 - e).
inline int32_t ShiftFactor(int32_t shift) { return 1 << (32 + shift); }

// The same, raised, for shifts that are not too long for that.
inline int32_t RaisedFactor(int32_t shift) { return kRaisedUnit << (kLongestRaisedShift + shift); }

inline Scale MakeScale(int32_t multiplier, int32_t shift) {
  return {WrappingShiftLeft(multiplier, 1), ShiftFactor(shift)};
}

// Whether every channel has a Scale, as those of all models with scales of common size do.
inline __attribute__((noinline)) bool HaveScales(const OutputStage<int8_t>& stage, int32_t channels) {
  for (int32_t channel = 0; channel < channels; ++channel) {
    if (!HasScale(stage.multiplier[channel], stage.shift[channel])) return false;
  }
  return true;
}

inline int8_t SaturatedToInt8(int32_t value) {
  int32_t result;
  __asm__("ssat %0, #8, %1" : "=r"(result) : "r"(value));
  return static_cast<int8_t>(result);
}

inline bool IsWholeRange(const Clamp<int32_t>& clamp) {
  return clamp.minimum == INT8_MIN && clamp.maximum == INT8_MAX;
}

// Narrows what was clamped to all of int8. `count` is a multiple of four.
inline __attribute__((noinline, noclone)) void ClampElements(const Clamp<int32_t>& clamp, int8_t* elements,
                                                             int32_t count) {
  constexpr uint32_t kEveryByte = 0x01010101;
  const uint32_t minimum = static_cast<uint8_t>(clamp.minimum) * kEveryByte;
  const uint32_t maximum = static_cast<uint8_t>(clamp.maximum) * kEveryByte;
  for (; count > 0; count -= 4) {
    uint32_t word, difference;
    // SSUB8 notes of which bytes the difference is not negative, by which SEL chooses.
    __asm__ volatile(
        "ldr    %[word], [%[elements]]\n"
        "ssub8  %[difference], %[word], %[maximum]\n"
        "sel    %[word], %[maximum], %[word]\n"
        "ssub8  %[difference], %[word], %[minimum]\n"
        "sel    %[word], %[word], %[minimum]\n"
        "str    %[word], [%[elements]], #4\n"
        : [elements] "+&r"(elements), [word] "=&r"(word), [difference] "=&r"(difference)
        : [minimum] "r"(minimum), [maximum] "r"(maximum)
        : "cc", "memory");
  }
}

// Narrows all of a map that was clamped to all of int8.
inline __attribute__((noinline)) void ClampMap(const Clamp<int32_t>& clamp, int8_t* elements, int32_t count) {
  if (IsWholeRange(clamp)) return;
  const int32_t fours = count & -4;
  ClampElements(clamp, elements, fours);
  for (int32_t i = fours; i < count; ++i) {
    elements[i] = static_cast<int8_t>(Clamped<int32_t>(elements[i], clamp.minimum, clamp.maximum));
  }
}

// Writes the elements of the output channels from `channel` up to `end`, from their sums of products and biases.
inline __attribute__((noinline)) void FinishOneByOne(const OutputStage<int8_t>& stage, int32_t channel,
                                                     int32_t end, const int32_t* sums, int8_t* output) {
  for (; channel < end; ++channel) *output++ = FinishBiased(stage, channel, *sums++);
}

// The same, four channels at a time where they have a Scale and no clamp but that of int8.
inline __attribute__((noinline)) void FinishChannels(const OutputStage<int8_t>& stage, int32_t channel,
                                                     int32_t end, const int32_t* sums, int8_t* output) {
  const int32_t fours = IsWholeRange(stage.clamp) ? (end - channel) / 4 * 4 : 0;
  const int8_t* const fours_end = stage.shift + channel + fours;
  for (const int8_t* shifts = stage.shift + channel; shifts != fours_end;) {
    const int32_t* multipliers = stage.multiplier + (shifts - stage.shift);
    uint32_t exponents, factor, value;
    // Goes on up to the first four of which one has no Scale. Bytes of `exponents`: 32 - e, at most 30 where there is a
    // Scale. Multipliers: r8 to r11, all of them from 2^30 up where their common bits say so and none is negative.
    // clang-format off
#define REDS_FINISH(multiplier, byte)                               \
  "ldr    %[value], [%[sums]], #4\n"                                \
  "uxtb   %[factor], %[exponents], ror #" byte "\n"                 \
  "lsl    " multiplier ", " multiplier ", #1\n"                     \
  "lsl    %[factor], %[one], %[factor]\n"                           \
  "smmlar %[value], %[value], " multiplier ", %[value]\n"           \
  "add    %[value], %[value], %[value], asr #31\n"                  \
  "smmlar %[value], %[value], %[factor], %[zero_point]\n"           \
  "ssat   %[value], #8, %[value]\n"                                 \
  "strb   %[value], [%[output]], #1\n"
    __asm__ volatile(
        "1:\n"
        "ldr    %[exponents], [%[shifts]], #4\n"
        "ldmia  %[multipliers]!, {r8-r11}\n"
        "mov    %[factor], #0x20202020\n"
        "uadd8  %[exponents], %[exponents], %[factor]\n"
        "add    %[value], %[exponents], #0x01010101\n"
        "tst    %[value], #0xE0E0E0E0\n"
        "bne    2f\n"
        "orr    %[value], r8, r9\n"
        "orr    %[value], %[value], r10\n"
        "orrs   %[value], %[value], r11\n"
        "bmi    2f\n"
        "and    %[value], r8, r9\n"
        "and    %[value], %[value], r10\n"
        "and    %[value], %[value], r11\n"
        "tst    %[value], #0x40000000\n"
        "beq    2f\n"
        REDS_FINISH("r8", "0") REDS_FINISH("r9", "8") REDS_FINISH("r10", "16") REDS_FINISH("r11", "24")
        "cmp    %[shifts], %[fours_end]\n"
        "bne    1b\n"
        "b      3f\n"
        "2:\n"
        "sub    %[shifts], #4\n"
        "3:\n"
        : [multipliers] "+&r"(multipliers), [shifts] "+&r"(shifts), [sums] "+&r"(sums), [output] "+&r"(output),
          [exponents] "=&r"(exponents), [factor] "=&r"(factor), [value] "=&r"(value)
        : [one] "r"(1), [zero_point] "r"(stage.zero_point), [fours_end] "r"(fours_end)
        : "r8", "r9", "r10", "r11", "cc", "memory");
    // clang-format on
#undef REDS_FINISH
    if (shifts == fours_end) break;
    const int32_t first = static_cast<int32_t>(shifts - stage.shift);
    FinishOneByOne(stage, first, first + 4, sums, output);
    shifts += 4;
    sums += 4;
    output += 4;
  }
  FinishOneByOne(stage, channel + fours, end, sums, output);
}

}  // namespace armv7em
}  // namespace reds

#endif
