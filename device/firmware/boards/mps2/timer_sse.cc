// System counter and timer of the SSE-300 subsystem: 64 bits, counting up, never interrupting.

#include "timer.h"

namespace reds::firmware::mps2 {

namespace {

// Counter that all timers of the subsystem show.
struct CounterControl {
  volatile uint32_t control;
};

struct Timer {
  volatile uint32_t low;
  volatile uint32_t high;
};

constexpr uint32_t kEnable = 1 << 0;

CounterControl& counter_control() { return *reinterpret_cast<CounterControl*>(0x58100000); }
Timer& timer() { return *reinterpret_cast<Timer*>(REDS_TIMER_ADDRESS); }

}  // namespace

void start_timer() { counter_control().control = kEnable; }

uint64_t ticks() {
  for (;;) {
    const uint32_t high = timer().high;
    const uint32_t low = timer().low;
    if (timer().high == high) return (static_cast<uint64_t>(high) << 32) + low;
  }
}

const volatile uint32_t* timer_value() { return &timer().low; }

void timer_interrupt() {}

}  // namespace reds::firmware::mps2
