// What a plan must keep beyond being a well-formed flatbuffer, so that running it can do no harm.

#ifndef REDS_SRC_PLAN_RULES_H
#define REDS_SRC_PLAN_RULES_H

#include "src/schema.h"

namespace reds {

// True if every index, size, offset and constant that an inference uses is in range. Both arguments must have
// passed flatbuffers' verifier.
bool KeepsRules(const tflite::Model& model, const schema::Plan& plan);

}  // namespace reds

#endif
