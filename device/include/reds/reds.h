// libreds: runs any subnetwork of a REDS model from the same weights in flash and switches between them.
//
// Example:
//
//   static _Alignas(16) uint8_t arena[20000];
//   static reds_context network;
//
//   const reds_config config = {
//       .model = model, .model_bytes = model_size, .arena = arena, .arena_bytes = sizeof arena};
//   if (reds_open(&network, &config) != REDS_OK) { ... }
//   reds_budget budget = {.macs = 700000};
//   reds_set_budget(&network, &budget);             // the most accurate subnetwork that fits
//   memcpy(reds_input(&network).data, sample, reds_input(&network).bytes);
//   reds_invoke(&network);
//   const int8_t *scores = reds_output(&network).data;
//
// The caller owns the model's bytes (never written, may lie in flash), the arena and the context. There is no
// heap, no global state, no recursion and no floating point in an int8 or int16 network but where its input or
// output is float32. Several contexts may be open at once.

#ifndef REDS_REDS_H
#define REDS_REDS_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/// Version info ///

// Library version: major in the top half word, minor in the bottom one. The major number grows when a program
// that was right before may not be any more, the minor number when something was added.
#define REDS_VERSION 0x00000001

// Version of the REDS metadata that this library reads. A file of another major version is refused; a file of
// a later minor version is read, and what it has more is ignored, except operations, which are refused.
#define REDS_FORMAT_VERSION 0x00010003

/// Definitions ///

// Alignment that the model's bytes and the arena need, in bytes.
#define REDS_ALIGNMENT 16

// Every function that can fail returns one of these. Errors are negative.
typedef enum reds_status {
  REDS_DONE = 1,              // reds_step: that was the last operation, the output is ready
  REDS_OK = 0,                // no error
  REDS_ERROR_ARGUMENT = -1,   // a pointer is null or misaligned, or an index is out of range
  REDS_ERROR_MODEL = -2,      // the bytes are not a well-formed TFLite model
  REDS_ERROR_NO_PLAN = -3,    // a TFLite model, but without the metadata entry `REDS`
  REDS_ERROR_VERSION = -4,    // the metadata has a format version that this library does not read
  REDS_ERROR_CHECKSUM = -5,   // the file was changed after it was written
  REDS_ERROR_PLAN = -6,       // the metadata is malformed or breaks a rule of docs/format.md
  REDS_ERROR_ARENA = -7,      // the arena is too small for this subnetwork (reds_open: for every subnetwork)
  REDS_ERROR_BUDGET = -8,     // no subnetwork fits the budget; the selection stays as it was
  REDS_ERROR_UNLINKED = -9,   // an operation of the model is not linked; see reds/operations.h
  REDS_ERROR_CONTINUE = -10,  // the running inference cannot go on in this subnetwork; it goes on as it was
} reds_status;

// Flags of reds_config.
enum {
  // Skip the CRC-32 over the file. For models that something else already guards, such as a signed firmware
  // image.
  // Every other check is still made.
  REDS_TRUST_FLASH = 1,
};

typedef enum reds_type {
  REDS_FLOAT32 = 0,
  REDS_INT8 = 1,
  REDS_INT16 = 2,
  REDS_UINT8 = 3,
} reds_type;

// Called before and after every operation, for profiling. Runs in the context of reds_step or reds_invoke.
//
// `step` counts the operations of the running subnetwork from 0, in a batch anew for each sample; `layer` is the same number in every
// subnetwork that runs that layer; `operation` is a value of `Operation` in shared/schema/reds.fbs.
typedef void (*reds_observer)(void* user, uint32_t step, uint32_t layer, uint32_t operation, int finished);

typedef struct reds_config {
  // The .tflite file, aligned to REDS_ALIGNMENT. It must stay there, unchanged, as long as the context is
  // used.
  const void* model;

  // Size of the file in bytes.
  size_t model_bytes;

  // Memory for activations, aligned to REDS_ALIGNMENT. Input and output lie in it.
  void* arena;

  // Size of the arena in bytes. Subnetworks that need more are refused by reds_select and passed over by
  // budgets.
  size_t arena_bytes;

  // Name of the core, such as "cortex-m4", whose instruction counts budgets in instructions use. May be null:
  // then a budget with a limit on instructions finds no subnetwork.
  const char* target;

  // Called around every operation. Null means no observer.
  reds_observer observer;

  // Handed to the observer.
  void* user;

  // REDS_TRUST_FLASH or 0.
  uint32_t flags;
} reds_config;

// An open network. Its content is private; it is declared here only so that it can be placed without a heap.
typedef struct reds_context {
  uintptr_t reserved[20];
} reds_context;

// What one subnetwork costs and gives.
typedef struct reds_subnetwork {
  const char* name;       // zero-terminated, in the model's bytes
  const char* exit;       // name of the exit where it leaves the network, likewise
  uint32_t macs;          // multiply-accumulates of one inference
  uint32_t parameters;    // weights and biases that it uses
  uint32_t flash_bytes;   // bytes of the file that it reads
  uint32_t arena_bytes;   // bytes of the arena that it needs, input and output included
  uint32_t instructions;  // of one inference on the configured target; 0 means unknown
  float accuracy;         // fraction answered right in the host's measurement; negative means not measured
} reds_subnetwork;

// Limits that a subnetwork must keep. Zero means no limit.
typedef struct reds_budget {
  uint32_t macs;
  uint32_t arena_bytes;
  uint32_t instructions;
} reds_budget;

typedef struct reds_tensor {
  void* data;          // in the arena
  size_t bytes;        // size of the data
  reds_type type;      // of one element
  float scale;         // real value = scale * (element - zero_point); 0 for float32
  int32_t zero_point;  // 0 for float32
} reds_tensor;

/// Opening ///

// Verifies a model and prepares a context to run it.
//
// This is the only function that trusts nothing: every table, offset, shape and size that a later call uses
// is checked here, once, so that no kernel checks anything. Any byte string is answered with a context or an
// error. The most accurate subnetwork that fits the arena is selected. On an error the context must not be
// used.
//
// Returns REDS_OK, REDS_ERROR_ARGUMENT, REDS_ERROR_MODEL, REDS_ERROR_NO_PLAN, REDS_ERROR_VERSION,
// REDS_ERROR_CHECKSUM, REDS_ERROR_PLAN, REDS_ERROR_UNLINKED or REDS_ERROR_ARENA.
reds_status reds_open(reds_context* context, const reds_config* config);

/// Subnetworks ///

// Returns how many subnetworks the model holds, at least 1. Subnetwork 0 is the full network.
uint32_t reds_subnetwork_count(const reds_context* context);

// Describes one subnetwork.
//
// Returns REDS_OK, or REDS_ERROR_ARGUMENT if there is no such subnetwork.
reds_status reds_describe(const reds_context* context, uint32_t subnetwork, reds_subnetwork* description);

// Selects the subnetwork that the next inference runs. An inference that has begun is not disturbed.
//
// May be called from an interrupt handler while another function of this context runs. Takes the same few
// instructions whatever the model.
//
// Returns REDS_OK, REDS_ERROR_ARGUMENT if there is no such subnetwork, or REDS_ERROR_ARENA if the arena is
// too small for it; then the selection stays as it was.
reds_status reds_select(reds_context* context, uint32_t subnetwork);

// Selects the most accurate subnetwork that keeps every limit of the budget and fits the arena.
//
// May be called from an interrupt handler, like reds_select. Its time grows with the number of subnetworks,
// not with the number of layers.
//
// Returns REDS_OK, REDS_ERROR_ARGUMENT if a pointer is null, or REDS_ERROR_BUDGET.
reds_status reds_set_budget(reds_context* context, const reds_budget* budget);

// Returns the subnetwork that the next inference runs.
uint32_t reds_selected(const reds_context* context);

/// Inference ///

// The network's input and output. Place, size, type and quantisation are the same in every subnetwork. An
// inference may overwrite its input. Of a model with a batch both hold all its samples, one behind the other; each
// runs by itself, the last one first.
reds_tensor reds_input(const reds_context* context);
reds_tensor reds_output(const reds_context* context);

// Runs the selected subnetwork from the input to the output. An inference begun with reds_step is abandoned.
void reds_invoke(reds_context* context);

// Runs one operation, in a batch of one sample. The first call of an inference takes the subnetwork that is selected
// then.
//
// Returns REDS_OK if operations remain, or REDS_DONE after the last one; the next call begins a new
// inference, unless reds_continue_in lets this one go on.
reds_status reds_step(reds_context* context);

// Lets the inference that was begun last go on in another subnetwork, whether operations remain or not.
//
// The other subnetwork is a narrower one, leaves the network at an exit, or goes on where an exit has left it.
// It continues behind the last operation that both run lists begin with: where both have the same exit that is
// the next one, behind the tap of an exit that was passed it is the first one of the exit's head, and from an
// exit's head it is the first one behind the tap. Each tensor that is still needed is reduced to its first
// channels, in int8 rescaled from the wide tensor's quantisation to the narrow one's, and brought to its
// place. The answer then is that of the narrower subnetwork, from features that the wider one computed so far.
//
// Either all of this is done or, with an error, nothing. What the next inference runs stays as it was
// selected. Call it between two calls of reds_step or after the last one, not from an observer or from an
// interrupt handler that interrupts one. The features that an exit's head has read are kept until the next
// inference if the exit has a threshold (see reds_is_confident); what is written into the input may overwrite
// them. Its time grows with the bytes of the needed tensors; docs/results.md says how many instructions that
// are.
//
// Returns REDS_OK, REDS_ERROR_ARGUMENT if there is no such subnetwork, REDS_ERROR_ARENA if the arena is too
// small for it, or REDS_ERROR_CONTINUE if no inference has begun, if the subnetwork begins with another
// operation or has none left to run, if it needs a tensor that has fewer channels now or is overwritten
// already, or needs more than 16 at the same time, or if the model computes in int16 or has a batch above 1.
reds_status reds_continue_in(reds_context* context, uint32_t subnetwork);

// Lets the inference that was begun last go on in the most accurate subnetwork whose remaining operations have
// at most so many multiply-accumulates, of those in which reds_continue_in lets it go on. The one that runs is
// among them, so that where there is time enough nothing changes.
//
// Returns REDS_OK, REDS_ERROR_ARGUMENT if the pointer is null, REDS_ERROR_CONTINUE if no inference has begun,
// or REDS_ERROR_BUDGET if there is no such subnetwork; then it goes on as it was.
reds_status reds_continue_within(reds_context* context, uint32_t macs);

// Returns 1 if the output holds an answer that is sure enough to be the last one, else 0. It is if the
// inference is done and the largest element of the output is not below the threshold of the subnetwork or, if
// that has none, of the exit where it left the network. Without a threshold it always is. In a batch the element is
// one of the first sample's.
//
// Example:
//
//   reds_select(&network, small);
//   reds_invoke(&network);
//   memcpy(answer, output.data, output.bytes);  // a deadline may come before there is a better one
//   if (!reds_is_confident(&network)) {
//     if (reds_continue_in(&network, large) != REDS_OK) {  // nothing to go on from: once more from the input
//       reds_select(&network, large);
//       memcpy(input.data, kept, input.bytes);
//     }
//     while (!is_late() && reds_step(&network) == REDS_OK) {
//     }
//   }
int reds_is_confident(const reds_context* context);

// Returns a zero-terminated sentence for a status, for people.
const char* reds_status_text(reds_status status);

#ifdef __cplusplus
}
#endif

#endif
