#include "counter.h"

#include "chip.h"
#include "clocks.h"

namespace reds::firmware::rp2040 {

namespace {

// Counts microseconds, 64 bits.
constexpr uintptr_t kTimerHigh = 0x40054024;
constexpr uintptr_t kTimerLow = 0x40054028;

// SysTick counts cycles down, 24 bits: it wraps eight times a second.
constexpr uintptr_t kTickControl = 0xE000E010;
constexpr uintptr_t kTickReload = 0xE000E014;
constexpr uintptr_t kTickValue = 0xE000E018;
constexpr uint32_t kTickEnable = 1 << 0;
constexpr uint32_t kTickOfCore = 1 << 2;
constexpr uint32_t kTickMaximum = 0xFFFFFF;
constexpr int kTickUnused = 8;  // bits of 32

uint64_t timer() {
  for (;;) {
    const uint32_t high = at(kTimerHigh);
    const uint32_t low = at(kTimerLow);
    if (at(kTimerHigh) == high) return (static_cast<uint64_t>(high) << 32) + low;
  }
}

uint64_t start;

}  // namespace

void start_counter() {
  at(kTickReload) = kTickMaximum;
  at(kTickValue) = 0;  // any write clears it
  at(kTickControl) = kTickEnable | kTickOfCore;
  start = timer();
}

// The timer says which wrap of SysTick it is. Both run from the crystal, so they never drift apart.
uint64_t count_cycles() {
  const uint32_t ticks = kTickMaximum - at(kTickValue);
  const uint64_t about = count_microseconds() * kCoreMegahertz;
  const uint32_t difference = (ticks - static_cast<uint32_t>(about)) << kTickUnused;
  return about + static_cast<uint64_t>(static_cast<int64_t>(static_cast<int32_t>(difference) >> kTickUnused));
}

uint64_t count_microseconds() { return timer() - start; }

}  // namespace reds::firmware::rp2040
