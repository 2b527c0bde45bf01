// reds_open: finds the plan in the model, verifies both, and fills the context.

#include <new>

#include "reds/conventions.h"
#include "reds/reds.h"
#include "src/context.h"
#include "src/crc32.h"
#include "src/operation.h"
#include "src/plan_rules.h"
#include "src/schema.h"
#include "src/well_formed.h"

namespace reds {
namespace {

// The fields of a plan that every format version keeps in place. They are read before the rest is verified,
// so that a file of another version and a damaged file are told from a malformed one.
struct Preamble : private flatbuffers::Table {
  uint16_t format_major() const { return GetField<uint16_t>(schema::Plan::VT_FORMAT_MAJOR, 0); }
  uint32_t crc32() const { return GetField<uint32_t>(schema::Plan::VT_CRC32, 0); }
  const uint8_t* address_of_crc32() const { return GetAddressOf(schema::Plan::VT_CRC32); }
};

bool IsAligned(const void* pointer, uintptr_t alignment) {
  return (reinterpret_cast<uintptr_t>(pointer) & (alignment - 1)) == 0;
}

bool IsUsable(const void* pointer) { return pointer != nullptr && IsAligned(pointer, REDS_ALIGNMENT); }

// Whether two zero-terminated texts are the same.
bool IsSame(const char* first, const char* second) {
  while (*first == *second && *first != 0) {
    ++first;
    ++second;
  }
  return *first == *second;
}

// The content of the metadata entry, or no data where there is none.
Bytes FindPlan(const tflite::Model& model) {
  if (model.metadata() == nullptr || model.buffers() == nullptr) return {nullptr, 0};
  for (const tflite::Metadata* entry : *model.metadata()) {
    if (entry->name() == nullptr || !IsSame(entry->name()->c_str(), conventions::kMetadataName)) continue;
    if (entry->buffer() >= model.buffers()->size()) continue;
    const auto* data = model.buffers()->Get(entry->buffer())->data();
    if (data != nullptr) return {data->data(), data->size()};
  }
  return {nullptr, 0};
}

bool ChecksumHolds(const Bytes& file, const Preamble& preamble) {
  constexpr uint8_t kZeros[sizeof(uint32_t)] = {};
  const uint8_t* field = preamble.address_of_crc32();
  if (field == nullptr) return Crc32(0, file.data, file.size) == preamble.crc32();
  const size_t before = static_cast<size_t>(field - file.data);
  const size_t after = before + sizeof kZeros;
  uint32_t checksum = Crc32(0, file.data, before);
  checksum = Crc32(checksum, kZeros, sizeof kZeros);
  return Crc32(checksum, file.data + after, file.size - after) == preamble.crc32();
}

bool IsLinked(const schema::Plan& plan) {
  for (const schema::Layer* layer : *plan.layers()) {
    if (FindOperation(KeyOf(plan.element_type(), *layer)) == nullptr) return false;
  }
  return true;
}

reds_status VerifyPlan(const Bytes& file, const Bytes& plan, bool trust_flash) {
  if (!IsAligned(plan.data, alignof(uint32_t)) ||
      !IsWellFormed(plan, schema::PlanIdentifier(), Root::kPreamble)) {
    return REDS_ERROR_PLAN;
  }
  const Preamble& preamble = *flatbuffers::GetRoot<Preamble>(plan.data);
  if (preamble.format_major() != REDS_FORMAT_VERSION >> 16) return REDS_ERROR_VERSION;
  if (!trust_flash && !ChecksumHolds(file, preamble)) return REDS_ERROR_CHECKSUM;

  if (!IsWellFormed(plan, schema::PlanIdentifier(), Root::kPlan)) return REDS_ERROR_PLAN;
  const schema::Plan& content = *schema::GetPlan(plan.data);
  if (!KeepsRules(*tflite::GetModel(file.data), content)) return REDS_ERROR_PLAN;
  return IsLinked(content) ? REDS_OK : REDS_ERROR_UNLINKED;
}

const Words* FindInstructions(const schema::Plan& plan, const char* target) {
  if (target == nullptr || plan.targets() == nullptr) return nullptr;
  for (const schema::Target* candidate : *plan.targets()) {
    if (IsSame(candidate->name()->c_str(), target)) return candidate->instructions();
  }
  return nullptr;
}

void Fill(Context& context, const reds_config& config, const tflite::Model& model, const schema::Plan& plan) {
  context.plan = &plan;
  context.buffers = model.buffers();
  context.layers = plan.layers();
  context.subnetworks = plan.subnetworks();
  context.ranking = plan.ranking();
  context.constants = plan.constants();
  context.instructions = FindInstructions(plan, config.target);
  context.element_type = plan.element_type();
  context.arena = static_cast<uint8_t*>(config.arena);
  context.arena_bytes = config.arena_bytes;
  context.observer = config.observer;
  context.user = config.user;
}

}  // namespace
}  // namespace reds

reds_status reds_open(reds_context* context, const reds_config* config) {
  if (context == nullptr || config == nullptr) return REDS_ERROR_ARGUMENT;
  if (!reds::IsUsable(config->model) || !reds::IsUsable(config->arena)) return REDS_ERROR_ARGUMENT;

  const reds::Bytes file = {static_cast<const uint8_t*>(config->model), config->model_bytes};
  if (!reds::IsWellFormed(file, reds::tflite::ModelIdentifier(), reds::Root::kModel)) return REDS_ERROR_MODEL;
  const reds::tflite::Model& model = *reds::tflite::GetModel(file.data);
  const reds::Bytes plan = reds::FindPlan(model);
  if (plan.data == nullptr) return REDS_ERROR_NO_PLAN;
  const reds_status status = reds::VerifyPlan(file, plan, (config->flags & REDS_TRUST_FLASH) != 0);
  if (status != REDS_OK) return status;

  reds::Fill(*new (context->reserved) reds::Context(), *config, model, *reds::schema::GetPlan(plan.data));
  const reds_budget unlimited = {};
  return reds_set_budget(context, &unlimited) == REDS_OK ? REDS_OK : REDS_ERROR_ARENA;
}
