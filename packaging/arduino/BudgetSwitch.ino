// Switches between the subnetworks of one model: send a limit on multiply-accumulates, such as 9000, over the serial
// monitor. Between two lines the board classifies as fast as its budget lets it.

#include <reds.h>

#include "model.h"

constexpr size_t kArenaBytes = 2048;  // what `reds inspect` calls arena
constexpr unsigned long kReportMilliseconds = 1000;

alignas(REDS_ALIGNMENT) static uint8_t arena[kArenaBytes];
static reds_context network;

// Stands for a sensor: a ramp.
static void readSample(reds_tensor input) {
  int8_t* const values = static_cast<int8_t*>(input.data);
  for (size_t i = 0; i < input.bytes; ++i) values[i] = static_cast<int8_t>(static_cast<int>(i) * 2 - 64);
}

static size_t bestClass(reds_tensor output) {
  const int8_t* const scores = static_cast<const int8_t*>(output.data);
  size_t best = 0;
  for (size_t i = 1; i < output.bytes; ++i) {
    if (scores[i] > scores[best]) best = i;
  }
  return best;
}

static void setBudget(uint32_t macs) {
  reds_budget budget = {};
  budget.macs = macs;
  const reds_status status = reds_set_budget(&network, &budget);
  if (status != REDS_OK) Serial.println(reds_status_text(status));
}

static void report(unsigned long inferences) {
  reds_subnetwork chosen;
  reds_describe(&network, reds_selected(&network), &chosen);
  Serial.print(chosen.name);
  Serial.print(" of the network: ");
  Serial.print(inferences);
  Serial.print(" inferences a second, class ");
  Serial.println(static_cast<unsigned>(bestClass(reds_output(&network))));
}

void setup() {
  Serial.begin(115200);
  while (!Serial) {
  }
  reds_config config = {};
  config.model = reds_model;
  config.model_bytes = reds_model_size;
  config.arena = arena;
  config.arena_bytes = sizeof arena;
  const reds_status status = reds_open(&network, &config);
  while (status != REDS_OK) {
    Serial.println(reds_status_text(status));
    delay(kReportMilliseconds);
  }
}

void loop() {
  if (Serial.available() > 0) setBudget(static_cast<uint32_t>(Serial.parseInt()));
  unsigned long inferences = 0;
  for (const unsigned long begin = millis(); millis() - begin < kReportMilliseconds; ++inferences) {
    readSample(reds_input(&network));
    reds_invoke(&network);
  }
  report(inferences);
}
