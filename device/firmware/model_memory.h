// A model in memory that the core can address, behind a header that the host writes with it.

#ifndef REDS_FIRMWARE_MODEL_MEMORY_H
#define REDS_FIRMWARE_MODEL_MEMORY_H

#include <stddef.h>
#include <stdint.h>

#include "reds/reds.h"
#include "text.h"

namespace reds::firmware {

struct ModelHeader {
  uint32_t bytes;
  char name[12];  // of the model, filled up with zeros
};
static_assert(sizeof(ModelHeader) == REDS_ALIGNMENT, "the model begins right behind its header, aligned");

// What lies at an address: a header, and a model of up to `room - sizeof(ModelHeader)` bytes.
class ModelMemory {
 public:
  ModelMemory(uintptr_t address, size_t room)
      : header_(reinterpret_cast<const ModelHeader*>(address)), room_(room) {}

  const void* model() const { return header_ + 1; }

  size_t bytes() const {
    const size_t most = room_ - sizeof(ModelHeader);
    return header_->bytes < most ? header_->bytes : most;
  }

  Text name() const {
    size_t size = 0;
    while (size < sizeof header_->name && header_->name[size] != '\0') ++size;
    return size == 0 ? text_of("reds") : Text{header_->name, size};
  }

 private:
  const ModelHeader* header_;
  size_t room_;
};

}  // namespace reds::firmware

#endif
