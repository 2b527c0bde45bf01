#include "text.h"

namespace reds::firmware {

namespace {

constexpr char kHexDigits[] = "0123456789abcdef";
constexpr int kMaximumDigits = 20;  // of a 64-bit number

bool is_placeholder(const char* format) { return format[0] == '{' && format[1] == '}'; }

char printable(char byte) { return byte >= ' ' && byte <= '~' ? byte : '?'; }

// Rounds to the nearest integer, halves to the even one. `value` lies in [0, 2^53].
uint64_t round_half_even(double value) {
  const auto whole = static_cast<uint64_t>(value);
  const double fraction = value - static_cast<double>(whole);
  const bool up = fraction > 0.5 || (fraction == 0.5 && whole % 2 == 1);
  return up ? whole + 1 : whole;
}

}  // namespace

Text text_of(const char* string) {
  size_t size = 0;
  while (string[size] != '\0') ++size;
  return {string, size};
}

bool operator==(Text left, Text right) {
  if (left.size != right.size) return false;
  for (size_t i = 0; i < left.size; ++i) {
    if (left.data[i] != right.data[i]) return false;
  }
  return true;
}

Text Tokens::next() {
  while (rest_.size > 0 && rest_.data[0] == ' ') rest_ = {rest_.data + 1, rest_.size - 1};
  size_t size = 0;
  while (size < rest_.size && rest_.data[size] != ' ') ++size;
  const Text token = {rest_.data, size};
  rest_ = {rest_.data + size, rest_.size - size};
  return token;
}

bool parse_number(Text digits, uint32_t* number) {
  uint64_t value = 0;
  for (size_t i = 0; i < digits.size; ++i) {
    const char digit = digits.data[i];
    if (digit < '0' || digit > '9') return false;
    value = value * 10 + static_cast<uint64_t>(digit - '0');
    if (value > UINT32_MAX) value = UINT32_MAX;
  }
  *number = static_cast<uint32_t>(value);
  return digits.size > 0;
}

int parse_hex_digit(char digit) {
  if (digit >= '0' && digit <= '9') return digit - '0';
  if (digit >= 'a' && digit <= 'f') return digit - 'a' + 10;
  if (digit >= 'A' && digit <= 'F') return digit - 'A' + 10;
  return -1;
}

void Writer::line(const char* format, std::initializer_list<Field> fields) {
  for (const Field& field : fields) {
    format = put_literal(format);
    put(field);
  }
  put_literal(format);
  end_line();
}

void Writer::open(const char* format) { put_literal(format); }

void Writer::close(const char* format) {
  while (!is_placeholder(format)) ++format;
  put_literal(format + 2);
  end_line();
}

void Writer::put(const Field& field) {
  if (field.text_.data != nullptr) {
    put_text(field.text_);
    return;
  }
  if (field.negative_) sink_(user_, "-", 1);
  put_number(field.magnitude_, 1);
}

void Writer::put_hex(uint8_t byte) {
  const char digits[] = {kHexDigits[byte >> 4], kHexDigits[byte & 15]};
  sink_(user_, digits, sizeof digits);
}

void Writer::put_decimal(float value) {
  if (__builtin_isnan(value)) {
    put("nan");
    return;
  }
  if (__builtin_signbit(value)) sink_(user_, "-", 1);
  // Exact: 24 bits of a float times 10 bits of 1000 fit the 53 bits of a double.
  const double thousandths = 1000.0 * static_cast<double>(value < 0 ? -value : value);
  if (thousandths >= 9007199254740992.0) {
    put("inf");
    return;
  }
  const uint64_t rounded = round_half_even(thousandths);
  put_number(rounded / 1000, 1);
  sink_(user_, ".", 1);
  put_number(rounded % 1000, 3);
}

void Writer::end_line() { sink_(user_, "\r\n", 2); }

// Writes the format up to its next `{}` or its end; returns what follows.
const char* Writer::put_literal(const char* format) {
  size_t size = 0;
  while (format[size] != '\0' && !is_placeholder(format + size)) ++size;
  sink_(user_, format, size);
  return format[size] == '\0' ? format + size : format + size + 2;
}

void Writer::put_text(Text text) {
  for (size_t i = 0; i < text.size; ++i) {
    const char byte = printable(text.data[i]);
    sink_(user_, &byte, 1);
  }
}

void Writer::put_number(uint64_t number, int minimum_digits) {
  char digits[kMaximumDigits];
  int count = 0;
  do {
    digits[kMaximumDigits - ++count] = static_cast<char>('0' + number % 10);
    number /= 10;
  } while (number > 0 || count < minimum_digits);
  sink_(user_, digits + kMaximumDigits - count, static_cast<size_t>(count));
}

}  // namespace reds::firmware
