#include "uart.h"

#include <stdint.h>

#include "reds/protocol.h"

namespace reds::firmware::mps2 {

namespace {

// CMSDK APB UART.
struct Uart {
  volatile uint32_t data;
  volatile uint32_t state;
  volatile uint32_t control;
  volatile uint32_t interrupt;
  volatile uint32_t divider;
};

constexpr uint32_t kSendFull = 1 << 0;
constexpr uint32_t kReceiveFull = 1 << 1;
constexpr uint32_t kSendEnable = 1 << 0;
constexpr uint32_t kReceiveEnable = 1 << 1;
constexpr uint32_t kReceiveInterruptEnable = 1 << 3;
constexpr uint32_t kReceiveInterrupt = 1 << 1;

constexpr uint32_t kClockHertz = REDS_UART_CLOCK_HERTZ;

// A power of two, far more than a host that waits for `m-ready` sends at once. When it is full, bytes are
// lost.
constexpr uint32_t kRingBytes = 1024;

Uart& uart() { return *reinterpret_cast<Uart*>(REDS_UART_ADDRESS); }

char ring[kRingBytes];
volatile uint32_t written;  // by the interrupt only
volatile uint32_t read;     // by `receive` only

void sleep_while_empty() {
  // With interrupts masked none can slip in between the check and the sleep; a pending one still ends the
  // sleep.
  asm volatile("cpsid i" ::: "memory");
  if (written == read) asm volatile("wfi" ::: "memory");
  asm volatile("cpsie i" ::: "memory");
}

}  // namespace

void start_uart() {
  uart().divider = kClockHertz / static_cast<uint32_t>(protocol::kBaud);
  uart().control = kSendEnable | kReceiveEnable | kReceiveInterruptEnable;
}

char receive() {
  while (written == read) sleep_while_empty();
  const char byte = ring[read % kRingBytes];
  read = read + 1;
  return byte;
}

void send(const char* text, size_t size) {
  for (size_t i = 0; i < size; ++i) {
    while ((uart().state & kSendFull) != 0) {
    }
    uart().data = static_cast<uint8_t>(text[i]);
  }
}

void uart_interrupt() {
  uart().interrupt = kReceiveInterrupt;
  while ((uart().state & kReceiveFull) != 0) {
    const char byte = static_cast<char>(uart().data);
    if (written - read == kRingBytes) continue;
    ring[written % kRingBytes] = byte;
    written = written + 1;
  }
}

}  // namespace reds::firmware::mps2
