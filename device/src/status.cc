#include "reds/reds.h"

const char* reds_status_text(reds_status status) {
  switch (status) {
    case REDS_DONE:
      return "the inference is done";
    case REDS_OK:
      return "no error";
    case REDS_ERROR_ARGUMENT:
      return "an argument is null, misaligned or out of range";
    case REDS_ERROR_MODEL:
      return "the bytes are not a well-formed TFLite model";
    case REDS_ERROR_NO_PLAN:
      return "the model has no metadata entry `REDS`; `reds adopt` adds one";
    case REDS_ERROR_VERSION:
      return "the model's REDS metadata has a format version that this library does not read";
    case REDS_ERROR_CHECKSUM:
      return "the model was changed after it was written";
    case REDS_ERROR_PLAN:
      return "the model's REDS metadata is malformed";
    case REDS_ERROR_ARENA:
      return "the arena is too small";
    case REDS_ERROR_BUDGET:
      return "no subnetwork fits the budget";
    case REDS_ERROR_UNLINKED:
      return "an operation of the model is not linked";
    case REDS_ERROR_CONTINUE:
      return "the running inference cannot go on in this subnetwork";
  }
  return "not a status";
}
