// Clocks of a board with a crystal of 12 MHz, such as the Raspberry Pi Pico.

#ifndef REDS_FIRMWARE_BOARDS_RP2040_CLOCKS_H
#define REDS_FIRMWARE_BOARDS_RP2040_CLOCKS_H

#include <stdint.h>

namespace reds::firmware::rp2040 {

constexpr uint32_t kCrystalMegahertz = 12;

// Of the core and of the peripherals.
constexpr uint32_t kCoreMegahertz = 133;

// Starts the clocks and takes the peripherals that the firmware uses out of reset.
void start_clocks();

}  // namespace reds::firmware::rp2040

#endif
