// From one int8 quantisation to another, without floating point.

#ifndef REDS_SRC_RESCALE_H
#define REDS_SRC_RESCALE_H

#include <cstdint>

#include "src/schema.h"

namespace reds {

// One output for each byte of an input.
constexpr int kRescaled = 256;

// Fills a table with what TFLite Micro's QUANTIZE makes of every element of one tensor for another one: its
// difference from the zero point times the ratio of the scales, plus the other zero point, saturated.
void FillRescaled(const schema::Tensor& from, const schema::Tensor& to, int8_t (&table)[kRescaled]);

}  // namespace reds

#endif
