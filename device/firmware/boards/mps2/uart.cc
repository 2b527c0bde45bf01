#include "uart.h"

#include <stdint.h>

#include "firmware/receive_ring.h"
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

Uart& uart() { return *reinterpret_cast<Uart*>(REDS_UART_ADDRESS); }

ReceiveRing received;

}  // namespace

void start_uart() {
  uart().divider = kClockHertz / static_cast<uint32_t>(protocol::kBaud);
  uart().control = kSendEnable | kReceiveEnable | kReceiveInterruptEnable;
}

char receive() { return received.take(); }

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
    received.put(static_cast<char>(uart().data));
  }
}

}  // namespace reds::firmware::mps2
