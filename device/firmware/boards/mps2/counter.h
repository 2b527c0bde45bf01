// Counts instructions with TIMER0 of the MPS2 boards in QEMU.
//
// With `-icount shift=0` QEMU lets one nanosecond pass per instruction, and the timer runs at 25 MHz: one
// tick is 40 instructions.

#ifndef REDS_FIRMWARE_BOARDS_MPS2_COUNTER_H
#define REDS_FIRMWARE_BOARDS_MPS2_COUNTER_H

#include <stdint.h>

namespace reds::firmware::mps2 {

constexpr uint32_t kInstructionsPerMicrosecond = 1000;

void start_counter();

// Instructions since start_counter, exact to the instruction. Every call costs the same, some 300
// instructions.
uint64_t count_instructions();

// Microseconds since start_counter.
uint64_t count_microseconds();

// To be called from the timer's interrupt.
void counter_interrupt();

}  // namespace reds::firmware::mps2

#endif
