// The generated readers of the TFLite model and of the REDS plan, without their assertions: `reds_open`
// verifies both.

#ifndef REDS_SRC_SCHEMA_H
#define REDS_SRC_SCHEMA_H

#include <cstring>

#define FLATBUFFERS_ASSERT(condition) static_cast<void>(0)
#include "reds_generated.h"
#include "tflite_generated.h"

namespace reds {

inline uint32_t BitsOf(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}

using Buffers = flatbuffers::Vector<flatbuffers::Offset<tflite::Buffer>>;
using Subnetworks = flatbuffers::Vector<flatbuffers::Offset<schema::Subnetwork>>;
using Layers = flatbuffers::Vector<const schema::Layer*>;
using Steps = flatbuffers::Vector<const schema::Step*>;
using Tensors = flatbuffers::Vector<const schema::Tensor*>;
using Ranking = flatbuffers::Vector<const schema::Rank*>;
using Words = flatbuffers::Vector<uint32_t>;

// Samples of one inference: the first dimension of both ports.
inline uint32_t BatchOf(const schema::Plan& plan) { return plan.input()->shape()->Get(0); }

// Whether int8 elements of two tensors mean the same numbers.
inline bool HaveOneQuantization(const schema::Tensor& first, const schema::Tensor& second) {
  return first.zero_point() == second.zero_point() && BitsOf(first.scale()) == BitsOf(second.scale());
}

}  // namespace reds

#endif
