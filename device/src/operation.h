// The operations that are linked.

#ifndef REDS_SRC_OPERATION_H
#define REDS_SRC_OPERATION_H

#include "reds/operations.h"
#include "src/schema.h"

namespace reds {

// One step with everything that it refers to; run.cc has it.
struct Task;

using Runner = void (*)(const Task& task);

}  // namespace reds

struct reds_operation {
  uint32_t key;
  reds::Runner run;
};

namespace reds {

// Convolutions with groups have a kernel of their own.
constexpr uint32_t kHasGroups = 1 << 16;

// What tells operations apart.
constexpr uint32_t KeyOf(schema::ElementType type, schema::Operation operation) {
  return static_cast<uint32_t>(type) << 8 | static_cast<uint32_t>(operation);
}

inline uint32_t KeyOf(schema::ElementType type, const schema::Layer& layer) {
  return KeyOf(type, layer.operation()) | (layer.groups() > 1 ? kHasGroups : 0);
}

// Null where it is not linked.
inline const reds_operation* FindOperation(uint32_t key) {
  const reds_operation* const* linked = reds_operations;
  while (*linked != nullptr && (*linked)->key != key) ++linked;
  return *linked;
}

// Of an operation that reds_open has found.
inline Runner RunnerOf(uint32_t key) {
  const reds_operation* const* linked = reds_operations;
  while ((*linked)->key != key) ++linked;
  return (*linked)->run;
}

}  // namespace reds

#endif
