// Selecting subnetworks.

#include "reds/reds.h"
#include "src/context.h"

namespace {

using reds::Context;

bool Fits(uint32_t cost, uint32_t limit) { return limit == 0 || cost <= limit; }

bool FitsInstructions(const Context& context, uint32_t subnetwork, uint32_t limit) {
  if (limit == 0) return true;
  if (context.instructions == nullptr) return false;
  const uint32_t instructions = context.instructions->Get(subnetwork);
  return instructions != 0 && instructions <= limit;
}

}  // namespace

reds_status reds_select(reds_context* context, uint32_t subnetwork) {
  if (context == nullptr) return REDS_ERROR_ARGUMENT;
  Context& self = reds::Private(context);
  if (subnetwork >= self.subnetworks->size()) return REDS_ERROR_ARGUMENT;
  if (self.subnetworks->Get(subnetwork)->arena_bytes() > self.arena_bytes) return REDS_ERROR_ARENA;
  self.selected = subnetwork;
  return REDS_OK;
}

reds_status reds_set_budget(reds_context* context, const reds_budget* budget) {
  if (context == nullptr || budget == nullptr) return REDS_ERROR_ARGUMENT;
  Context& self = reds::Private(context);
  for (const reds::schema::Rank* rank : *self.ranking) {
    if (rank->arena_bytes() > self.arena_bytes) continue;
    if (!Fits(rank->macs(), budget->macs) || !Fits(rank->arena_bytes(), budget->arena_bytes)) continue;
    if (!FitsInstructions(self, rank->subnetwork(), budget->instructions)) continue;
    self.selected = rank->subnetwork();
    return REDS_OK;
  }
  return REDS_ERROR_BUDGET;
}

uint32_t reds_selected(const reds_context* context) { return reds::Private(context).selected; }
