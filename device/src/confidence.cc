// Whether an exit's answer is sure enough to be taken.

#include "reds/reds.h"
#include "src/context.h"
#include "src/float_bits.h"

namespace reds {
namespace {

using schema::ElementType;
using schema::Port;
using schema::PortType;

template <typename Element>
Element LargestOf(const Context& context, const Port& port) {
  const Element* elements = reinterpret_cast<const Element*>(context.arena + port.offset());
  Element largest = elements[0];
  for (uint32_t index = 1; index < port.bytes() / sizeof(Element); ++index) {
    if (elements[index] > largest) largest = elements[index];
  }
  return largest;
}

// Of an output that is not real.
int32_t LargestInteger(const Context& context, const Port& port) {
  if (port.type() == PortType::UInt8) return LargestOf<uint8_t>(context, port);
#ifndef REDS_INT8_ONLY
  if (context.element_type == ElementType::Int16) return LargestOf<int16_t>(context, port);
#endif
  return LargestOf<int8_t>(context, port);
}

#ifdef REDS_INT8_ONLY
using Product = uint32_t;
constexpr int32_t kElementBits = 8;
#else
using Product = uint64_t;
constexpr int32_t kElementBits = 16;
#endif

// Whether difference * scale >= threshold, for positive numbers and without floating point. A significand has 24 bits,
// and the product those of a difference more.
bool Reaches(uint32_t difference, uint32_t scale_bits, uint32_t threshold_bits) {
  const Product product = Product{difference} * SignificandOf(scale_bits);
  const int32_t shift = ExponentOf(threshold_bits) - ExponentOf(scale_bits);
  if (shift < 0 || shift > kElementBits) return shift < 0;
  return product >= Product{SignificandOf(threshold_bits)} << shift;
}

float ThresholdOf(const Context& context, const schema::Subnetwork& subnetwork) {
  if (BitsOf(subnetwork.threshold()) != 0) return subnetwork.threshold();
  return context.plan->exits()->Get(subnetwork.exit())->threshold();
}

bool IsConfident(const Context& context, float threshold) {
  const uint32_t threshold_bits = BitsOf(threshold);
  if (threshold_bits == 0 || IsNegative(threshold_bits)) return true;
  const Port& port = *context.plan->output();
#ifndef REDS_INT8_ONLY
  if (port.type() == PortType::Float32 || context.element_type == ElementType::Float32)
    return LargestOf<float>(context, port) >= threshold;
#endif
  const int32_t difference = LargestInteger(context, port) - port.zero_point();
  return difference > 0 && Reaches(static_cast<uint32_t>(difference), BitsOf(port.scale()), threshold_bits);
}

}  // namespace
}  // namespace reds

int reds_is_confident(const reds_context* context) {
  const reds::Context& self = reds::Private(context);
  if (self.steps == nullptr || self.next_step != self.steps->size()) return 0;
  const float threshold = reds::ThresholdOf(self, *self.subnetworks->Get(self.running));
  return reds::IsConfident(self, threshold) ? 1 : 0;
}
