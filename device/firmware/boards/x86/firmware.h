// The firmware as a shared library for this machine, so that tests and benches run the same protocol without
// a board.

#ifndef REDS_FIRMWARE_BOARDS_X86_FIRMWARE_H
#define REDS_FIRMWARE_BOARDS_X86_FIRMWARE_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct reds_firmware reds_firmware;

// Starts a board with a copy of the model and an arena; both sizes in bytes. `model_name` is zero-terminated.
//
// Returns the board, or null if there is no memory for it. What it says at boot waits in reds_firmware_take.
reds_firmware* reds_firmware_create(const void* model, size_t model_bytes, const char* model_name,
                                    size_t arena_bytes);

// Sends bytes from the host to the board, which runs every command that they complete.
void reds_firmware_feed(reds_firmware* firmware, const char* bytes, size_t size);

// Takes up to `capacity` bytes of what the board has said. Returns how many there were; 0 means that it has
// said all.
size_t reds_firmware_take(reds_firmware* firmware, char* bytes, size_t capacity);

// Ends a board. Null does nothing.
void reds_firmware_destroy(reds_firmware* firmware);

#ifdef __cplusplus
}
#endif

#endif
