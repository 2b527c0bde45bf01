#include "clocks.h"

#include "chip.h"

namespace reds::firmware::rp2040 {

namespace {

constexpr uintptr_t kReset = 0x4000C000;
constexpr uintptr_t kResetDone = 0x4000C008;
constexpr uint32_t kPins = 1 << 5;
constexpr uint32_t kPads = 1 << 8;
constexpr uint32_t kSystemPll = 1 << 12;
constexpr uint32_t kTimer = 1 << 21;
constexpr uint32_t kUart0 = 1 << 22;

constexpr uintptr_t kCrystalControl = 0x40024000;
constexpr uintptr_t kCrystalStatus = 0x40024004;
constexpr uintptr_t kCrystalStartup = 0x4002400C;
constexpr uint32_t kCrystalUpTo15Megahertz = 0xAA0;
constexpr uint32_t kCrystalEnable = 0xFAB << 12;
constexpr uint32_t kCrystalStable = 1U << 31;
// A millisecond, in units of 256 of its own cycles.
constexpr uint32_t kCrystalDelay = (kCrystalMegahertz * 1000 + 128) / 256;

// Crystal * feedback / (first * second); the product before the division must lie between 750 and 1600 MHz.
constexpr uint32_t kFeedback = 133;
constexpr uint32_t kFirstDivider = 6;
constexpr uint32_t kSecondDivider = 2;
static_assert(kCrystalMegahertz * kFeedback == kCoreMegahertz * kFirstDivider * kSecondDivider,
              "the PLL makes the core's clock");

constexpr uintptr_t kPllControl = 0x40028000;
constexpr uintptr_t kPllPower = 0x40028004;
constexpr uintptr_t kPllFeedback = 0x40028008;
constexpr uintptr_t kPllDividers = 0x4002800C;
constexpr uint32_t kPllLocked = 1U << 31;
constexpr uint32_t kPllOff = 1 << 0;
constexpr uint32_t kPllOscillatorOff = 1 << 5;
constexpr uint32_t kPllDividersOff = 1 << 3;

constexpr uintptr_t kReferenceControl = 0x40008030;
constexpr uintptr_t kReferenceSelected = 0x40008038;
constexpr uintptr_t kSystemControl = 0x4000803C;
constexpr uintptr_t kSystemSelected = 0x40008044;
constexpr uintptr_t kPeripheralControl = 0x40008048;
constexpr uint32_t kReferenceFromCrystal = 2;
constexpr uint32_t kSystemFromReference = 0;
constexpr uint32_t kSystemFromPll = 1;  // of its other sources, which are after reset the PLL
constexpr uint32_t kPeripheralEnable = 1 << 11;

constexpr uintptr_t kTick = 0x4005802C;
constexpr uint32_t kTickEnable = 1 << 9;

void release(uint32_t peripherals) {
  clear_bits(kReset, peripherals);
  wait_for(kResetDone, peripherals);
}

void start_crystal() {
  at(kCrystalStartup) = kCrystalDelay;
  at(kCrystalControl) = kCrystalUpTo15Megahertz | kCrystalEnable;
  wait_for(kCrystalStatus, kCrystalStable);
}

void start_pll() {
  set_bits(kReset, kSystemPll);
  release(kSystemPll);
  at(kPllControl) = 1;  // divides the crystal by one
  at(kPllFeedback) = kFeedback;
  clear_bits(kPllPower, kPllOff | kPllOscillatorOff);
  wait_for(kPllControl, kPllLocked);
  at(kPllDividers) = kFirstDivider << 16 | kSecondDivider << 12;
  clear_bits(kPllPower, kPllDividersOff);
}

// A clock shows its source as a bit once it has changed over.
void select(uintptr_t control, uintptr_t selected, uint32_t source) {
  at(control) = source;
  wait_for(selected, 1U << source);
}

}  // namespace

void start_clocks() {
  start_crystal();
  select(kSystemControl, kSystemSelected, kSystemFromReference);  // a debugger may start it with the PLL
  select(kReferenceControl, kReferenceSelected, kReferenceFromCrystal);
  start_pll();
  select(kSystemControl, kSystemSelected, kSystemFromPll);
  at(kPeripheralControl) = kPeripheralEnable;
  at(kTick) = kTickEnable | kCrystalMegahertz;
  release(kPins | kPads | kTimer | kUart0);
}

}  // namespace reds::firmware::rp2040
