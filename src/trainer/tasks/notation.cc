// Statements and their scratch, digit by digit.
#include "trainer/tasks/notation.h"

#include <algorithm>
#include <cstdlib>

#include "base/check.h"

namespace hadal {
namespace {

// Two operands of at most two digits are added at once: a carry then looks ahead by one digit only.
constexpr std::int64_t kDirectBelow = 100;
// Remainders are looked up digit by digit for divisors below this; a table for larger ones is too long to learn.
constexpr std::int64_t kTableDivisors = 20;

std::string text_of(std::int64_t n) {
  return std::to_string(n);
}

std::string two_digits(std::int64_t n) {
  return (n < 10 ? "0" : "") + text_of(n);
}

// "a+b" or "a-b", without a double sign.
std::string sum_head(std::int64_t a, char op, std::int64_t b) {
  if (b < 0) return text_of(a) + (op == '+' ? "-" : "+") + text_of(-b);
  return text_of(a) + op + text_of(b);
}

std::int64_t without_zeros(std::int64_t n) {
  while (n != 0 && n % 10 == 0) n /= 10;
  return n;
}

Statement sum(std::int64_t a, char op, std::int64_t b) {
  const std::int64_t value = op == '+' ? a + b : a - b;
  const std::string head = sum_head(a, op, b);
  if (std::abs(a) < kDirectBelow && std::abs(b) < kDirectBelow) return {head + "=" + text_of(value), value, 0};
  // As many columns as the longer operand has, so that none need be known to be empty before it is written.
  std::string columns = text_of(std::abs(value));
  const std::size_t width = text_of(std::max(std::abs(a), std::abs(b))).size();
  if (columns.size() < width) columns.insert(0, width - columns.size(), '0');
  std::reverse(columns.begin(), columns.end());
  return {head + ":" + (value < 0 ? "-" : "") + columns + "=" + text_of(value), value, 0};
}

// |a| times one digit (and zeros): "63,33,48".
std::string product_chunks(std::int64_t many, std::int64_t digit) {
  std::string chunks;
  std::int64_t carry = 0;
  for (; many != 0; many /= 10) {
    const std::int64_t chunk = many % 10 * digit + carry;
    if (!chunks.empty()) chunks += ',';
    chunks += two_digits(chunk);
    carry = chunk / 10;
  }
  return chunks;
}

// A positive product whose multiplier has several digits: a row a digit, and running sums.
std::string product_rows(std::int64_t a, std::int64_t b) {
  std::string rows;
  std::int64_t total = 0;
  std::int64_t unit = 1;
  while (unit <= b / 10) unit *= 10;
  for (bool first = true; unit > 0; unit /= 10) {
    const std::int64_t part = b / unit % 10 * unit;
    if (part == 0) continue;
    const Statement row = multiply(a, part);
    rows += (first ? "" : " ") + row.text;
    if (!first) {
      const Statement running = add(total, row.value);
      rows += " " + running.text;
    }
    total += row.value;
    first = false;
  }
  return rows;
}

int nonzero_digits(std::int64_t n) {
  const std::string digits = text_of(n);
  return static_cast<int>(digits.size()) - static_cast<int>(std::count(digits.begin(), digits.end(), '0'));
}

// Long division by a divisor without a table: "92>1 92-77=15 154>2 77*2=154".
std::string guessed_quotient(std::int64_t a, std::int64_t b) {
  const std::string digits = text_of(a);
  std::string steps;
  std::int64_t partial = 0;
  bool begun = false;
  for (std::size_t i = 0; i < digits.size(); ++i) {
    partial = partial * 10 + (digits[i] - '0');
    if (!begun && partial < b && i + 1 < digits.size()) continue;
    const std::int64_t guess = partial / b;
    if (begun) steps += ' ';
    begun = true;
    steps += text_of(partial) + ">" + text_of(guess);
    if (guess == 0) continue;
    const std::int64_t taken = b * guess;
    if (guess > 1) steps += " " + multiply(b, guess).text;
    const bool last = i + 1 == digits.size();
    if (!(last && partial == taken)) steps += " " + subtract(partial, taken).text;
    partial -= taken;
  }
  return steps;
}

}  // namespace

Statement add(std::int64_t a, std::int64_t b) {
  return sum(a, '+', b);
}
Statement subtract(std::int64_t a, std::int64_t b) {
  return sum(a, '-', b);
}

Statement multiply(std::int64_t a, std::int64_t b) {
  const std::int64_t value = a * b;
  const std::string head = text_of(a) + "*" + text_of(b);
  const Statement direct{head + "=" + text_of(value), value, 0};
  if (value == 0) return direct;
  const std::int64_t core_a = without_zeros(std::abs(a));
  const std::int64_t core_b = without_zeros(std::abs(b));
  const auto [few, many] = std::minmax(core_a, core_b);
  if (few == 1 || many < 10 || (few < 10 && many < kDirectBelow)) return direct;
  if (few < 10) return {head + ":" + product_chunks(many, few) + "=" + text_of(value), value, 0};
  const bool by_b = nonzero_digits(std::abs(b)) <= nonzero_digits(std::abs(a));
  const std::string rows = by_b ? product_rows(std::abs(a), std::abs(b)) : product_rows(std::abs(b), std::abs(a));
  return {head + ":" + rows + (value < 0 || a < 0 ? " =" + text_of(value) : ""), value, 0};
}

std::string remainders(std::int64_t a, std::int64_t b) {
  HADAL_CHECK(a >= 0 && b > 1 && b < kTableDivisors);
  std::string chain;
  std::int64_t rest = 0;
  for (const char digit : text_of(a)) {
    rest = (rest * 10 + (digit - '0')) % b;
    if (b < 10) {
      chain += text_of(rest);
    } else {
      chain += (chain.empty() ? "" : ",") + two_digits(rest);
    }
  }
  return chain;
}

Statement divide(std::int64_t a, std::int64_t b) {
  HADAL_CHECK(b != 0);
  const std::int64_t size_a = std::abs(a);
  const std::int64_t size_b = std::abs(b);
  const std::int64_t quotient = a / b;
  const std::int64_t rest = size_a % size_b;
  HADAL_CHECK(rest == 0 || (a >= 0 && b > 0));
  const std::string head = text_of(a) + "/" + text_of(b);
  const std::string tail = "=" + text_of(quotient) + (rest != 0 ? "r" + text_of(rest) : "");
  std::int64_t core_a = size_a;
  std::int64_t core_b = size_b;
  while (core_a != 0 && core_a % 10 == 0 && core_b % 10 == 0) {
    core_a /= 10;
    core_b /= 10;
  }
  const bool table = core_b < 10 && core_a < 10 * core_b;
  if (core_b == 1 || a == 0 || size_a < size_b || table) return {head + tail, quotient, rest};
  if (size_b < kTableDivisors) return {head + ":" + remainders(size_a, size_b) + tail, quotient, rest};
  return {head + ":" + guessed_quotient(size_a, size_b) + " " + tail, quotient, rest};
}

Statement calculate(std::int64_t a, char op, std::int64_t b) {
  switch (op) {
    case '+':
      return add(a, b);
    case '-':
      return subtract(a, b);
    case '*':
      return multiply(a, b);
    default:
      HADAL_CHECK(op == '/');
      return divide(a, b);
  }
}

}  // namespace hadal
