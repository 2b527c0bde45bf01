// Opens damaged copies of a model and runs what libreds accepts. Built with sanitizers, which end the program
// at the first access outside the model, the arena or a number's range. What libreds takes for well-formed must also
// pass FlatBuffers' own verifiers.
//
// Usage: corruption MODEL PLAN_OFFSET PLAN_BYTES

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include "reds/reds.h"
#include "src/schema.h"
#include "src/well_formed.h"

namespace {

namespace schema = reds::schema;
namespace tflite = reds::tflite;

constexpr size_t kArenaBytes = 4096;

struct Free {
  void operator()(uint8_t* memory) const { std::free(memory); }
};
using Memory = std::unique_ptr<uint8_t, Free>;

// Memory of exactly this size, so that the sanitizer sees the first byte beyond.
Memory Allocate(size_t size) {
  void* memory = nullptr;
  if (posix_memalign(&memory, REDS_ALIGNMENT, size) != 0) std::abort();
  return Memory(static_cast<uint8_t*>(memory));
}

template <typename Table>
void RequireThatFlatBuffersAgrees(const reds::Bytes& bytes, const char* identifier, reds::Root root) {
  if (!reds::IsWellFormed(bytes, identifier, root)) return;
  flatbuffers::Verifier verifier(bytes.data, bytes.size);
  if (!verifier.VerifyBuffer<Table>(identifier)) std::abort();
}

// Where the plan lies in an undamaged model.
struct Place {
  size_t begin;
  size_t end;
};

class Victim {
 public:
  Victim(const uint8_t* content, size_t size, const Place& plan)
      : model_(Allocate(size)), size_(size), plan_(plan), arena_(Allocate(kArenaBytes)) {
    std::memcpy(model_.get(), content, size);
    std::memset(arena_.get(), 0x5A, kArenaBytes);
  }

  uint8_t* bytes() { return model_.get(); }

  // Opens the model, runs every subnetwork that fits the arena, and changes it in flight.
  reds_status OpenAndRun(uint32_t flags) {
    RequireThatFlatBuffersAgrees<tflite::Model>({model_.get(), size_}, tflite::ModelIdentifier(),
                                                reds::Root::kModel);
    if (size_ > plan_.begin) {
      const size_t end = size_ < plan_.end ? size_ : plan_.end;
      RequireThatFlatBuffersAgrees<schema::Plan>({model_.get() + plan_.begin, end - plan_.begin},
                                                 schema::PlanIdentifier(), reds::Root::kPlan);
    }
    reds_config config = {};
    config.model = model_.get();
    config.model_bytes = size_;
    config.arena = arena_.get();
    config.arena_bytes = kArenaBytes;
    config.target = "cortex-m4";
    config.flags = flags;
    reds_context context;
    const reds_status status = reds_open(&context, &config);
    if (status == REDS_OK) {
      RunAll(&context);
      ChangeInFlight(&context);
    }
    return status;
  }

 private:
  static void RunAll(reds_context* context) {
    for (uint32_t index = 0; index < reds_subnetwork_count(context); ++index) {
      reds_subnetwork description;
      if (reds_describe(context, index, &description) != REDS_OK) std::abort();
      if (std::strlen(description.name) + std::strlen(description.exit) > SIZE_MAX / 2) std::abort();
      if (reds_select(context, index) != REDS_OK) continue;
      const reds_tensor input = reds_input(context);
      std::memset(input.data, 0x81, input.bytes);
      reds_invoke(context);
      const reds_tensor output = reds_output(context);
      std::memset(output.data, 0x7E, output.bytes);
    }
  }

  // Steps with a call of some function between any two, decided by chance.
  static void ChangeInFlight(reds_context* context) {
    constexpr int kCalls = 64;
    uint32_t chance = 1;
    for (int call = 0; call < kCalls; ++call) {
      chance = chance * 1664525 + 1013904223;
      const uint32_t subnetwork = (chance >> 8) % reds_subnetwork_count(context);
      if (chance >> 31 != 0) reds_select(context, subnetwork);
      reds_step(context);
      reds_is_confident(context);
      if ((chance >> 30 & 1) != 0) reds_continue_in(context, subnetwork);
      if ((chance >> 28 & 3) == 0) reds_continue_within(context, chance & 0xFF);
    }
    reds_invoke(context);
  }

  Memory model_;
  size_t size_;
  Place plan_;
  Memory arena_;
};

struct Tally {
  size_t accepted = 0;
  size_t refused = 0;

  void Add(reds_status status) { ++(status == REDS_OK ? accepted : refused); }
};

Tally Truncate(const std::vector<uint8_t>& model, const Place& plan, uint32_t flags) {
  Tally tally;
  for (size_t size = 0; size < model.size(); ++size) {
    tally.Add(Victim(model.data(), size, plan).OpenAndRun(flags));
  }
  return tally;
}

// Changes every byte in a range in several ways.
Tally ChangeBytes(const std::vector<uint8_t>& model, const Place& plan, size_t begin, size_t end) {
  constexpr uint8_t kFlips[] = {0x01, 0x04, 0x40, 0x80, 0xFF};
  Victim victim(model.data(), model.size(), plan);
  Tally tally;
  for (size_t position = begin; position < end; ++position) {
    for (const uint8_t flip : kFlips) {
      victim.bytes()[position] ^= flip;
      tally.Add(victim.OpenAndRun(REDS_TRUST_FLASH));
      victim.bytes()[position] ^= flip;
    }
  }
  return tally;
}

// Puts numbers at the edges of their types at every word in a range.
Tally ChangeWords(const std::vector<uint8_t>& model, const Place& plan, size_t begin, size_t end) {
  constexpr uint32_t kEdges[] = {0,       1,          0x7F,       0x7FFF,     0xFFFF,
                                 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFC, 0xFFFFFFFF};
  Victim victim(model.data(), model.size(), plan);
  Tally tally;
  for (size_t position = begin; position + sizeof(uint32_t) <= end; position += sizeof(uint32_t)) {
    uint8_t* word = victim.bytes() + position;
    for (const uint32_t edge : kEdges) {
      std::memcpy(word, &edge, sizeof edge);
      tally.Add(victim.OpenAndRun(REDS_TRUST_FLASH));
    }
    std::memcpy(word, model.data() + position, sizeof(uint32_t));
  }
  return tally;
}

std::vector<uint8_t> Read(const char* path) {
  std::FILE* file = std::fopen(path, "rb");
  if (file == nullptr) std::abort();
  std::vector<uint8_t> content;
  for (int byte = std::fgetc(file); byte != EOF; byte = std::fgetc(file))
    content.push_back(static_cast<uint8_t>(byte));
  std::fclose(file);
  return content;
}

void Print(const char* name, const Tally& tally) {
  std::printf("%s %zu accepted %zu refused\n", name, tally.accepted, tally.refused);
}

}  // namespace

int main(int argument_count, char** arguments) {
  if (argument_count != 4) return 2;
  const std::vector<uint8_t> model = Read(arguments[1]);
  const size_t begin = std::strtoul(arguments[2], nullptr, 10);
  const size_t end = begin + std::strtoul(arguments[3], nullptr, 10);
  const Place plan = {begin, end};
  Tally untouched;
  untouched.Add(Victim(model.data(), model.size(), plan).OpenAndRun(0));
  Print("untouched", untouched);
  Print("truncated", Truncate(model, plan, 0));
  Print("truncated in trusted flash", Truncate(model, plan, REDS_TRUST_FLASH));
  Print("plan bytes", ChangeBytes(model, plan, begin, end));
  Print("plan words", ChangeWords(model, plan, begin, end));
  Print("model words", ChangeWords(model, plan, 0, begin));
  return 0;
}
