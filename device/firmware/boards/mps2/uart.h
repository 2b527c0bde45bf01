// UART0 of the MPS2 boards: received bytes wait in a ring that the interrupt fills; sending polls.

#ifndef REDS_FIRMWARE_BOARDS_MPS2_UART_H
#define REDS_FIRMWARE_BOARDS_MPS2_UART_H

#include <stddef.h>

namespace reds::firmware::mps2 {

void start_uart();

// Takes the next received byte; sleeps until there is one.
char receive();

void send(const char* text, size_t size);

// To be called from the UART's receive interrupt.
void uart_interrupt();

}  // namespace reds::firmware::mps2

#endif
