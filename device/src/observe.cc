#include "src/observe.h"

namespace reds {

void Observe(const Context& context, bool finished) {
  if (context.observer == nullptr) return;
  const uint32_t layer = context.steps->Get(context.next_step)->layer();
  const schema::Operation operation = context.layers->Get(layer)->operation();
  context.observer(context.user, context.next_step, layer, static_cast<uint32_t>(operation), finished);
}

}  // namespace reds
