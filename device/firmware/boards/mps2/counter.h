// Counts instructions with a timer of the MPS2 and MPS3 boards in QEMU.
//
// With `-icount shift=0` QEMU lets one nanosecond pass per instruction, and the timer ticks every few dozen
// nanoseconds.

#ifndef REDS_FIRMWARE_BOARDS_MPS2_COUNTER_H
#define REDS_FIRMWARE_BOARDS_MPS2_COUNTER_H

#include <stdint.h>

namespace reds::firmware::mps2 {

constexpr uint32_t kInstructionsPerMicrosecond = 1000;

void start_counter();

// Instructions since start_counter, exact to the instruction. Every call on a board costs the same, some 300
// to 900 instructions.
uint64_t count_instructions();

// Microseconds since start_counter.
uint64_t count_microseconds();

}  // namespace reds::firmware::mps2

#endif
