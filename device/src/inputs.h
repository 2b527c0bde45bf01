// Which tensors a step reads beside the first, which its record names.

#ifndef REDS_SRC_INPUTS_H
#define REDS_SRC_INPUTS_H

#include <cstdint>

#include "src/constants.h"
#include "src/schema.h"

namespace reds {

inline bool TakesTwo(schema::Operation operation) {
  return operation == schema::Operation::Add || operation == schema::Operation::Sub ||
         operation == schema::Operation::Mul;
}

struct FurtherInputs {
  const uint32_t* tensors;
  uint32_t count;
};

// `constants` are the plan's words. Those of the step hold.
inline FurtherInputs FurtherInputsOf(const schema::Step& step, schema::Operation operation,
                                     const Words* constants) {
  if (!TakesTwo(operation) && operation != schema::Operation::Concatenation) return {nullptr, 0};
  const uint32_t* words = constants->data() + step.constants();
  if (TakesTwo(operation)) return {words, 1};
  const ConcatenationConstants concatenation(words);
  return {concatenation.tensors, concatenation.count};
}

}  // namespace reds

#endif
