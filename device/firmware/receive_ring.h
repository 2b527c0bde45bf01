// Bytes between the interrupt that receives them and the loop that takes them.

#ifndef REDS_FIRMWARE_RECEIVE_RING_H
#define REDS_FIRMWARE_RECEIVE_RING_H

#include <stdint.h>

namespace reds::firmware {

class ReceiveRing {
 public:
  // For the interrupt. When the ring is full, the byte is lost.
  void put(char byte) {
    if (written_ - read_ == kBytes) return;
    bytes_[written_ % kBytes] = byte;
    written_ = written_ + 1;
  }

  // For the loop; sleeps until there is a byte.
  char take() {
    while (written_ == read_) sleep_while_empty();
    const char byte = bytes_[read_ % kBytes];
    read_ = read_ + 1;
    return byte;
  }

 private:
  // A power of two, far more than a host that waits for `m-ready` sends at once.
  static constexpr uint32_t kBytes = 1024;

  void sleep_while_empty() {
    // With interrupts masked none can slip in between the check and the sleep; a pending one still ends the
    // sleep.
    asm volatile("cpsid i" ::: "memory");
    if (written_ == read_) asm volatile("wfi" ::: "memory");
    asm volatile("cpsie i" ::: "memory");
  }

  char bytes_[kBytes] = {};
  volatile uint32_t written_ = 0;  // by `put` only
  volatile uint32_t read_ = 0;     // by `take` only
};

}  // namespace reds::firmware

#endif
