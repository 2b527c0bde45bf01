// Counts the core's cycles and the time.

#ifndef REDS_FIRMWARE_BOARDS_RP2040_COUNTER_H
#define REDS_FIRMWARE_BOARDS_RP2040_COUNTER_H

#include <stdint.h>

namespace reds::firmware::rp2040 {

// Needs the clocks.
void start_counter();

// Cycles since start_counter.
uint64_t count_cycles();

// Microseconds since start_counter.
uint64_t count_microseconds();

}  // namespace reds::firmware::rp2040

#endif
