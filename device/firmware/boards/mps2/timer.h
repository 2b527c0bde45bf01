// The board's free-running timer. REDS_TIMER_SSE chooses between the two kinds that the boards have.

#ifndef REDS_FIRMWARE_BOARDS_MPS2_TIMER_H
#define REDS_FIRMWARE_BOARDS_MPS2_TIMER_H

#include <stdint.h>

namespace reds::firmware::mps2 {

// How fast it runs: so many ticks in so many nanoseconds, in lowest terms.
struct Tick {
  uint32_t nanoseconds;
  uint32_t ticks;
};

constexpr Tick kTick = {REDS_TICK_NANOSECONDS, REDS_TICKS};

#ifdef REDS_TIMER_SSE
constexpr bool kTimerCountsDown = false;
#else
constexpr bool kTimerCountsDown = true;
#endif

void start_timer();

// Ticks since start_timer.
uint64_t ticks();

// The register whose value changes by one, up or down, with each tick.
const volatile uint32_t* timer_value();

// What that register holds after so many ticks.
constexpr uint32_t value_at(uint64_t ticks) {
  return kTimerCountsDown ? UINT32_MAX - static_cast<uint32_t>(ticks) : static_cast<uint32_t>(ticks);
}

// To be called from the timer's interrupt.
void timer_interrupt();

}  // namespace reds::firmware::mps2

#endif
