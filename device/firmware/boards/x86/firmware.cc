#include "firmware.h"

#include <chrono>
#include <cstdint>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include "firmware/protocol.h"

namespace {

using reds::firmware::Board;
using reds::firmware::Interpreter;
using reds::firmware::Text;
using reds::firmware::Workspace;

// As on the boards: no input of a network for microcontrollers is larger.
constexpr size_t kUploadBytes = size_t{1} << 18;

struct alignas(REDS_ALIGNMENT) Block {
  uint8_t bytes[REDS_ALIGNMENT];
};

// Memory aligned for a model or an arena.
std::vector<Block> aligned_memory(size_t bytes) { return std::vector<Block>(bytes / sizeof(Block) + 1); }

uint64_t microseconds(void*) {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(now).count());
}

void append(void* said, const char* text, size_t size) {
  static_cast<std::string*>(said)->append(text, size);
}

}  // namespace

struct reds_firmware {
  reds_firmware(const uint8_t* model_data, size_t model_bytes, const char* name, size_t arena_bytes)
      : model(aligned_memory(model_bytes)),
        arena(aligned_memory(arena_bytes)),
        upload(kUploadBytes),
        model_name(name),
        interpreter(board(), workspace(model_bytes, arena_bytes)) {
    std::copy(model_data, model_data + model_bytes, model.data()->bytes);
    interpreter.boot();
  }
  reds_firmware(const reds_firmware&) = delete;
  reds_firmware& operator=(const reds_firmware&) = delete;

  Board board() {
    Board board = {};
    board.user = &said;
    board.write = append;
    board.microseconds = microseconds;
    board.vendor = "reds-x86";
    return board;
  }

  Workspace workspace(size_t model_bytes, size_t arena_bytes) {
    const Text name = {model_name.data(), model_name.size()};
    return {name, model.data(), model_bytes, arena.data(), arena_bytes, upload.data(), upload.size()};
  }

  std::vector<Block> model;
  std::vector<Block> arena;
  std::vector<uint8_t> upload;
  std::string model_name;
  std::string said;
  Interpreter interpreter;
};

reds_firmware* reds_firmware_create(const void* model, size_t model_bytes, const char* model_name,
                                    size_t arena_bytes) {
  try {
    return new reds_firmware(static_cast<const uint8_t*>(model), model_bytes, model_name, arena_bytes);
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}

void reds_firmware_feed(reds_firmware* firmware, const char* bytes, size_t size) {
  for (size_t i = 0; i < size; ++i) firmware->interpreter.feed(bytes[i]);
}

size_t reds_firmware_take(reds_firmware* firmware, char* bytes, size_t capacity) {
  const size_t size = firmware->said.copy(bytes, capacity);
  firmware->said.erase(0, size);
  return size;
}

void reds_firmware_destroy(reds_firmware* firmware) { delete firmware; }
