// Which tensors a step reads beside the first, which its record names.

#ifndef REDS_SRC_INPUTS_H
#define REDS_SRC_INPUTS_H

#include <cstdint>

#include "src/constants.h"
#include "src/schema.h"

namespace reds {

inline bool TakesTwo(schema::Operation operation) {
  return operation == schema::Operation::Add || operation == schema::Operation::Sub ||
         operation == schema::Operation::Mul || operation == schema::Operation::BatchMatMul;
}

// An operation on the elements of two maps, the second of which the file has instead of the arena.
inline bool HasConstantSecond(const schema::Layer& layer) {
  return TakesTwo(layer.operation()) && layer.operation() != schema::Operation::BatchMatMul &&
         layer.weights() != 0;
}

inline bool TakesSecondTensor(const schema::Layer& layer) {
  return TakesTwo(layer.operation()) && !HasConstantSecond(layer);
}

struct FurtherInputs {
  const uint32_t* tensors;
  uint32_t count;
};

// `constants` are the plan's words. Those of the step hold.
inline FurtherInputs FurtherInputsOf(const schema::Step& step, const schema::Layer& layer,
                                     const Words* constants) {
  const bool takes_second = TakesSecondTensor(layer);
  if (!takes_second && layer.operation() != schema::Operation::Concatenation) return {nullptr, 0};
  const uint32_t* words = constants->data() + step.constants();
  if (takes_second) return {words, 1};
  const ConcatenationConstants concatenation(words);
  return {concatenation.tensors, concatenation.count};
}

}  // namespace reds

#endif
