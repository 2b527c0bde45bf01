// What the example needs of a board. board.c has it for a bare Cortex-M with a debugger or in QEMU.

#ifndef REDS_EXAMPLES_MINIMAL_BOARD_H
#define REDS_EXAMPLES_MINIMAL_BOARD_H

// Writes a zero-terminated text to the console.
void print(const char* text);

#endif
