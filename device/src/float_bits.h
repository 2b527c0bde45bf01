// The parts of a float32, for integer arithmetic. Scales and thresholds of a sound file are positive and normal; others
// give some number, too.

#ifndef REDS_SRC_FLOAT_BITS_H
#define REDS_SRC_FLOAT_BITS_H

#include <cstdint>

namespace reds {

constexpr int kFractionBits = 23;
constexpr uint32_t kLeadingBit = uint32_t{1} << kFractionBits;

inline uint32_t SignificandOf(uint32_t bits) { return (bits & (kLeadingBit - 1)) | kLeadingBit; }
inline int32_t ExponentOf(uint32_t bits) { return static_cast<int32_t>(bits >> kFractionBits & 0xFF); }
inline bool IsNegative(uint32_t bits) { return bits >> 31 != 0; }

}  // namespace reds

#endif
