// Text without a C library: fields of a command line, and reply lines filled in from the formats of
// shared/protocol.toml.

#ifndef REDS_FIRMWARE_TEXT_H
#define REDS_FIRMWARE_TEXT_H

#include <stddef.h>
#include <stdint.h>

#include <initializer_list>
#include <type_traits>

namespace reds::firmware {

// Characters somewhere in memory; not zero-terminated.
struct Text {
  const char* data;
  size_t size;
};

// The characters of a zero-terminated string.
Text text_of(const char* string);

bool operator==(Text left, Text right);

// Splits a line at one or more spaces.
class Tokens {
 public:
  explicit Tokens(Text line) : rest_(line) {}

  // Takes the next token; an empty one when there is none.
  Text next();

 private:
  Text rest_;
};

// Reads an unsigned decimal number. A number beyond 32 bits becomes UINT32_MAX.
//
// Returns false if there is no digit or anything but digits.
bool parse_number(Text digits, uint32_t* number);

// Reads one hexadecimal digit of either case. Returns -1 if it is none.
int parse_hex_digit(char digit);

// A value for a `{}` of a reply's format.
class Field {
 public:
  template <typename Integer, typename = std::enable_if_t<std::is_integral_v<Integer>>>
  Field(Integer number)
      : text_{nullptr, 0},
        magnitude_(number < 0 ? 0 - static_cast<uint64_t>(number) : static_cast<uint64_t>(number)),
        negative_(number < 0) {}
  Field(Text text) : text_(text), magnitude_(0), negative_(false) {}
  Field(const char* string) : Field(text_of(string)) {}

 private:
  friend class Writer;
  Text text_;  // without data in a number
  uint64_t magnitude_;
  bool negative_;
};

// Writes reply lines to a sink.
class Writer {
 public:
  using Sink = void (*)(void* user, const char* text, size_t size);

  Writer(Sink sink, void* user) : sink_(sink), user_(user) {}

  // A whole line: the format with each `{}` replaced by the next field.
  void line(const char* format, std::initializer_list<Field> fields = {});

  // A line whose one `{}` is written piece by piece between `open` and `close`.
  void open(const char* format);
  void close(const char* format);

  // Pieces. A byte of a text that is not a printable ASCII character becomes `?`, so that nothing from the
  // wire can forge a reply line.
  void put(const Field& field);
  void put_hex(uint8_t byte);
  // Three decimals, rounded as C's printf does. Magnitudes from 2^53 / 1000 on, which no score has, become
  // `inf`.
  void put_decimal(float value);
  void end_line();

 private:
  const char* put_literal(const char* format);
  void put_text(Text text);
  void put_number(uint64_t number, int minimum_digits);

  Sink sink_;
  void* user_;
};

}  // namespace reds::firmware

#endif
