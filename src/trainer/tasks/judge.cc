// judge(): which rule a task has, and the rules that read plain numbers and words.
#include "trainer/tasks/judge.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <iterator>
#include <utility>

#include "trainer/tasks/judge_rules.h"

namespace hadal {

std::optional<JudgeRule> judge_rule(std::string_view task) {
  static constexpr std::array<std::pair<std::string_view, JudgeRule>, 21> kRules = {{
      {"chain_sum", JudgeRule::number},
      {"products", JudgeRule::number},
      {"word_problems", JudgeRule::number},
      {"basic_arithmetic", JudgeRule::exact},
      {"gcd", JudgeRule::exact},
      {"lcm", JudgeRule::exact},
      {"simple_equations", JudgeRule::exact},
      {"leg_counting", JudgeRule::exact},
      {"number_sequence", JudgeRule::exact},
      {"letter_counting", JudgeRule::exact},
      {"base_conversion", JudgeRule::exact},
      {"simple_geometry", JudgeRule::exact},
      {"spell_backward", JudgeRule::caseless},
      {"family_relationships", JudgeRule::caseless},
      {"prime_factorization", JudgeRule::primes},
      {"fraction_simplification", JudgeRule::fraction},
      {"gsm_symbolic", JudgeRule::first_number},
      {"number_sorting", JudgeRule::sorted_list},
      {"countdown", JudgeRule::any_solution},
      {"time_intervals", JudgeRule::duration},
      {"knights_knaves", JudgeRule::roles},
  }};
  for (const auto& [name, rule] : kRules) {
    if (name == task) return rule;
  }
  return std::nullopt;
}

Result<bool> judge(std::string_view task, std::string_view given, std::string_view answer, const nlohmann::json& meta) {
  const std::optional<JudgeRule> rule = judge_rule(task);
  if (!rule) {
    return Error{ErrorKind::unsupported,
                 "task: expected one of the 21 judged tasks, found \"" + std::string(task.substr(0, 64)) + "\""};
  }
  given = judging::trim(given);
  if (given.empty()) return false;
  switch (*rule) {
    case JudgeRule::exact:
      return given == answer;
    case JudgeRule::number:
      return judging::judge_number(given, answer);
    case JudgeRule::caseless:
      return judging::judge_caseless(given, answer);
    case JudgeRule::primes:
      return judging::judge_primes(given, answer);
    case JudgeRule::fraction:
      return judging::judge_fraction(given, meta);
    case JudgeRule::first_number:
      return judging::judge_first_number(given, answer);
    case JudgeRule::sorted_list:
      return judging::judge_sorted_list(given, answer, meta);
    case JudgeRule::any_solution:
      return judging::judge_countdown(given, meta);
    case JudgeRule::duration:
      return judging::judge_duration(given, answer);
    case JudgeRule::roles:
      return judging::judge_roles(given, answer);
  }
  return false;
}

namespace judging {

Error broken_item(std::string_view task, std::string_view field, std::string_view expected) {
  return Error{ErrorKind::invalid, std::string(task) + ": " + std::string(field) + ": expected " +
                                       std::string(expected) + ", found something else"};
}

std::string_view trim(std::string_view text) {
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  return text;
}

// U+212A, the Kelvin sign, is the one character outside ASCII whose lower case is in it.
std::string ascii_lower(std::string_view text) {
  std::string lower;
  lower.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text.substr(i, 3) == "\xe2\x84\xaa") {
      lower += 'k';
      i += 2;
    } else {
      lower += text[i] >= 'A' && text[i] <= 'Z' ? static_cast<char>(text[i] + ('a' - 'A')) : text[i];
    }
  }
  return lower;
}

std::vector<std::string_view> split(std::string_view text, std::string_view separator) {
  std::vector<std::string_view> parts;
  for (;;) {
    const std::size_t at = text.find(separator);
    parts.push_back(text.substr(0, at));
    if (at == std::string_view::npos) return parts;
    text.remove_prefix(at + separator.size());
  }
}

namespace {
// Takes the digits at the front off `text`.
std::string_view take_digits(std::string_view& text) {
  std::size_t n = 0;
  while (n < text.size() && is_digit(text[n])) ++n;
  const std::string_view digits = text.substr(0, n);
  text.remove_prefix(n);
  return digits;
}

// Takes a sign off the front of `text`; true if it was a minus.
bool take_sign(std::string_view& text) {
  if (text.empty() || (text.front() != '+' && text.front() != '-')) return false;
  const bool minus = text.front() == '-';
  text.remove_prefix(1);
  return minus;
}

std::string_view without_leading_zeros(std::string_view digits) {
  const std::size_t first = digits.find_first_not_of('0');
  return first == std::string_view::npos ? std::string_view() : digits.substr(first);
}
}  // namespace

std::optional<Integer> read_integer(std::string_view text) {
  text = trim(text);
  const bool minus = take_sign(text);
  std::string_view digits = take_digits(text);
  if (digits.empty() || !text.empty()) return std::nullopt;
  digits = without_leading_zeros(digits);
  if (digits.size() > 18) return Integer{.value = 0, .fits = false};
  Integer integer;
  for (const char c : digits) integer.value = integer.value * 10 + (c - '0');
  if (minus) integer.value = -integer.value;
  return integer;
}

std::optional<Decimal> read_decimal(std::string_view text) {
  constexpr std::int64_t kLimit = 4'000'000'000'000'000'000;  // room for the lengths of both digit runs beside it
  const bool minus = take_sign(text);
  const std::string_view whole = take_digits(text);
  std::string_view fraction;
  if (text.starts_with('.')) {
    text.remove_prefix(1);
    fraction = take_digits(text);
  }
  if (whole.empty() && fraction.empty()) return std::nullopt;
  std::int64_t exponent = 0;
  if (!text.empty() && (text.front() == 'e' || text.front() == 'E')) {
    text.remove_prefix(1);
    const bool minus_exponent = take_sign(text);
    std::string_view digits = take_digits(text);
    if (digits.empty()) return std::nullopt;
    digits = without_leading_zeros(digits);
    if (digits.size() > 18) {
      exponent = kLimit;
    } else {
      for (const char c : digits) exponent = exponent * 10 + (c - '0');
    }
    if (minus_exponent) exponent = -exponent;
  }
  if (!text.empty()) return std::nullopt;

  Decimal decimal;
  std::string digits(whole);
  digits += fraction;
  const std::size_t first = digits.find_first_not_of('0');
  if (first == std::string::npos) return decimal;  // zero, whatever its sign and exponent
  const std::size_t last = digits.find_last_not_of('0');
  decimal.negative = minus;
  decimal.exponent =
      exponent - static_cast<std::int64_t>(fraction.size()) + static_cast<std::int64_t>(digits.size() - 1 - last);
  decimal.digits = digits.substr(first, last + 1 - first);
  return decimal;
}

Result<bool> judge_number(std::string_view given, std::string_view answer) {
  const std::optional<Decimal> right = read_decimal(trim(answer));
  if (!right) return broken_item("number", "answer", "a decimal number");
  std::string bare;
  bare.reserve(given.size());
  std::copy_if(given.begin(), given.end(), std::back_inserter(bare), [](char c) { return c != ','; });
  const std::optional<Decimal> found = read_decimal(bare);
  return found && *found == *right;
}

bool judge_caseless(std::string_view given, std::string_view answer) {
  return ascii_lower(given) == ascii_lower(answer);
}

namespace {
constexpr std::string_view kTimes = "\xc3\x97";  // U+00D7

// The sorted factors, or nothing if a part is no integer; a factor that no answer can hold is kept as 0.
std::optional<std::vector<std::int64_t>> read_factors(std::string_view text) {
  std::vector<std::int64_t> factors;
  for (const std::string_view part : split(text, kTimes)) {
    if (trim(part).empty()) continue;
    const std::optional<Integer> factor = read_integer(part);
    if (!factor) return std::nullopt;
    factors.push_back(factor->value);
  }
  std::sort(factors.begin(), factors.end());
  return factors;
}
}  // namespace

Result<bool> judge_primes(std::string_view given, std::string_view answer) {
  const auto right = read_factors(answer);
  if (!right || right->empty()) return broken_item("prime_factorization", "answer", "integers joined by ×");
  const auto found = read_factors(given);
  return found && *found == *right;
}

namespace {
struct Fraction {
  Integer numerator, denominator;
};

// `white space { white space digits white space }` off the front of `text`.
std::optional<Integer> take_braced_digits(std::string_view& text) {
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  if (!text.starts_with('{')) return std::nullopt;
  text.remove_prefix(1);
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  const std::string_view digits = take_digits(text);
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  if (digits.empty() || !text.starts_with('}')) return std::nullopt;
  text.remove_prefix(1);
  return read_integer(digits);
}

// A text that begins with \frac{n}{d} or \dfrac{n}{d}; what follows is ignored.
std::optional<Fraction> read_latex_fraction(std::string_view text) {
  const std::string name = ascii_lower(text.substr(0, 6));
  if (name.starts_with("\\frac")) {
    text.remove_prefix(5);
  } else if (name == "\\dfrac") {
    text.remove_prefix(6);
  } else {
    return std::nullopt;
  }
  const std::optional<Integer> numerator = take_braced_digits(text);
  if (!numerator) return std::nullopt;
  const std::optional<Integer> denominator = take_braced_digits(text);
  if (!denominator) return std::nullopt;
  return Fraction{*numerator, *denominator};
}

std::optional<Fraction> read_slashed_fraction(std::string_view text) {
  const std::size_t slash = text.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  const std::optional<Integer> numerator = read_integer(text.substr(0, slash));
  const std::optional<Integer> denominator = read_integer(text.substr(slash + 1));
  if (!numerator || !denominator) return std::nullopt;
  return Fraction{*numerator, *denominator};
}
}  // namespace

Result<bool> judge_fraction(std::string_view given, const nlohmann::json& meta) {
  if (!meta.is_object() || !meta.contains("simplified_numerator") || !meta.contains("simplified_denominator") ||
      !meta["simplified_numerator"].is_number_integer() || !meta["simplified_denominator"].is_number_integer()) {
    return broken_item("fraction_simplification", "meta", "integers simplified_numerator and simplified_denominator");
  }
  while (given.starts_with('$')) given.remove_prefix(1);
  while (given.ends_with('$')) given.remove_suffix(1);
  given = trim(given);
  std::optional<Fraction> found = read_latex_fraction(given);
  if (!found) found = read_slashed_fraction(given);
  if (!found || !found->numerator.fits || !found->denominator.fits) return false;
  return found->numerator.value == meta["simplified_numerator"].get<std::int64_t>() &&
         found->denominator.value == meta["simplified_denominator"].get<std::int64_t>();
}

namespace {
constexpr bool is_word(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

// The first match of \b-?\d+(?:\.\d+)?\b. Backtracking into the digits never helps: the cut would stand between two
// digits, which is no boundary. So only giving up the whole fraction is left to try.
std::optional<std::string_view> first_number(std::string_view text) {
  const auto word_at = [text](std::size_t i) { return i < text.size() && is_word(text[i]); };
  const auto run_of_digits = [text](std::size_t i) {
    while (i < text.size() && is_digit(text[i])) ++i;
    return i;
  };
  for (std::size_t start = 0; start < text.size(); ++start) {
    const bool boundary = (start > 0 && word_at(start - 1)) != word_at(start);
    if (!boundary) continue;
    const std::size_t digits = text[start] == '-' ? start + 1 : start;
    const std::size_t end = run_of_digits(digits);
    if (end == digits) continue;
    if (end + 1 < text.size() && text[end] == '.' && is_digit(text[end + 1])) {
      const std::size_t fraction_end = run_of_digits(end + 1);
      if (!word_at(fraction_end)) return text.substr(start, fraction_end - start);
    }
    if (!word_at(end)) return text.substr(start, end - start);
  }
  return std::nullopt;
}

// As a double; nothing if it is no number or beyond a double's range, where it equals no answer.
std::optional<double> as_double(std::string_view text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}
}  // namespace

Result<bool> judge_first_number(std::string_view given, std::string_view answer) {
  const std::optional<double> right = as_double(trim(answer));
  if (!right) return broken_item("gsm_symbolic", "answer", "a number");
  const std::optional<std::string_view> found = first_number(given);
  if (!found) return false;
  const std::optional<double> value = as_double(*found);
  return value && *value == *right;
}

}  // namespace judging
Status check_judged(std::string_view task, std::string_view answer, const nlohmann::json& meta,
                    std::string_view where) {
  if (!judge_rule(task)) return Done{};
  const Result<bool> judged = judge(task, answer, answer, meta);
  if (judged.ok()) return Done{};
  return Error{judged.error().kind, fmt::format("{}: {}", where, judged.error().message)};
}

}  // namespace hadal
