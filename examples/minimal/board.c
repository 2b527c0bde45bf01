// What runs before `main`, and a console through semihosting: a debugger, or QEMU, answers the breakpoint.

#include "board.h"

#include <stdint.h>
#include <string.h>

int main(void);

// Places that link.ld defines.
extern uint8_t stack_top[];
extern uint8_t data_begin[];
extern uint8_t data_end[];
extern const uint8_t data_load[];
extern uint8_t bss_begin[];
extern uint8_t bss_end[];

// Semihosting for AArch32 and AArch64, Arm IHI 0074: operations, and reasons to end.
enum {
  SYS_WRITE0 = 0x04,
  SYS_EXIT = 0x18,
  ADP_STOPPED_RUN_TIME_ERROR = 0x20023,
  ADP_STOPPED_APPLICATION_EXIT = 0x20026,
};

static void call_host(uint32_t operation, uintptr_t argument) {
  register uintptr_t r0 __asm__("r0") = operation;
  register uintptr_t r1 __asm__("r1") = argument;
  __asm__ volatile("bkpt 0xAB" : "+r"(r0) : "r"(r1) : "memory");
}

void print(const char* text) { call_host(SYS_WRITE0, (uintptr_t)text); }

static void end(int is_error) {
  call_host(SYS_EXIT, is_error ? ADP_STOPPED_RUN_TIME_ERROR : ADP_STOPPED_APPLICATION_EXIT);
  for (;;) {
  }
}

static void enable_floating_point(void) {
#ifdef __ARM_FP
  volatile uint32_t* const coprocessor_access = (volatile uint32_t*)0xE000ED88;
  *coprocessor_access |= 0xFU << 20;
  __asm__ volatile("dsb\n isb" ::: "memory");
#endif
}

static void reset(void) {
  enable_floating_point();
  memcpy(data_begin, data_load, (size_t)(data_end - data_begin));
  memset(bss_begin, 0, (size_t)(bss_end - bss_begin));
  end(main());
}

static void fault(void) { end(1); }

typedef void (*handler)(void);

// Reset, non-maskable interrupt, hard fault. The example enables no other exception.
__attribute__((section(".vectors"), used)) static const struct {
  uint8_t* stack;
  handler handlers[3];
} vectors = {stack_top, {reset, fault, fault}};
