// The rules behind judge(), one function each, and the number readers they share.
//
// Internal to trainer/tasks: callers use judge.h. `given` comes without white space at
// its ends and is not empty. Threads: pure functions.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "base/result.h"

namespace hadal::judging {

constexpr bool is_space(char c) {
  return c == ' ' || (c >= '\t' && c <= '\r');
}
constexpr bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

std::string_view trim(std::string_view text);
std::string ascii_lower(std::string_view text);
std::vector<std::string_view> split(std::string_view text, std::string_view separator);

// `[+-]? digits` with white space around it. An integer that fits no int64 is still an integer, but equals no
// answer: `fits` is false then and `value` 0.
struct Integer {
  std::int64_t value = 0;
  bool fits = true;
};
std::optional<Integer> read_integer(std::string_view text);

// A decimal number as sign, significant digits (no zero at either end) and a power of ten: equal values have equal
// fields, however long the digits and the exponent are written. Zero has no digits.
struct Decimal {
  bool negative = false;
  std::string digits;
  std::int64_t exponent = 0;  // the value is digits * 10^exponent; beyond +-4e18 it is cut to that
  bool operator==(const Decimal&) const = default;
};
// `[+-]? (digits [. digits?] | . digits) ([eE] [+-]? digits)?`, the whole text.
std::optional<Decimal> read_decimal(std::string_view text);

Result<bool> judge_number(std::string_view given, std::string_view answer);
bool judge_caseless(std::string_view given, std::string_view answer);
Result<bool> judge_primes(std::string_view given, std::string_view answer);
Result<bool> judge_fraction(std::string_view given, const nlohmann::json& meta);
Result<bool> judge_first_number(std::string_view given, std::string_view answer);
Result<bool> judge_sorted_list(std::string_view given, std::string_view answer, const nlohmann::json& meta);
Result<bool> judge_countdown(std::string_view given, const nlohmann::json& meta);
Result<bool> judge_duration(std::string_view given, std::string_view answer);
bool judge_roles(std::string_view given, std::string_view answer);

// An item that its own rule cannot read: "countdown: meta.target: expected an integer, found ...".
Error broken_item(std::string_view task, std::string_view field, std::string_view expected);

}  // namespace hadal::judging
