// Bench firmware for the MPS2 boards that QEMU emulates.

#include <stddef.h>
#include <stdint.h>

#include "counter.h"
#include "firmware/protocol.h"
#include "uart.h"

namespace {

using namespace reds::firmware;

// What the emulator's loader puts into the PSRAM: this header, then the model.
struct ModelHeader {
  uint32_t bytes;
  char name[12];  // of the model, filled up with zeros
};
static_assert(sizeof(ModelHeader) == REDS_ALIGNMENT, "the model begins right behind its header, aligned");

constexpr size_t kModelMemoryBytes = (size_t{16} << 20) - sizeof(ModelHeader);
constexpr char kDefaultModelName[] = "reds";

alignas(REDS_ALIGNMENT) uint8_t arena[REDS_ARENA_BYTES];
uint8_t upload[REDS_UPLOAD_BYTES];

const ModelHeader& model_header() { return *reinterpret_cast<const ModelHeader*>(REDS_MODEL_ADDRESS); }

Text model_name() {
  const ModelHeader& header = model_header();
  size_t size = 0;
  while (size < sizeof header.name && header.name[size] != '\0') ++size;
  return size == 0 ? text_of(kDefaultModelName) : Text{header.name, size};
}

Board board() {
  Board board = {};
  board.write = [](void*, const char* text, size_t size) { mps2::send(text, size); };
  board.microseconds = [](void*) { return mps2::count_microseconds(); };
  board.instructions = [](void*) { return mps2::count_instructions(); };
  board.instructions_per_microsecond = mps2::kInstructionsPerMicrosecond;
  board.vendor = "reds-qemu-" REDS_CORE;
  board.target = REDS_CORE;
  return board;
}

Workspace workspace() {
  const size_t bytes = model_header().bytes < kModelMemoryBytes ? model_header().bytes : kModelMemoryBytes;
  return {model_name(), &model_header() + 1, bytes, arena, sizeof arena, upload, sizeof upload};
}

}  // namespace

int main() {
  mps2::start_counter();
  mps2::start_uart();
  Interpreter interpreter(board(), workspace());
  interpreter.boot();
  for (;;) interpreter.feed(mps2::receive());
}
