// How an operation's constants lie in the plan's words. `channels` is the number of active output channels.

#ifndef REDS_SRC_CONSTANTS_H
#define REDS_SRC_CONSTANTS_H

#include <cstdint>

#include "reds/conventions.h"

namespace reds {

template <typename Element>
struct ChannelConstants;

// Convolutions and fully connected layers in int8: bias, multiplier, and shift padded to a word.
template <>
struct ChannelConstants<int8_t> {
  const int32_t* bias;
  const int32_t* multiplier;
  const int8_t* shift;

  ChannelConstants(const uint32_t* words, uint32_t channels)
      : bias(reinterpret_cast<const int32_t*>(words)),
        multiplier(reinterpret_cast<const int32_t*>(words + channels)),
        shift(reinterpret_cast<const int8_t*>(words + 2 * channels)) {}

  static uint32_t Words(uint32_t channels) { return 2 * channels + (channels + 3) / 4; }
};

// The smallest and the largest int16 output.
struct RangeConstants {
  static constexpr uint32_t kWords = 1;

  int16_t minimum;
  int16_t maximum;

  explicit RangeConstants(const uint32_t* words)
      : minimum(static_cast<int16_t>(words[0] & 0xFFFF)), maximum(static_cast<int16_t>(words[0] >> 16)) {}
};

// Convolutions and fully connected layers in int16: the range, whether sums have 64 bits, the low words of the biases,
// then the high ones where sums have 64 bits, multiplier, and shift padded to a word.
template <>
struct ChannelConstants<int16_t> {
  static constexpr uint32_t kFirstWords = RangeConstants::kWords + 1;

  bool is_wide;
  const uint32_t* bias;
  const int32_t* high_bias;  // null where sums have 32 bits
  const int32_t* multiplier;
  const int8_t* shift;

  ChannelConstants(const uint32_t* words, uint32_t channels)
      : is_wide(IsWide(words)),
        bias(words + kFirstWords),
        high_bias(is_wide ? reinterpret_cast<const int32_t*>(bias + channels) : nullptr),
        multiplier(reinterpret_cast<const int32_t*>(bias + (is_wide ? 2 : 1) * channels)),
        shift(reinterpret_cast<const int8_t*>(multiplier + channels)) {}

  static bool IsWide(const uint32_t* words) { return words[RangeConstants::kWords] != 0; }

  static uint32_t Words(bool is_wide, uint32_t channels) {
    return kFirstWords + (is_wide ? 3 : 2) * channels + (channels + 3) / 4;
  }
};

// Convolutions and fully connected layers in float32: bias and scale.
template <>
struct ChannelConstants<float> {
  const float* bias;
  const float* scale;

  ChannelConstants(const uint32_t* words, uint32_t channels)
      : bias(reinterpret_cast<const float*>(words)),
        scale(reinterpret_cast<const float*>(words + channels)) {}

  static uint32_t Words(uint32_t channels) { return 2 * channels; }
};

// Softmax in int8: the difference to the maximum, scaled to 5 integer bits, is
// difference * 2^left_shift * multiplier / 2^31. Differences below the minimum count as minus infinity.
struct SoftmaxConstants {
  static constexpr uint32_t kWords = 3;

  int32_t multiplier;
  int32_t left_shift;
  int32_t minimum_difference;

  explicit SoftmaxConstants(const uint32_t* words)
      : multiplier(static_cast<int32_t>(words[0])),
        left_shift(static_cast<int32_t>(words[1])),
        minimum_difference(static_cast<int32_t>(words[2])) {}
};

// Softmax in int16: the factor from differences to the maximum to places in a table, and two tables.
struct SoftmaxTables {
  static constexpr uint32_t kTableWords = (conventions::kSoftmaxTableElements + 1) / 2;
  static constexpr uint32_t kWords = 2 + 2 * kTableWords;

  int32_t multiplier;
  int32_t shift;
  const int16_t* exponentials;
  const int16_t* reciprocals;

  explicit SoftmaxTables(const uint32_t* words)
      : multiplier(static_cast<int32_t>(words[0])),
        shift(static_cast<int32_t>(words[1])),
        exponentials(reinterpret_cast<const int16_t*>(words + 2)),
        reciprocals(reinterpret_cast<const int16_t*>(words + 2 + kTableWords)) {}
};

// A function of one int8 element: the output of the input whose byte is i is table[i].
struct LookupConstants {
  static constexpr uint32_t kWords = 256 / sizeof(uint32_t);

  const int8_t* table;

  explicit LookupConstants(const uint32_t* words) : table(reinterpret_cast<const int8_t*>(words)) {}
};

// LeakyRelu in float32: the factor on negative elements.
struct SlopeConstants {
  static constexpr uint32_t kWords = 1;

  const float& slope;

  explicit SlopeConstants(const uint32_t* words) : slope(*reinterpret_cast<const float*>(words)) {}
};

// Operations on two tensors: which the second one is. In int8, where it is constant, its zero point.
constexpr uint32_t kSecondTensorWords = 1;
inline uint32_t SecondTensor(const uint32_t* words) { return words[0]; }
inline int32_t SecondZeroPoint(const uint32_t* words) { return static_cast<int32_t>(words[0]); }

// Add and Sub: the second tensor, and in int8 and int16 how both are brought to one scale and their sum to the output's;
// in int16 the range follows.
struct AddConstants {
  static constexpr uint32_t kWords = 8;

  int32_t left_shift;
  int32_t multiplier[3];  // of the first input, of the second, of the output
  int32_t shift[3];

  explicit AddConstants(const uint32_t* words)
      : left_shift(static_cast<int32_t>(words[1])),
        multiplier{static_cast<int32_t>(words[2]), static_cast<int32_t>(words[4]),
                   static_cast<int32_t>(words[6])},
        shift{static_cast<int32_t>(words[3]), static_cast<int32_t>(words[5]),
              static_cast<int32_t>(words[7])} {}
};

// In int8 and int16 the factor from what an operation computes to the output; in int16 the range comes first.
struct FactorConstants {
  static constexpr uint32_t kWords = 2;

  int32_t multiplier;
  int32_t shift;

  explicit FactorConstants(const uint32_t* words)
      : multiplier(static_cast<int32_t>(words[0])), shift(static_cast<int32_t>(words[1])) {}
};

// Mul and BatchMatMul: the second tensor, and in int8 the factor of the product.
struct MulConstants {
  static constexpr uint32_t kWords = kSecondTensorWords + FactorConstants::kWords;

  FactorConstants factor;

  explicit MulConstants(const uint32_t* words) : factor(words + kSecondTensorWords) {}
};

// PRelu in int8: the factors from the input, and from its product with the slope, to the output.
struct PReluConstants {
  static constexpr uint32_t kWords = 2 * FactorConstants::kWords;

  FactorConstants positive;
  FactorConstants negative;

  explicit PReluConstants(const uint32_t* words)
      : positive(words), negative(words + FactorConstants::kWords) {}
};

// ResizeNearestNeighbor with strides of 0: which row of the input each row of the output has, and which column each
// column. Both are padded to words.
struct NearestConstants {
  const uint16_t* rows;
  const uint16_t* columns;

  NearestConstants(const uint32_t* words, uint32_t output_height)
      : rows(reinterpret_cast<const uint16_t*>(words)),
        columns(reinterpret_cast<const uint16_t*>(words + HalfWords(output_height))) {}

  static uint32_t Words(uint32_t output_height, uint32_t output_width) {
    return HalfWords(output_height) + HalfWords(output_width);
  }

 private:
  static uint32_t HalfWords(uint32_t halves) { return (halves + 1) / 2; }
};

// Concatenation: how many tensors follow the first one, and which.
struct ConcatenationConstants {
  uint32_t count;
  const uint32_t* tensors;

  explicit ConcatenationConstants(const uint32_t* words) : count(words[0]), tensors(words + 1) {}
};

}  // namespace reds

#endif
