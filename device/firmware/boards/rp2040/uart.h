// UART0 on GPIO0 (sends) and GPIO1 (receives): received bytes wait in a ring that the interrupt fills; sending polls.

#ifndef REDS_FIRMWARE_BOARDS_RP2040_UART_H
#define REDS_FIRMWARE_BOARDS_RP2040_UART_H

#include <stddef.h>

namespace reds::firmware::rp2040 {

// Needs the clocks.
void start_uart();

// Takes the next received byte; sleeps until there is one.
char receive();

void send(const char* text, size_t size);

// To be called from the UART's interrupt.
void uart_interrupt();

}  // namespace reds::firmware::rp2040

#endif
