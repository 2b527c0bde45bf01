// CMSDK APB timer: 32 bits, counting down.

#include "timer.h"

namespace reds::firmware::mps2 {

namespace {

struct Timer {
  volatile uint32_t control;
  volatile uint32_t value;
  volatile uint32_t reload;
  volatile uint32_t interrupt;
};

constexpr uint32_t kEnable = 1 << 0;
constexpr uint32_t kInterruptEnable = 1 << 3;

Timer& timer() { return *reinterpret_cast<Timer*>(REDS_TIMER_ADDRESS); }

// How often the timer has run down.
volatile uint32_t wraps;

}  // namespace

void start_timer() {
  wraps = 0;
  timer().reload = UINT32_MAX;
  timer().value = UINT32_MAX;
  timer().control = kEnable | kInterruptEnable;
}

uint64_t ticks() {
  for (;;) {
    const uint32_t before = wraps;
    const uint32_t value = timer().value;
    if (wraps == before) return (static_cast<uint64_t>(before) << 32) + (UINT32_MAX - value);
  }
}

const volatile uint32_t* timer_value() { return &timer().value; }

void timer_interrupt() {
  timer().interrupt = 1;
  wraps = wraps + 1;
}

}  // namespace reds::firmware::mps2
