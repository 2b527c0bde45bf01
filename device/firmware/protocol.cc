#include "protocol.h"

#include <string.h>

namespace reds::firmware {

namespace {

using namespace reds::protocol;

constexpr uint32_t kDefaultIterations = 1;
constexpr uint32_t kDefaultWarmup = 10;
constexpr uint32_t kTimedCalls = 1024;
constexpr size_t kUploadLineBytes = 8;

constexpr char kInputTooLarge[] = "The model's input is larger than the upload buffer";

constexpr const char* kHelp[] = {
    "help               this text",
    "name               name of the device",
    "profile            version of the firmware and name of the model",
    "timestamp          time in microseconds",
    "db load N          expect an input of N bytes",
    "db HH..            take the next bytes of the input, in hexadecimal",
    "db print           show the input",
    "infer [N=1] [W=10] run N inferences after W that are not timed",
    "results            scores of the last inference",
    "reds list          subnetworks of the model",
    "reds select I      run subnetwork I from now on",
    "reds budget [macs=N] [arena=N] [us=N]",
    "                   run the most accurate subnetwork that fits from now on",
    "reds continue N I  run one inference that goes on in subnetwork I after N operations",
    "reds cascade I ..  run one inference and, until it is sure, ask subnetwork I, then the next",
    "reds stats         counters and costs",
    "reds output        output of the last inference, byte by byte",
    "reds profile       run one inference and count each operation's instructions",
};

constexpr char kNoBudgetInMicroseconds[] = "cannot limit us on this board";
constexpr char kBudgetArguments[] = "takes macs=N arena=N us=N";
constexpr char kContinueArguments[] = "takes a number of operations and the number of a subnetwork";
constexpr char kCascadeArguments[] = "takes numbers of subnetworks";
constexpr char kSelectArguments[] = "takes the number of a subnetwork";

// Whether a line begins with the words that a command's format has before its first `{}`. If so, `arguments`
// is what follows them.
bool matches(const char* format, Tokens line, Tokens* arguments) {
  Tokens words(text_of(format));
  for (Text word = words.next(); word.size > 0 && !(word == text_of("{}")); word = words.next()) {
    if (!(word == line.next())) return false;
  }
  *arguments = line;
  return true;
}

// Separates `key=value`. Returns false if there is no `=`.
bool split_limit(Text token, Text* key, Text* value) {
  for (size_t i = 0; i < token.size; ++i) {
    if (token.data[i] != '=') continue;
    *key = {token.data, i};
    *value = {token.data + i + 1, token.size - i - 1};
    return true;
  }
  return false;
}

uint32_t saturated_product(uint32_t left, uint32_t right) {
  const uint64_t product = static_cast<uint64_t>(left) * right;
  return product > UINT32_MAX ? UINT32_MAX : static_cast<uint32_t>(product);
}

// An accuracy as the wire has it: in 1/10000, -1 if it was not measured. The comparison is false for a NaN
// too.
int32_t accuracy_on_wire(float accuracy) {
  if (!(accuracy >= 0.0F)) return -1;
  return accuracy > 1.0F ? 10000 : static_cast<int32_t>(accuracy * 10000.0F + 0.5F);
}

// One output element that is not real.
int32_t integer(const reds_tensor& tensor, size_t index) {
  if (tensor.type == REDS_INT16) return static_cast<const int16_t*>(tensor.data)[index];
  if (tensor.type == REDS_UINT8) return static_cast<const uint8_t*>(tensor.data)[index];
  return static_cast<const int8_t*>(tensor.data)[index];
}

// Value of one output element.
float dequantized(const reds_tensor& tensor, size_t index) {
  if (tensor.type == REDS_FLOAT32) return static_cast<const float*>(tensor.data)[index];
  return tensor.scale * static_cast<float>(integer(tensor, index) - tensor.zero_point);
}

size_t element_count(const reds_tensor& tensor) {
  if (tensor.type == REDS_FLOAT32) return tensor.bytes / sizeof(float);
  return tensor.type == REDS_INT16 ? tensor.bytes / sizeof(int16_t) : tensor.bytes;
}

// The limits that exactly the subnetwork with the fewest multiply-accumulates keeps: a budget that is looked
// up long.
reds_budget smallest_budget(const reds_context* network) {
  reds_budget smallest = {UINT32_MAX, 0, 0};
  for (uint32_t i = 0; i < reds_subnetwork_count(network); ++i) {
    reds_subnetwork subnetwork = {};
    if (reds_describe(network, i, &subnetwork) != REDS_OK || subnetwork.macs >= smallest.macs) continue;
    smallest = {subnetwork.macs, subnetwork.arena_bytes, 0};
  }
  return smallest;
}

}  // namespace

struct Interpreter::Command {
  const char* format;
  void (Interpreter::*run)(Tokens arguments);
  bool needs_model;
};

// The first match counts, so `db` with data comes after the other `db` commands.
const Interpreter::Command Interpreter::kCommands[] = {
    {kCommandName, &Interpreter::name, false},
    {kCommandProfile, &Interpreter::profile, false},
    {kCommandHelp, &Interpreter::help, false},
    {kCommandTimestamp, &Interpreter::timestamp, false},
    {kCommandUpload, &Interpreter::begin_upload, false},
    {kCommandUploadPrint, &Interpreter::print_upload, false},
    {kCommandUploadData, &Interpreter::upload_data, false},
    {kCommandInfer, &Interpreter::infer, true},
    {kCommandResults, &Interpreter::results, true},
    {kCommandRedsList, &Interpreter::list, true},
    {kCommandRedsSelect, &Interpreter::select, true},
    {kCommandRedsBudget, &Interpreter::budget, true},
    {kCommandRedsContinue, &Interpreter::continue_in, true},
    {kCommandRedsCascade, &Interpreter::cascade, true},
    {kCommandRedsStats, &Interpreter::stats, true},
    {kCommandRedsOutput, &Interpreter::output, true},
    {kCommandRedsProfile, &Interpreter::profile_operations, true},
};

Interpreter::Interpreter(const Board& board, const Workspace& workspace)
    : board_(board),
      workspace_(workspace),
      writer_(board.write, board.user),
      failure_(nullptr),
      network_{},
      command_{},
      command_bytes_(0),
      upload_expected_(0),
      upload_received_(0),
      counter_cost_(0),
      open_instructions_(0),
      last_instructions_(0),
      inferences_(0),
      switches_(0) {
  memset(workspace_.upload, 0, workspace_.upload_bytes);
}

void Interpreter::boot() {
  writer_.line(kReplyTimestampMode);
  report_lap();
  open_model();
  if (failure_ != nullptr) writer_.line(kErrorModel, {failure_});
  writer_.line(kReplyInitDone);
  writer_.line(kReplyReady);
}

void Interpreter::feed(char byte) {
  if (byte != kTerminator[0]) {
    // What goes beyond the longest command is dropped, as MLPerf Tiny does.
    if (command_bytes_ < sizeof command_) command_[command_bytes_++] = byte;
    return;
  }
  const Text line = {command_, command_bytes_};
  command_bytes_ = 0;
  run(line);
  writer_.line(kReplyReady);
}

void Interpreter::run(Text line) {
  for (const Command& command : kCommands) {
    Tokens arguments(line);
    if (!matches(command.format, Tokens(line), &arguments)) continue;
    if (command.needs_model && failure_ != nullptr) {
      writer_.line(kErrorModel, {failure_});
    } else {
      (this->*command.run)(arguments);
    }
    return;
  }
  writer_.line(kErrorUnknownCommand, {Tokens(line).next()});
}

// ---- Commands of MLPerf Tiny ----

void Interpreter::name(Tokens) { writer_.line(kReplyName, {board_.vendor}); }

void Interpreter::profile(Tokens) {
  writer_.line(kReplyProfile);
  writer_.line(kReplyModel, {workspace_.model_name});
}

void Interpreter::help(Tokens) {
  for (const char* line : kHelp) writer_.line(line);
}

void Interpreter::timestamp(Tokens) { report_lap(); }

void Interpreter::begin_upload(Tokens arguments) {
  const Text token = arguments.next();
  if (token.size == 0) {
    writer_.line(kErrorUploadSizeMissing);
    return;
  }
  upload_expected_ = 0;
  upload_received_ = 0;
  uint32_t bytes = 0;
  if (!parse_number(token, &bytes) || bytes == 0) {
    writer_.line(kErrorUploadSizeZero);
  } else if (bytes > workspace_.upload_bytes) {
    writer_.line(kErrorUploadTooLarge, {workspace_.upload_bytes});
  } else {
    memset(workspace_.upload, 0, workspace_.upload_bytes);
    upload_expected_ = bytes;
    writer_.line(kReplyExpecting, {bytes});
  }
}

void Interpreter::upload_data(Tokens arguments) {
  const Text digits = arguments.next();
  if (digits.size == 0) {
    writer_.line(kErrorUploadSubcommand);
    return;
  }
  if (digits.size % 2 != 0) {
    writer_.line(kErrorUploadOddDigits);
    return;
  }
  if (upload_received_ == upload_expected_) {
    writer_.line(kErrorUploadUnexpected);
    return;
  }
  for (size_t i = 0; i < digits.size; i += 2) {
    const int high = parse_hex_digit(digits.data[i]);
    const int low = parse_hex_digit(digits.data[i + 1]);
    if (high < 0 || low < 0) {
      writer_.line(kErrorUploadBadDigit, {Text{digits.data + i, 2}});
      return;
    }
    workspace_.upload[upload_received_++] = static_cast<uint8_t>(high * 16 + low);
    if (upload_received_ == upload_expected_) {
      writer_.line(kReplyLoadDone);
      return;
    }
  }
}

void Interpreter::print_upload(Tokens) {
  for (size_t i = 0; i < upload_expected_; ++i) {
    if (i % kUploadLineBytes == 0) {
      writer_.open(kReplyUploadLine);
    } else {
      writer_.put("-");
    }
    writer_.put_hex(workspace_.upload[i]);
    const bool last = i + 1 == upload_expected_;
    if (last || (i + 1) % kUploadLineBytes == 0) writer_.close(kReplyUploadLine);
  }
  // MLPerf Tiny ends a last line that is not full twice.
  if (upload_expected_ % kUploadLineBytes != 0) writer_.end_line();
}

void Interpreter::infer(Tokens arguments) {
  uint32_t iterations = kDefaultIterations;
  uint32_t warmup = kDefaultWarmup;
  const Text first = arguments.next();
  if (first.size > 0 && (!parse_number(first, &iterations) || iterations == 0)) {
    writer_.line(kErrorInferIterations);
    return;
  }
  const Text second = arguments.next();
  if (second.size > 0 && !parse_number(second, &warmup)) {
    writer_.line(kErrorInferWarmup);
    return;
  }
  writer_.line(kReplyWarmupStart, {warmup});
  for (uint32_t i = 0; i < warmup; ++i) run_inference();
  writer_.line(kReplyWarmupDone);
  writer_.line(kReplyInferStart, {iterations});
  const uint64_t begin = board_.microseconds(board_.user);
  for (uint32_t i = 1; i < iterations; ++i) run_inference();
  measure_inference();
  const uint64_t end = board_.microseconds(board_.user);
  writer_.line(kReplyLap, {begin});
  writer_.line(kReplyLap, {end});
  writer_.line(kReplyInferDone);
  report_results();
}

void Interpreter::results(Tokens) { report_results(); }

// ---- Commands of REDS ----

void Interpreter::list(Tokens) {
  for (uint32_t i = 0; i < reds_subnetwork_count(&network_); ++i) report_subnetwork(i);
}

void Interpreter::select(Tokens arguments) {
  const Text token = arguments.next();
  uint32_t subnetwork = 0;
  if (!parse_number(token, &subnetwork)) {
    writer_.line(kErrorRedsArgument, {"select", kSelectArguments});
    return;
  }
  const uint32_t before = reds_selected(&network_);
  switch (reds_select(&network_, subnetwork)) {
    case REDS_OK:
      report_selection(before);
      return;
    case REDS_ERROR_ARENA:
      writer_.line(kErrorRedsArena, {subnetwork});
      return;
    default:
      writer_.line(kErrorRedsSelect, {token});
  }
}

void Interpreter::budget(Tokens arguments) {
  reds_budget limits = {0, 0, 0};
  for (Text token = arguments.next(); token.size > 0; token = arguments.next()) {
    if (!parse_limit(token, &limits)) return;
  }
  const uint32_t before = reds_selected(&network_);
  if (reds_set_budget(&network_, &limits) == REDS_OK) {
    report_selection(before);
  } else {
    writer_.line(kErrorRedsBudget);
  }
}

// Where the inference cannot go on in the other subnetwork, it goes on as it was.
void Interpreter::continue_in(Tokens arguments) {
  uint32_t operations = 0;
  uint32_t subnetwork = 0;
  if (!parse_number(arguments.next(), &operations) || !parse_number(arguments.next(), &subnetwork)) {
    writer_.line(kErrorRedsArgument, {"continue", kContinueArguments});
    return;
  }
  load_input();
  bool running = true;
  for (uint32_t i = 0; i < operations && running; ++i) running = reds_step(&network_) == REDS_OK;
  const uint64_t begin = instructions();
  const reds_status status = reds_continue_in(&network_, subnetwork);
  const uint64_t end = instructions();
  running = running || status == REDS_OK;
  while (running) running = reds_step(&network_) == REDS_OK;
  ++inferences_;
  if (status == REDS_OK) {
    writer_.line(kReplyRedsContinued, {subnetwork, instructions_between(begin, end)});
  } else if (!report_unusable(status, subnetwork)) {
    writer_.line(kErrorRedsContinue, {subnetwork, operations});
  }
}

void Interpreter::cascade(Tokens arguments) {
  const uint32_t selected = reds_selected(&network_);
  uint32_t answering = selected;
  load_input();
  const uint64_t begin = instructions();
  reds_invoke(&network_);
  uint64_t spent = instructions_between(begin, instructions());
  ++inferences_;
  for (Text word = arguments.next(); word.size > 0 && !reds_is_confident(&network_);
       word = arguments.next()) {
    if (!parse_number(word, &answering)) {
      writer_.line(kErrorRedsArgument, {"cascade", kCascadeArguments});
      return;
    }
    const reds_status status = ask(answering, &spent);
    reds_select(&network_, selected);
    if (status != REDS_OK) {
      report_unusable(status, answering);
      return;
    }
  }
  writer_.line(kReplyRedsCascaded, {answering, spent});
}

// Lets the inference go on in a subnetwork or, where it cannot, runs that from the input; leaves it selected then.
reds_status Interpreter::ask(uint32_t subnetwork, uint64_t* spent) {
  uint64_t begin = instructions();
  reds_status status = reds_continue_in(&network_, subnetwork);
  if (status == REDS_ERROR_CONTINUE) {
    status = reds_select(&network_, subnetwork);
    *spent += instructions_between(begin, instructions());
    load_input();
    begin = instructions();
  }
  while (status == REDS_OK && reds_step(&network_) == REDS_OK) {
  }
  *spent += instructions_between(begin, instructions());
  return status;
}

// Says what is wrong with a subnetwork whatever runs. Returns false if nothing is.
bool Interpreter::report_unusable(reds_status status, uint32_t subnetwork) {
  if (status == REDS_ERROR_ARENA) {
    writer_.line(kErrorRedsArena, {subnetwork});
    return true;
  }
  if (status == REDS_ERROR_ARGUMENT) {
    writer_.line(kErrorRedsSelect, {subnetwork});
    return true;
  }
  return false;
}

void Interpreter::stats(Tokens) {
  reds_subnetwork selected = {};
  reds_describe(&network_, reds_selected(&network_), &selected);
  writer_.open(kReplyRedsStats);
  writer_.put("selected=");
  writer_.put(reds_selected(&network_));
  report_stat("subnetworks", reds_subnetwork_count(&network_));
  report_stat("inferences", inferences_);
  report_stat("switches", switches_);
  report_stat("arena_bytes", selected.arena_bytes);
  report_stat("input_bytes", reds_input(&network_).bytes);
  report_stat("output_bytes", reds_output(&network_).bytes);
  report_stat("last_instructions", last_instructions_);
  report_stat("select_instructions", select_instructions());
  report_stat("budget_instructions", budget_instructions());
  report_stat("open_instructions", open_instructions_);
  writer_.put(",unit=");
  writer_.put(board_.unit == nullptr ? "instructions" : board_.unit);
  writer_.close(kReplyRedsStats);
}

void Interpreter::output(Tokens) {
  const reds_tensor tensor = reds_output(&network_);
  writer_.open(kReplyRedsOutput);
  for (size_t i = 0; i < tensor.bytes; ++i) writer_.put_hex(static_cast<const uint8_t*>(tensor.data)[i]);
  writer_.close(kReplyRedsOutput);
}

// Runs on a second context over the same model and arena, so that other inferences do not pay for the
// observer.
void Interpreter::profile_operations(Tokens) {
  struct Profile {
    Interpreter* interpreter;
    uint64_t begin;

    static void observe(void* user, uint32_t step, uint32_t layer, uint32_t operation, int finished) {
      const auto profile = static_cast<Profile*>(user);
      const Interpreter& interpreter = *profile->interpreter;
      if (finished) {
        const uint64_t end = interpreter.instructions();
        const uint64_t cost = interpreter.instructions_between(profile->begin, end);
        profile->interpreter->writer_.line(kReplyRedsOperation, {step, layer, operation, cost});
      } else {
        profile->begin = interpreter.instructions();
      }
    }
  };
  Profile profile = {this, 0};
  reds_config config = configuration();
  config.observer = Profile::observe;
  config.user = &profile;
  config.flags = REDS_TRUST_FLASH;  // the checksum was verified at boot
  reds_context observed;
  const reds_status status = reds_open(&observed, &config);
  if (status != REDS_OK) {
    writer_.line(kErrorModel, {reds_status_text(status)});
    return;
  }
  reds_select(&observed, reds_selected(&network_));
  load_input();
  reds_invoke(&observed);
}

// ---- Parts of commands ----

reds_config Interpreter::configuration() const {
  reds_config config = {};
  config.model = workspace_.model;
  config.model_bytes = workspace_.model_bytes;
  config.arena = workspace_.arena;
  config.arena_bytes = workspace_.arena_bytes;
  config.target = board_.target;
  return config;
}

void Interpreter::open_model() {
  const reds_config config = configuration();
  const uint64_t first = instructions();
  const uint64_t begin = instructions();
  const reds_status status = reds_open(&network_, &config);
  const uint64_t end = instructions();
  counter_cost_ = begin - first;
  open_instructions_ = instructions_between(begin, end);
  if (status != REDS_OK) {
    failure_ = reds_status_text(status);
  } else if (reds_input(&network_).bytes > workspace_.upload_bytes) {
    failure_ = kInputTooLarge;
  }
}

// Reads one `key=value` of a budget; reports the error if it is none.
bool Interpreter::parse_limit(Text token, reds_budget* limits) {
  Text key = {nullptr, 0};
  Text value = {nullptr, 0};
  uint32_t limit = 0;
  const bool well_formed = split_limit(token, &key, &value) && parse_number(value, &limit);
  if (well_formed && key == text_of("macs")) {
    limits->macs = limit;
  } else if (well_formed && key == text_of("arena")) {
    limits->arena_bytes = limit;
  } else if (well_formed && key == text_of("us")) {
    if (board_.instructions_per_microsecond == 0) {
      writer_.line(kErrorRedsArgument, {"budget", kNoBudgetInMicroseconds});
      return false;
    }
    limits->instructions = saturated_product(limit, board_.instructions_per_microsecond);
  } else {
    writer_.line(kErrorRedsArgument, {"budget", kBudgetArguments});
    return false;
  }
  return true;
}

void Interpreter::report_lap() { writer_.line(kReplyLap, {board_.microseconds(board_.user)}); }

void Interpreter::report_selection(uint32_t before) {
  const uint32_t selected = reds_selected(&network_);
  if (selected != before) ++switches_;
  writer_.line(kReplyRedsSelected, {selected});
}

void Interpreter::report_subnetwork(uint32_t subnetwork) {
  reds_subnetwork description = {};
  if (reds_describe(&network_, subnetwork, &description) != REDS_OK) return;
  writer_.line(kReplyRedsSubnetwork,
               {subnetwork, description.name, description.exit, description.macs, description.arena_bytes,
                description.instructions, accuracy_on_wire(description.accuracy)});
}

void Interpreter::report_results() {
  const reds_tensor tensor = reds_output(&network_);
  const size_t count = element_count(tensor);
  writer_.open(kReplyResults);
  for (size_t i = 0; i < count; ++i) {
    if (i > 0) writer_.put(",");
    writer_.put_decimal(dequantized(tensor, i));
  }
  writer_.close(kReplyResults);
}

void Interpreter::report_stat(const char* key, uint64_t value) {
  writer_.put(",");
  writer_.put(key);
  writer_.put("=");
  writer_.put(value);
}

void Interpreter::load_input() {
  const reds_tensor input = reds_input(&network_);
  memcpy(input.data, workspace_.upload, input.bytes);
}

// The input is copied every time because an inference may overwrite it.
void Interpreter::run_inference() {
  load_input();
  reds_invoke(&network_);
  ++inferences_;
}

void Interpreter::measure_inference() {
  load_input();
  const uint64_t begin = instructions();
  reds_invoke(&network_);
  const uint64_t end = instructions();
  last_instructions_ = instructions_between(begin, end);
  ++inferences_;
}

// ---- Measuring ----

uint64_t Interpreter::instructions() const {
  return board_.instructions == nullptr ? 0 : board_.instructions(board_.user);
}

uint64_t Interpreter::instructions_between(uint64_t begin, uint64_t end) const {
  return end - begin - counter_cost_;
}

namespace {

// Instructions of `call` in a loop, less those of the empty loop; one call's share, rounded up.
template <typename Counter, typename Call>
uint64_t cost_of(Counter counter, Call call) {
  const uint64_t begin = counter();
  for (uint32_t i = 0; i < kTimedCalls; ++i) asm volatile("" ::: "memory");
  const uint64_t middle = counter();
  for (uint32_t i = 0; i < kTimedCalls; ++i) {
    call();
    asm volatile("" ::: "memory");
  }
  const uint64_t end = counter();
  const uint64_t empty = middle - begin;
  const uint64_t full = end - middle;
  return (full - empty + kTimedCalls - 1) / kTimedCalls;
}

}  // namespace

uint64_t Interpreter::select_instructions() {
  const uint32_t selected = reds_selected(&network_);
  return cost_of([this] { return instructions(); }, [this, selected] { reds_select(&network_, selected); });
}

uint64_t Interpreter::budget_instructions() {
  const uint32_t selected = reds_selected(&network_);
  const reds_budget budget = smallest_budget(&network_);
  const uint64_t cost =
      cost_of([this] { return instructions(); }, [this, &budget] { reds_set_budget(&network_, &budget); });
  reds_select(&network_, selected);
  return cost;
}

}  // namespace reds::firmware
