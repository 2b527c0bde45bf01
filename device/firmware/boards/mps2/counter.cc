#include "counter.h"

namespace reds::firmware::mps2 {

namespace {

// CMSDK APB timer, counting down.
struct Timer {
  volatile uint32_t control;
  volatile uint32_t value;
  volatile uint32_t reload;
  volatile uint32_t interrupt;
};

constexpr uint32_t kEnable = 1 << 0;
constexpr uint32_t kInterruptEnable = 1 << 3;

constexpr uint32_t kTicksPerMicrosecond = 25;
constexpr uint32_t kInstructionsPerTick = 40;

// Instructions of one round of the loop in sum_of_ticks. Coprime to kInstructionsPerTick.
constexpr uint32_t kInstructionsPerReading = 7;

Timer& timer() { return *reinterpret_cast<Timer*>(0x40000000); }

// How often the timer has run down.
volatile uint32_t wraps;

uint64_t ticks() {
  for (;;) {
    const uint32_t before = wraps;
    const uint32_t value = timer().value;
    if (wraps == before) return (static_cast<uint64_t>(before) << 32) + (UINT32_MAX - value);
  }
}

// Reads the timer kInstructionsPerTick times, kInstructionsPerReading instructions apart. Returns the sum of
// the ticks that had passed at each reading since `start` was the timer's value.
uint32_t sum_of_ticks(uint32_t start) {
  uint32_t sum = 0;
  uint32_t reading = 0;
  uint32_t rounds = kInstructionsPerTick;
  asm volatile(
      "  .syntax unified   \n"
      "0:                  \n"
      "  ldr %[reading], [%[value]]                  \n"
      "  subs %[reading], %[start], %[reading]       \n"
      "  adds %[sum], %[sum], %[reading]             \n"
      "  nop                                         \n"
      "  nop                                         \n"
      "  subs %[rounds], %[rounds], #1               \n"
      "  bne 0b                                      \n"
      : [reading] "=&l"(reading), [sum] "+l"(sum), [rounds] "+l"(rounds)
      : [value] "l"(&timer().value), [start] "l"(start)
      : "cc", "memory");
  return sum;
}

}  // namespace

void start_counter() {
  wraps = 0;
  timer().reload = UINT32_MAX;
  timer().value = UINT32_MAX;
  timer().control = kEnable | kInterruptEnable;
}

// One reading is only exact to a tick. If t is the time of the first of n readings in instructions, n the
// instructions per tick and s the instructions between readings, coprime to n, then by Hermite's identity the
// readings floor((t + s i) / n), i = 0 ... n - 1, add up to t + (s - 1)(n - 1) / 2.
uint64_t count_instructions() {
  const uint64_t first = ticks();
  const uint32_t start = UINT32_MAX - static_cast<uint32_t>(first);
  const uint64_t sum = first * kInstructionsPerTick + sum_of_ticks(start);
  return sum - (kInstructionsPerReading - 1) * (kInstructionsPerTick - 1) / 2;
}

uint64_t count_microseconds() { return ticks() / kTicksPerMicrosecond; }

void counter_interrupt() {
  timer().interrupt = 1;
  wraps = wraps + 1;
}

}  // namespace reds::firmware::mps2
