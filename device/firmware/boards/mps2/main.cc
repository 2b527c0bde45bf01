// Bench firmware for the MPS2 boards that QEMU emulates.

#include <stddef.h>
#include <stdint.h>

#include "counter.h"
#include "firmware/model_memory.h"
#include "firmware/protocol.h"
#include "uart.h"

namespace {

using namespace reds::firmware;

// The PSRAM, into which the emulator's loader puts the model.
constexpr size_t kModelRoom = size_t{16} << 20;

alignas(REDS_ALIGNMENT) uint8_t arena[REDS_ARENA_BYTES];
uint8_t upload[REDS_UPLOAD_BYTES];

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
  const ModelMemory memory(REDS_MODEL_ADDRESS, kModelRoom);
  return {memory.name(), memory.model(), memory.bytes(), arena, sizeof arena, upload, sizeof upload};
}

}  // namespace

int main() {
  mps2::start_counter();
  mps2::start_uart();
  Interpreter interpreter(board(), workspace());
  interpreter.boot();
  for (;;) interpreter.feed(mps2::receive());
}
