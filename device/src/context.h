// What lies in a reds_context.

#ifndef REDS_SRC_CONTEXT_H
#define REDS_SRC_CONTEXT_H

#include <cstddef>
#include <cstdint>

#include "reds/reds.h"
#include "src/schema.h"

namespace reds {

// An open network. The pointers lead into the verified model; those to vectors spare select, budget and step
// the walk through the plan's tables.
struct Context {
  const schema::Plan* plan;
  const Buffers* buffers;
  const Layers* layers;
  const Subnetworks* subnetworks;
  const Ranking* ranking;
  const Words* constants;
  const Words* instructions;  // per subnetwork on the configured target; null where the target is unknown
  schema::ElementType element_type;

  uint8_t* arena;
  size_t arena_bytes;
  reds_observer observer;
  void* user;

  // What the next inference runs. Interrupt handlers write it: one aligned word, stored at once.
  volatile uint32_t selected;

  // The inference that has begun or, where `next_step` is behind the last one, is done; null and 0 before the first.
  const Steps* steps;
  const Tensors* tensors;
  uint32_t next_step;
  uint32_t running;  // the subnetwork

  // The first step that ran in this subnetwork. What is needed of earlier ones was brought over from another.
  uint32_t first_step;

  // Samples whose output is not there yet, that of the running one included; 0 where no inference runs.
  uint32_t samples_left;
};

static_assert(sizeof(Context) <= sizeof(reds_context), "reds_context must hold the private context");
static_assert(alignof(Context) <= alignof(reds_context), "reds_context must align the private context");

inline Context& Private(reds_context* context) { return *reinterpret_cast<Context*>(context->reserved); }

inline const Context& Private(const reds_context* context) {
  return *reinterpret_cast<const Context*>(context->reserved);
}

}  // namespace reds

#endif
