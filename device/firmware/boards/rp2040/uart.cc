#include "uart.h"

#include "chip.h"
#include "clocks.h"
#include "firmware/receive_ring.h"
#include "reds/protocol.h"

namespace reds::firmware::rp2040 {

namespace {

// PL011.
constexpr uintptr_t kData = 0x40034000;
constexpr uintptr_t kFlags = 0x40034018;
constexpr uintptr_t kDivider = 0x40034024;
constexpr uintptr_t kDividerFraction = 0x40034028;
constexpr uintptr_t kLineControl = 0x4003402C;
constexpr uintptr_t kControl = 0x40034030;
constexpr uintptr_t kInterrupts = 0x40034038;

constexpr uint32_t kReceiveEmpty = 1 << 4;
constexpr uint32_t kSendFull = 1 << 5;
constexpr uint32_t kEightBits = 3 << 5;
constexpr uint32_t kQueues = 1 << 4;
constexpr uint32_t kEnable = 1 << 0;
constexpr uint32_t kSendEnable = 1 << 8;
constexpr uint32_t kReceiveEnable = 1 << 9;
// When the queue is half full, and when no byte has come for 32 bits' time.
constexpr uint32_t kReceiveInterrupt = 1 << 4;
constexpr uint32_t kReceivePauseInterrupt = 1 << 6;

constexpr uintptr_t kSendPinControl = 0x40014004;
constexpr uintptr_t kReceivePinControl = 0x4001400C;
constexpr uint32_t kPinOfUart = 2;

constexpr uintptr_t kInterruptSetEnable = 0xE000E100;
constexpr uint32_t kUart0Interrupt = 1 << 20;

// The clock over 16 times the baud rate, in 1/64.
constexpr uint32_t kBaud = static_cast<uint32_t>(protocol::kBaud);
constexpr uint32_t kBaudDivider = (kCoreMegahertz * 1000000 * 4 + kBaud / 2) / kBaud;

ReceiveRing received;

}  // namespace

void start_uart() {
  at(kDivider) = kBaudDivider / 64;
  at(kDividerFraction) = kBaudDivider % 64;
  at(kLineControl) = kEightBits | kQueues;
  at(kControl) = kEnable | kSendEnable | kReceiveEnable;
  at(kInterrupts) = kReceiveInterrupt | kReceivePauseInterrupt;
  at(kSendPinControl) = kPinOfUart;
  at(kReceivePinControl) = kPinOfUart;
  at(kInterruptSetEnable) = kUart0Interrupt;
}

char receive() { return received.take(); }

void send(const char* text, size_t size) {
  for (size_t i = 0; i < size; ++i) {
    while ((at(kFlags) & kSendFull) != 0) {
    }
    at(kData) = static_cast<uint8_t>(text[i]);
  }
}

// The interrupt ends when the queue is empty.
void uart_interrupt() {
  while ((at(kFlags) & kReceiveEmpty) == 0) received.put(static_cast<char>(at(kData)));
}

}  // namespace reds::firmware::rp2040
