// CRC-32 of IEEE 802.3, as in zlib.

#ifndef REDS_SRC_CRC32_H
#define REDS_SRC_CRC32_H

#include <cstddef>
#include <cstdint>

namespace reds {

// Adds bytes to a running checksum. The first call takes 0; parts of a message are chained.
uint32_t Crc32(uint32_t checksum, const uint8_t* bytes, size_t count);

}  // namespace reds

#endif
