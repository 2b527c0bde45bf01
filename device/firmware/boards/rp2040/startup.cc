// What runs before and around `main`: vector table and memory.

#include <stdint.h>

#include "uart.h"

int main();

// Places that the linker script defines.
extern "C" {
extern uint8_t stack_top[];
extern uint32_t copied_begin[];
extern uint32_t copied_end[];
extern const uint32_t copied_load[];
extern uint32_t bss_begin[];
extern uint32_t bss_end[];
}

namespace {

using Handler = void (*)();

constexpr uint32_t kUart0Interrupt = 20;

// In flash, while the functions of the C library are not in SRAM yet: the compiler must not call them here.
[[noreturn, gnu::section(".start")]] void reset() {
  const uint32_t* from = copied_load;
  for (uint32_t* to = copied_begin; to != copied_end; ++to) {
    *to = *from++;
    asm volatile("" ::: "memory");
  }
  for (uint32_t* to = bss_begin; to != bss_end; ++to) {
    *to = 0;
    asm volatile("" ::: "memory");
  }
  main();
  for (;;) {
  }
}

// No byte from the host can lead here; if a defect does, the host learns it instead of waiting.
[[noreturn]] void fault() {
  constexpr char kText[] = "\r\ne-[Hardware fault]\r\n";
  reds::firmware::rp2040::send(kText, sizeof kText - 1);
  for (;;) asm volatile("wfi");
}

constexpr int kSystemHandlers = 14;  // from the non-maskable interrupt to SysTick
constexpr int kInterrupts = 32;

struct VectorTable {
  uint8_t* stack;
  Handler reset;
  Handler system[kSystemHandlers];
  Handler interrupts[kInterrupts];
};

constexpr VectorTable make_vectors() {
  VectorTable table = {stack_top, reset, {}, {}};
  for (Handler& handler : table.system) handler = fault;
  for (Handler& handler : table.interrupts) handler = fault;
  table.interrupts[kUart0Interrupt] = reds::firmware::rp2040::uart_interrupt;
  return table;
}

[[gnu::section(".vectors"), gnu::used]] constexpr VectorTable kVectors = make_vectors();

}  // namespace
