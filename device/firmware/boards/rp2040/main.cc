// Bench firmware for the Raspberry Pi Pico and other boards with an RP2040.

#include <stddef.h>
#include <stdint.h>

#include "clocks.h"
#include "counter.h"
#include "firmware/model_memory.h"
#include "firmware/protocol.h"
#include "uart.h"

namespace {

using namespace reds::firmware;

// The flash behind the firmware's part, of 2 MB.
constexpr uintptr_t kModelAddress = 0x10020000;
constexpr size_t kModelRoom = 0x10200000 - kModelAddress;

alignas(REDS_ALIGNMENT) uint8_t arena[REDS_ARENA_BYTES];
uint8_t upload[REDS_UPLOAD_BYTES];

Board board() {
  Board board = {};
  board.write = [](void*, const char* text, size_t size) { rp2040::send(text, size); };
  board.microseconds = [](void*) { return rp2040::count_microseconds(); };
  board.instructions = [](void*) { return rp2040::count_cycles(); };
  board.instructions_per_microsecond = rp2040::kCoreMegahertz;
  board.unit = "cycles";
  board.vendor = "reds-rp2040";
  board.target = "rp2040";
  return board;
}

Workspace workspace() {
  const ModelMemory memory(kModelAddress, kModelRoom);
  return {memory.name(), memory.model(), memory.bytes(), arena, sizeof arena, upload, sizeof upload};
}

}  // namespace

int main() {
  rp2040::start_clocks();
  rp2040::start_counter();
  rp2040::start_uart();
  Interpreter interpreter(board(), workspace());
  interpreter.boot();
  for (;;) interpreter.feed(rp2040::receive());
}
