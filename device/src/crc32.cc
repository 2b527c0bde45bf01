#include "src/crc32.h"

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

}  // namespace

uint32_t Crc32(uint32_t checksum, const uint8_t* bytes, size_t count) {
  uint32_t remainder = ~checksum;
  for (const uint8_t* end = bytes + count; bytes != end; ++bytes) {
    remainder = kTable.remainder[(remainder ^ *bytes) & 0xFF] ^ (remainder >> 8);
  }
  return ~remainder;
}

}  // namespace reds
