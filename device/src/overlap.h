// How near an operation's output may lie to an input that no later step reads, from how kernels walk
// (kernels/kernels.h). The host places tensors by the same numbers (host/reds/overlapping.py).

#ifndef REDS_SRC_OVERLAP_H
#define REDS_SRC_OVERLAP_H

#include <cstdint>

#include "src/schema.h"

namespace reds {

// Bytes between the begins of an input and an output that overlaps it. The arena has fewer than kNever.
struct Overlap {
  static constexpr int32_t kNever = INT32_MAX;

  int32_t before;    // the least where the output begins first
  int32_t multiple;  // of which they are a multiple there
  int32_t behind;    // the least where the input begins first

  bool Allows(int32_t input_begin, int32_t output_begin) const {
    const int32_t distance = input_begin - output_begin;
    if (distance < 0) return -distance >= behind;
    return distance >= before && distance % multiple == 0;
  }
};

// The layer's shapes hold, and its maps are below 2^31 bytes at the active channels. `input` and `output` are the bytes of one position at
// the active channels.
Overlap OverlapOf(const schema::Layer& layer, int32_t input, int32_t output);

}  // namespace reds

#endif
