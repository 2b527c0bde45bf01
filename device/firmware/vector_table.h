// Where a Cortex-M begins and where its exceptions lead, and what both need of the linker script.

#ifndef REDS_FIRMWARE_VECTOR_TABLE_H
#define REDS_FIRMWARE_VECTOR_TABLE_H

#include <stddef.h>
#include <stdint.h>

// The linker script defines it.
extern "C" uint8_t stack_top[];

namespace reds::firmware {

using Handler = void (*)();

constexpr int kSystemHandlers = 14;  // from the non-maskable interrupt to SysTick

template <int kInterrupts>
struct VectorTable {
  uint8_t* stack;
  Handler reset;
  Handler system[kSystemHandlers];
  Handler interrupts[kInterrupts];
};

// All exceptions but the reset lead to `fault`, until a board gives them handlers.
template <int kInterrupts>
constexpr VectorTable<kInterrupts> make_vectors(Handler reset, Handler fault) {
  VectorTable<kInterrupts> table = {stack_top, reset, {}, {}};
  for (Handler& handler : table.system) handler = fault;
  for (Handler& handler : table.interrupts) handler = fault;
  return table;
}

// No byte from the host can lead here; if a defect does, the host learns it instead of waiting.
template <void (*kSend)(const char* text, size_t size)>
[[noreturn]] void fault() {
  constexpr char kText[] = "\r\ne-[Hardware fault]\r\n";
  kSend(kText, sizeof kText - 1);
  for (;;) asm volatile("wfi");
}

}  // namespace reds::firmware

#endif
