// Runs one inference of a subnetwork from a cold data cache, to be watched by a cache simulator.
//
// Usage: libreds|input_outer|... MODEL SUBNETWORK
//
// The programs of this folder differ in the order in which the fully connected layers read their weights: the
// file named like the program defines the kernel in place of libreds' own.

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "reds/reds.h"

namespace {

constexpr size_t kArenaBytes = 1 << 14;
constexpr size_t kLineBytes = 64;        // at least the simulated cache's, so that its lines are the file's
constexpr size_t kOtherBytes = 1 << 16;  // larger than the simulated cache

struct Free {
  void operator()(uint8_t* memory) const { std::free(memory); }
};
using Memory = std::unique_ptr<uint8_t, Free>;

Memory Allocate(size_t size) {
  void* memory = nullptr;
  if (posix_memalign(&memory, kLineBytes, size) != 0) std::abort();
  return Memory(static_cast<uint8_t*>(memory));
}

struct File {
  Memory content;
  size_t size;
};

File Read(const char* path) {
  FILE* stream = std::fopen(path, "rb");
  if (stream == nullptr || std::fseek(stream, 0, SEEK_END) != 0) std::abort();
  const size_t size = static_cast<size_t>(std::ftell(stream));
  std::rewind(stream);
  Memory content = Allocate(size);
  if (std::fread(content.get(), 1, size, stream) != size) std::abort();
  std::fclose(stream);
  return {std::move(content), size};
}

// What else a device does between two inferences: afterwards nothing of the model is in the cache.
void TouchOtherMemory(volatile uint8_t* memory) {
  for (size_t offset = 0; offset < kOtherBytes; ++offset) static_cast<void>(memory[offset]);
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 3) return EXIT_FAILURE;
  const File model = Read(arguments[1]);
  // Beside the kernel's frame, so that the two do not compete for the same sets of the cache.
  alignas(REDS_ALIGNMENT) uint8_t arena[kArenaBytes];
  const Memory other = Allocate(kOtherBytes);
  std::memset(other.get(), 0, kOtherBytes);

  reds_config config = {};
  config.model = model.content.get();
  config.model_bytes = model.size;
  config.arena = arena;
  config.arena_bytes = kArenaBytes;
  config.flags = REDS_TRUST_FLASH;
  reds_context context;
  if (reds_open(&context, &config) != REDS_OK) return EXIT_FAILURE;
  if (reds_select(&context, static_cast<uint32_t>(std::atoi(arguments[2]))) != REDS_OK) return EXIT_FAILURE;
  const reds_tensor input = reds_input(&context);
  std::memset(input.data, 0, input.bytes);
  TouchOtherMemory(other.get());
  reds_invoke(&context);
  return EXIT_SUCCESS;
}
