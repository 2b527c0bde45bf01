// Command interpreter of the bench's line protocol (docs/protocol.md). It knows no board: bytes come in
// through `feed`, text and time go through callbacks.

#ifndef REDS_FIRMWARE_PROTOCOL_H
#define REDS_FIRMWARE_PROTOCOL_H

#include <stddef.h>
#include <stdint.h>

#include "reds/protocol.h"
#include "reds/reds.h"
#include "text.h"

namespace reds::firmware {

// What the interpreter needs of a board.
struct Board {
  // Handed to each callback.
  void* user;

  // Sends text to the host.
  void (*write)(void* user, const char* text, size_t size);

  // Time since start. Never goes backwards.
  uint64_t (*microseconds)(void* user);

  // Retired instructions since start. A call always costs the same number. Null on a board that does not
  // count.
  uint64_t (*instructions)(void* user);

  // Rate at which budgets in microseconds become instructions; 0 if there is none.
  uint32_t instructions_per_microsecond;

  // What `instructions` counts in place of them, such as "cycles"; null if it does count instructions.
  const char* unit;

  // Who made the board, for the command `name`.
  const char* vendor;

  // Core of reds_config; may be null.
  const char* target;
};

// The model and the memory that it runs in. All of it outlives the interpreter.
struct Workspace {
  // For the command `profile`; names the data set for MLPerf Tiny runners.
  Text model_name;

  const void* model;
  size_t model_bytes;
  void* arena;
  size_t arena_bytes;

  // Holds the sample that the host sends; cleared by the interpreter.
  uint8_t* upload;
  size_t upload_bytes;
};

// One bench session.
class Interpreter {
 public:
  Interpreter(const Board& board, const Workspace& workspace);

  // Opens the model and greets the host. A model that cannot be opened is reported here and by every command
  // that needs it. Call once, before `feed`.
  void boot();

  // Takes one byte from the host; runs the command if the byte ends one. Every command is answered up to
  // `m-ready`.
  void feed(char byte);

 private:
  struct Command;
  static const Command kCommands[];

  void run(Text line);

  void name(Tokens arguments);
  void profile(Tokens arguments);
  void help(Tokens arguments);
  void timestamp(Tokens arguments);
  void begin_upload(Tokens arguments);
  void upload_data(Tokens arguments);
  void print_upload(Tokens arguments);
  void infer(Tokens arguments);
  void results(Tokens arguments);
  void list(Tokens arguments);
  void select(Tokens arguments);
  void budget(Tokens arguments);
  void continue_in(Tokens arguments);
  void cascade(Tokens arguments);
  void stats(Tokens arguments);
  void output(Tokens arguments);
  void profile_operations(Tokens arguments);

  void open_model();
  reds_config configuration() const;
  bool parse_limit(Text token, reds_budget* limits);
  void report_lap();
  void report_selection(uint32_t before);
  void report_subnetwork(uint32_t subnetwork);
  void report_results();
  void report_stat(const char* key, uint64_t value);
  void load_input();
  reds_status ask(uint32_t subnetwork, uint64_t* spent);
  bool report_unusable(reds_status status, uint32_t subnetwork);
  void run_inference();
  void measure_inference();

  uint64_t instructions() const;
  uint64_t instructions_between(uint64_t begin, uint64_t end) const;
  uint64_t select_instructions();
  uint64_t budget_instructions();

  Board board_;
  Workspace workspace_;
  Writer writer_;
  const char* failure_;  // why the model cannot be used; null if it can
  reds_context network_;

  char command_[protocol::kMaxCommandBytes];
  size_t command_bytes_;

  size_t upload_expected_;
  size_t upload_received_;

  uint64_t counter_cost_;  // instructions between two calls of the counter with nothing between them
  uint64_t open_instructions_;
  uint64_t last_instructions_;
  uint32_t inferences_;
  uint32_t switches_;
};

}  // namespace reds::firmware

#endif
