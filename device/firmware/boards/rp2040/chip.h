// Registers of the RP2040.

#ifndef REDS_FIRMWARE_BOARDS_RP2040_CHIP_H
#define REDS_FIRMWARE_BOARDS_RP2040_CHIP_H

#include <stdint.h>

namespace reds::firmware::rp2040 {

using Register = volatile uint32_t;

inline Register& at(uintptr_t address) { return *reinterpret_cast<Register*>(address); }

// Each register has aliases that set or clear the bits that are written to them.
inline void set_bits(uintptr_t address, uint32_t bits) { at(address + 0x2000) = bits; }
inline void clear_bits(uintptr_t address, uint32_t bits) { at(address + 0x3000) = bits; }

inline void wait_for(uintptr_t address, uint32_t bits) {
  while ((at(address) & bits) != bits) {
  }
}

}  // namespace reds::firmware::rp2040

#endif
