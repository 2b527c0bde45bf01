// What runs before and around `main`: vector table, memory, floating-point unit.

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "firmware/vector_table.h"
#include "timer.h"
#include "uart.h"

int main();

// Places that the linker script defines.
extern "C" {
extern uint8_t data_begin[];
extern uint8_t data_end[];
extern const uint8_t data_load[];
extern uint8_t bss_begin[];
extern uint8_t bss_end[];
}

namespace {

constexpr uint32_t kUartReceiveInterrupt = REDS_UART_INTERRUPT;
constexpr uint32_t kTimerInterrupt = REDS_TIMER_INTERRUPT;

void enable_interrupt(uint32_t interrupt) {
  constexpr uintptr_t kSetEnable = 0xE000E100;
  constexpr uint32_t kBits = 32;
  reinterpret_cast<volatile uint32_t*>(kSetEnable)[interrupt / kBits] = 1U << interrupt % kBits;
}

void enable_floating_point() {
#ifdef __ARM_FP
  auto& coprocessor_access = *reinterpret_cast<volatile uint32_t*>(0xE000ED88);
  coprocessor_access = coprocessor_access | (0xFU << 20);
  asm volatile("dsb\n isb" ::: "memory");
#endif
}

[[noreturn]] void reset() {
  enable_floating_point();
  memcpy(data_begin, data_load, static_cast<size_t>(data_end - data_begin));
  memset(bss_begin, 0, static_cast<size_t>(bss_end - bss_begin));
  enable_interrupt(kUartReceiveInterrupt);
  enable_interrupt(kTimerInterrupt);
  main();
  for (;;) {
  }
}

constexpr int kInterrupts = 64;

using Vectors = reds::firmware::VectorTable<kInterrupts>;

constexpr Vectors board_vectors() {
  Vectors table =
      reds::firmware::make_vectors<kInterrupts>(reset, reds::firmware::fault<reds::firmware::mps2::send>);
  table.interrupts[kUartReceiveInterrupt] = reds::firmware::mps2::uart_interrupt;
  table.interrupts[kTimerInterrupt] = reds::firmware::mps2::timer_interrupt;
  return table;
}

[[gnu::section(".vectors"), gnu::used]] constexpr Vectors kVectors = board_vectors();

}  // namespace
