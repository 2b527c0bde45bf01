// What runs before and around `main`: vector table, memory, floating-point unit.

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "timer.h"
#include "uart.h"

int main();

// Places that the linker script defines.
extern "C" {
extern uint8_t stack_top[];
extern uint8_t data_begin[];
extern uint8_t data_end[];
extern const uint8_t data_load[];
extern uint8_t bss_begin[];
extern uint8_t bss_end[];
}

namespace {

using Handler = void (*)();

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

// No byte from the host can lead here; if a defect does, the host learns it instead of waiting.
[[noreturn]] void fault() {
  constexpr char kText[] = "\r\ne-[Hardware fault]\r\n";
  reds::firmware::mps2::send(kText, sizeof kText - 1);
  for (;;) asm volatile("wfi");
}

constexpr int kSystemHandlers = 14;  // from the non-maskable interrupt to SysTick
constexpr int kInterrupts = 64;

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
  table.interrupts[kUartReceiveInterrupt] = reds::firmware::mps2::uart_interrupt;
  table.interrupts[kTimerInterrupt] = reds::firmware::mps2::timer_interrupt;
  return table;
}

[[gnu::section(".vectors"), gnu::used]] constexpr VectorTable kVectors = make_vectors();

}  // namespace
