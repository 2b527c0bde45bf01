// Whether bytes are a well-formed flatbuffer, without knowing what its numbers mean.

#ifndef REDS_SRC_WELL_FORMED_H
#define REDS_SRC_WELL_FORMED_H

#include <cstddef>
#include <cstdint>

namespace reds {

struct Bytes {
  const uint8_t* data;
  size_t size;
};

// The tables that can be the root of a flatbuffer.
enum class Root : uint8_t {
  kModel,     // tflite::Model
  kPlan,      // schema::Plan
  kPreamble,  // schema::Plan, but only what every version of it has
};

// True if every field that the schema's readers find, and what it refers to, lies inside the bytes at its own
// alignment. The bytes begin at a multiple of 4.
bool IsWellFormed(const Bytes& bytes, const char* identifier, Root root);

}  // namespace reds

#endif
