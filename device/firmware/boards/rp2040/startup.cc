// What runs before and around `main`: vector table and memory.

#include <stdint.h>

#include "firmware/vector_table.h"
#include "uart.h"

int main();

// Places that the linker script defines.
extern "C" {
extern uint32_t copied_begin[];
extern uint32_t copied_end[];
extern const uint32_t copied_load[];
extern uint32_t bss_begin[];
extern uint32_t bss_end[];
}

namespace {

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

constexpr int kInterrupts = 32;

using Vectors = reds::firmware::VectorTable<kInterrupts>;

constexpr Vectors board_vectors() {
  Vectors table =
      reds::firmware::make_vectors<kInterrupts>(reset, reds::firmware::fault<reds::firmware::rp2040::send>);
  table.interrupts[kUart0Interrupt] = reds::firmware::rp2040::uart_interrupt;
  return table;
}

[[gnu::section(".vectors"), gnu::used]] constexpr Vectors kVectors = board_vectors();

}  // namespace
