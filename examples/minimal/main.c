// The smallest firmware that links libreds: gives a network one budget after the other and prints its scores.

#include <stddef.h>
#include <stdint.h>

#include "board.h"
#include "model.h"
#include "reds/reds.h"

// What `reds inspect` calls arena: as much as the largest subnetwork to run needs.
#define ARENA_BYTES 2048

static _Alignas(REDS_ALIGNMENT) uint8_t arena[ARENA_BYTES];
static reds_context network;

static void print_number(int32_t number) {
  char text[12];  // a sign, ten digits and the zero at the end
  char* begin = text + sizeof text;
  uint32_t rest = number < 0 ? 0U - (uint32_t)number : (uint32_t)number;
  *--begin = '\0';
  do {
    *--begin = (char)('0' + rest % 10);
    rest /= 10;
  } while (rest != 0);
  if (number < 0) *--begin = '-';
  print(begin);
}

// Stands for a sensor: a ramp.
static void read_sample(reds_tensor input) {
  int8_t* const values = input.data;
  for (size_t i = 0; i < input.bytes; ++i) values[i] = (int8_t)((int)i * 2 - 64);
}

static void print_scores(reds_tensor output) {
  const int8_t* const scores = output.data;
  for (size_t i = 0; i < output.bytes; ++i) {
    print(" ");
    print_number(scores[i]);
  }
  print("\n");
}

static reds_status run_within(uint32_t macs) {
  const reds_budget budget = {.macs = macs};
  const reds_status status = reds_set_budget(&network, &budget);
  if (status != REDS_OK) return status;

  reds_subnetwork chosen;
  reds_describe(&network, reds_selected(&network), &chosen);
  print(chosen.name);
  print(" of the network, ");
  print_number((int32_t)chosen.macs);
  print(" multiply-accumulates:");

  read_sample(reds_input(&network));
  reds_invoke(&network);
  print_scores(reds_output(&network));
  return REDS_OK;
}

static reds_status run(void) {
  const reds_config config = {
      .model = reds_model,
      .model_bytes = reds_model_size,
      .arena = arena,
      .arena_bytes = sizeof arena,
  };
  reds_status status = reds_open(&network, &config);
  for (uint32_t macs = 18000; status == REDS_OK && macs >= 4500; macs /= 2) status = run_within(macs);
  return status;
}

int main(void) {
  const reds_status status = run();
  print(reds_status_text(status));
  print("\n");
  return status != REDS_OK;
}
