#include "src/crc32.h"

#include "src/schema.h"

namespace reds {
namespace {

struct Table {
  uint32_t remainder[256];
};

constexpr Table MakeTable() {
  constexpr uint32_t kReflectedPolynomial = 0xEDB88320;
  Table table = {};
  for (uint32_t byte = 0; byte < 256; ++byte) {
    uint32_t remainder = byte;
    for (int bit = 0; bit < 8; ++bit) {
      remainder = (remainder >> 1) ^ ((remainder & 1) != 0 ? kReflectedPolynomial : 0);
    }
    table.remainder[byte] = remainder;
  }
  return table;
}

constexpr Table kTable = MakeTable();

uint32_t Shift(uint32_t remainder) { return kTable.remainder[remainder & 0xFF] ^ (remainder >> 8); }

bool IsAligned(const uint8_t* bytes) { return reinterpret_cast<uintptr_t>(bytes) % sizeof(uint32_t) == 0; }

}  // namespace

uint32_t Crc32(uint32_t checksum, const uint8_t* bytes, size_t count) {
  uint32_t remainder = ~checksum;
  const uint8_t* const end = bytes + count;
  const uint8_t* const last_word = IsAligned(bytes) ? end - count % sizeof(uint32_t) : bytes;
  for (; bytes != last_word; bytes += sizeof(uint32_t)) {
    remainder = Shift(Shift(Shift(Shift(remainder ^ flatbuffers::ReadScalar<uint32_t>(bytes)))));
  }
  for (; bytes != end; ++bytes) remainder = Shift(remainder ^ *bytes);
  return ~remainder;
}

}  // namespace reds
