// Telling a program's observer of operations.

#ifndef REDS_SRC_OBSERVE_H
#define REDS_SRC_OBSERVE_H

#include "src/context.h"

namespace reds {

// Calls the observer, if there is one, before or after the next step of the inference.
void Observe(const Context& context, bool finished);

}  // namespace reds

#endif
