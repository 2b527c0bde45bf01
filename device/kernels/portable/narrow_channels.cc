#include <cstring>

#include "kernels/kernels.h"

namespace reds {
namespace {

constexpr int32_t kWord = sizeof(uint32_t);

bool AreAligned(const uint8_t* first, const uint8_t* second) {
  return ((reinterpret_cast<uintptr_t>(first) | reinterpret_cast<uintptr_t>(second)) & (kWord - 1)) == 0;
}

void CopyWord(const uint8_t* from, uint8_t* to) {
  std::memcpy(__builtin_assume_aligned(to, kWord), __builtin_assume_aligned(from, kWord), kWord);
}

void CopyForward(const uint8_t* input, uint8_t* output, int32_t bytes) {
  if (AreAligned(input, output)) {
    for (; bytes >= kWord; bytes -= kWord, input += kWord, output += kWord) CopyWord(input, output);
  }
  for (; bytes > 0; --bytes) *output++ = *input++;
}

void LookUp(const int8_t* table, const uint8_t* input, uint8_t* output, int32_t bytes) {
#pragma GCC unroll 4
  for (int32_t index = 0; index < bytes; ++index) output[index] = static_cast<uint8_t>(table[input[index]]);
}

}  // namespace

void Run(const NarrowChannels& narrow) {
  const NarrowChannels all =
      narrow;  // a copy that no store can change, so that its pointers stay in registers
  const uint8_t* input = all.input;
  uint8_t* output = all.output;
  for (int32_t left = all.positions; left > 0; --left) {
    if (all.table != nullptr) {
      LookUp(all.table, input, output, all.bytes);
    } else {
      CopyForward(input, output, all.bytes);
    }
    input += all.input_pitch;
    output += all.bytes;
  }
}

void Run(const MoveUp& move) {
  const uint8_t* input = move.input + move.bytes;
  uint8_t* output = move.output + move.bytes;
  int32_t left = move.bytes;
  const int32_t rest = AreAligned(move.input, move.output) ? left % kWord : left;
  for (const int32_t words = left - rest; left > words; --left) *--output = *--input;
  for (; left > 0; left -= kWord) {
    input -= kWord;
    output -= kWord;
    CopyWord(input, output);
  }
}

}  // namespace reds
