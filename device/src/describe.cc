// Describing subnetworks.

#include "reds/reds.h"
#include "src/context.h"

uint32_t reds_subnetwork_count(const reds_context* context) {
  return reds::Private(context).subnetworks->size();
}

reds_status reds_describe(const reds_context* context, uint32_t subnetwork, reds_subnetwork* description) {
  if (context == nullptr || description == nullptr) return REDS_ERROR_ARGUMENT;
  const reds::Context& self = reds::Private(context);
  if (subnetwork >= self.subnetworks->size()) return REDS_ERROR_ARGUMENT;
  const reds::schema::Subnetwork& chosen = *self.subnetworks->Get(subnetwork);
  description->name = chosen.name()->c_str();
  description->exit = self.plan->exits()->Get(chosen.exit())->name()->c_str();
  description->macs = chosen.macs();
  description->parameters = chosen.parameters();
  description->flash_bytes = chosen.flash_bytes();
  description->arena_bytes = chosen.arena_bytes();
  description->instructions = self.instructions == nullptr ? 0 : self.instructions->Get(subnetwork);
  description->accuracy = chosen.accuracy();
  return REDS_OK;
}
