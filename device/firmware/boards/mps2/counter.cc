#include "counter.h"

#include "timer.h"

namespace reds::firmware::mps2 {

namespace {

// Instructions of one round of the loop in sum_of_ticks. Coprime to kTick.nanoseconds.
constexpr uint32_t kInstructionsPerReading = 7;

// Reads the timer kTick.nanoseconds times, kInstructionsPerReading instructions apart. Returns the sum of the
// changes since it was `start`.
uint32_t sum_of_changes(uint32_t start) {
  uint32_t sum = 0;
  uint32_t reading = 0;
  uint32_t rounds = kTick.nanoseconds;
  asm volatile(
      "  .syntax unified   \n"
      "0:                  \n"
      "  ldr %[reading], [%[value]]                  \n"
      "  subs %[reading], %[reading], %[start]       \n"
      "  adds %[sum], %[sum], %[reading]             \n"
      "  nop                                         \n"
      "  nop                                         \n"
      "  subs %[rounds], %[rounds], #1               \n"
      "  bne 0b                                      \n"
      : [reading] "=&l"(reading), [sum] "+l"(sum), [rounds] "+l"(rounds)
      : [value] "l"(timer_value()), [start] "l"(start)
      : "cc", "memory");
  return sum;
}

}  // namespace

void start_counter() { start_timer(); }

// One reading is only exact to a tick. Let a tick be n / d instructions, d and n coprime, t the time of the
// first of n readings in instructions, and s the instructions between readings, coprime to n. Then the
// readings floor(d (t + s i) / n), i = 0 ... n - 1, leave every remainder once and add up to
// d t + (d s - 1)(n - 1) / 2.
uint64_t count_instructions() {
  constexpr uint32_t n = kTick.nanoseconds;
  constexpr uint32_t d = kTick.ticks;
  const uint64_t first = ticks();
  const uint32_t changes = sum_of_changes(value_at(first));
  const uint64_t sum = first * n + (kTimerCountsDown ? -changes : changes);
  return (sum - (d * kInstructionsPerReading - 1) * (n - 1) / 2) / d;
}

uint64_t count_microseconds() {
  constexpr uint32_t kNanosecondsPerMicrosecond = 1000;
  return ticks() * kTick.nanoseconds / (kTick.ticks * kNanosecondsPerMicrosecond);
}

}  // namespace reds::firmware::mps2
