// The rules whose answers have a structure: lists, expressions, durations, roles.
#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <numeric>
#include <set>
#include <utility>

#include "trainer/tasks/judge_rules.h"

namespace hadal::judging {

// ---- sorted list -------------------------------------------------------------------------------------------------

namespace {
// `[+-]? digits [. digits] [exponent]` with white space around it.
std::optional<double> read_listed_number(std::string_view text) {
  text = trim(text);
  if (text.ends_with('.')) return std::nullopt;
  std::string_view bare = text;
  if (bare.starts_with('+') || bare.starts_with('-')) bare.remove_prefix(1);
  if (bare.empty() || !is_digit(bare.front()) || !read_decimal(text)) return std::nullopt;
  const std::size_t dot = bare.find('.');
  if (dot != std::string_view::npos && (dot + 1 == bare.size() || !is_digit(bare[dot + 1]))) return std::nullopt;
  if (text.front() == '+') text.remove_prefix(1);
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc()) return std::nullopt;  // beyond a double: within 1 of no answer
  return value;
}

// A JSON array of numbers and of strings that hold one, `'` counting as `"`.
std::optional<std::vector<double>> read_number_list(std::string_view text) {
  if (!text.starts_with('[')) return std::nullopt;  // the parser would also skip a byte order mark
  std::string json_text(text);
  std::replace(json_text.begin(), json_text.end(), '\'', '"');
  const nlohmann::json list = nlohmann::json::parse(json_text, nullptr, /*allow_exceptions=*/false);
  if (!list.is_array()) return std::nullopt;
  std::vector<double> numbers;
  for (const nlohmann::json& element : list) {
    if (element.is_number()) {
      numbers.push_back(element.get<double>());
    } else if (element.is_string()) {
      const std::optional<double> number = read_listed_number(element.get_ref<const std::string&>());
      if (!number) return std::nullopt;
      numbers.push_back(*number);
    } else {
      return std::nullopt;
    }
  }
  return numbers;
}
}  // namespace

Result<bool> judge_sorted_list(std::string_view given, std::string_view answer, const nlohmann::json& meta) {
  const auto right = read_number_list(trim(answer));
  if (!right) return broken_item("number_sorting", "answer", "a list of numbers");
  if (!meta.is_object() || !meta.contains("direction") ||
      (meta["direction"] != "ascending" && meta["direction"] != "descending")) {
    return broken_item("number_sorting", "meta.direction", "\"ascending\" or \"descending\"");
  }
  const bool ascending = meta["direction"] == "ascending";
  const auto found = read_number_list(given);
  if (!found || found->size() != right->size()) return false;
  for (std::size_t i = 0; i < found->size(); ++i) {
    // In doubles, as the package computes it: 8.3 against 7.3 differs by a little more than 1.
    if (!(std::abs((*found)[i] - (*right)[i]) <= 1.0)) return false;
    if (i == 0) continue;
    if (ascending ? (*found)[i - 1] > (*found)[i] : (*found)[i - 1] < (*found)[i]) return false;
  }
  return true;
}

// ---- countdown ---------------------------------------------------------------------------------------------------

namespace {
using Wide = __int128;

struct Rational {
  Wide numerator = 0;
  Wide denominator = 1;  // positive
};

Wide greatest_common_divisor(Wide a, Wide b) {
  if (a < 0) a = -a;
  if (b < 0) b = -b;
  while (b != 0) a = std::exchange(b, a % b);
  return a;
}

constexpr Wide kLeast = -((((Wide{1} << 126) - 1) << 1) + 1) - 1;  // the one that has no negative

// Nothing on a division by zero or beyond 127 bits (some thirty numbers of four digits; no item has so many).
std::optional<Rational> combine(char op, Rational x, Rational y) {
  Rational z;
  bool overflow = false;
  if (op == '+' || op == '-') {
    Wide left = 0;
    Wide right = 0;
    overflow |= __builtin_mul_overflow(x.numerator, y.denominator, &left);
    overflow |= __builtin_mul_overflow(y.numerator, x.denominator, &right);
    overflow |= op == '+' ? __builtin_add_overflow(left, right, &z.numerator)
                          : __builtin_sub_overflow(left, right, &z.numerator);
    overflow |= __builtin_mul_overflow(x.denominator, y.denominator, &z.denominator);
  } else {
    if (op == '/') {
      if (y.numerator == 0) return std::nullopt;
      std::swap(y.numerator, y.denominator);
      if (y.denominator < 0) y = {-y.numerator, -y.denominator};
    }
    overflow |= __builtin_mul_overflow(x.numerator, y.numerator, &z.numerator);
    overflow |= __builtin_mul_overflow(x.denominator, y.denominator, &z.denominator);
  }
  if (overflow || z.numerator == kLeast || z.denominator == kLeast) return std::nullopt;
  const Wide divisor = greatest_common_divisor(z.numerator, z.denominator);
  return Rational{z.numerator / divisor, z.denominator / divisor};
}

// Operator precedence with explicit stacks: a million parentheses cost memory, not the call stack.
class ExpressionReader {
 public:
  // The value, and the integers used in `used()`; nothing if the text is no expression.
  std::optional<Rational> read(std::string_view text) {
    bool operand_next = true;
    while (!text.empty()) {
      const char c = text.front();
      if (c == ' ') {
        text.remove_prefix(1);
        continue;
      }
      if (is_digit(c)) {
        if (!operand_next || !take_integer(text)) return std::nullopt;
        operand_next = false;
        continue;
      }
      text.remove_prefix(1);
      if (c == '(') {
        if (!operand_next) return std::nullopt;
        operators_.push_back('(');
      } else if (c == ')') {
        if (operand_next || !close()) return std::nullopt;
      } else if (operand_next && (c == '+' || c == '-')) {
        operators_.push_back(c == '-' ? 'n' : 'p');
      } else if (!operand_next && (c == '+' || c == '-' || c == '*' || c == '/')) {
        while (!operators_.empty() && binds_tighter(operators_.back(), c)) {
          if (!apply()) return std::nullopt;
        }
        operators_.push_back(c);
        operand_next = true;
      } else {
        return std::nullopt;
      }
    }
    if (operand_next) return std::nullopt;
    while (!operators_.empty()) {
      if (operators_.back() == '(' || !apply()) return std::nullopt;
    }
    return values_.back();
  }
  std::vector<std::int64_t>& used() { return used_; }

 private:
  bool take_integer(std::string_view& text) {
    std::size_t n = 0;
    while (n < text.size() && is_digit(text[n])) ++n;
    const std::string_view digits = text.substr(0, n);
    text.remove_prefix(n);
    if ((n > 1 && digits.front() == '0') || n > 18) return false;
    const std::int64_t value = read_integer(digits)->value;
    used_.push_back(value);
    values_.push_back({value, 1});
    return true;
  }

  bool close() {
    while (!operators_.empty() && operators_.back() != '(') {
      if (!apply()) return false;
    }
    if (operators_.empty()) return false;
    operators_.pop_back();
    return true;
  }

  static int precedence(char op) {
    if (op == 'n' || op == 'p') return 3;
    if (op == '*' || op == '/') return 2;
    return op == '(' ? 0 : 1;
  }
  static bool binds_tighter(char held, char op) { return precedence(held) >= precedence(op); }

  bool apply() {
    const char op = operators_.back();
    operators_.pop_back();
    if (op == 'p') return true;
    if (op == 'n') {
      values_.back().numerator = -values_.back().numerator;
      return true;
    }
    const Rational right = values_.back();
    values_.pop_back();
    const std::optional<Rational> value = combine(op, values_.back(), right);
    if (!value) return false;
    values_.back() = *value;
    return true;
  }

  std::vector<char> operators_;  // + - * / ( and n, p: the unary ones
  std::vector<Rational> values_;
  std::vector<std::int64_t> used_;
};
}  // namespace

Result<bool> judge_countdown(std::string_view given, const nlohmann::json& meta) {
  if (!meta.is_object() || !meta.contains("target") || !meta["target"].is_number_integer() ||
      !meta.contains("numbers") || !meta["numbers"].is_array()) {
    return broken_item("countdown", "meta", "numbers (a list) and target (an integer)");
  }
  std::vector<std::int64_t> numbers;
  for (const nlohmann::json& number : meta["numbers"]) {
    if (!number.is_number_integer()) return broken_item("countdown", "meta.numbers", "integers");
    numbers.push_back(number.get<std::int64_t>());
  }
  ExpressionReader reader;
  const std::optional<Rational> value = reader.read(given);
  if (!value) return false;
  std::vector<std::int64_t>& used = reader.used();
  std::sort(numbers.begin(), numbers.end());
  std::sort(used.begin(), used.end());
  return used == numbers && value->denominator == 1 && value->numerator == meta["target"].get<std::int64_t>();
}

// ---- duration ----------------------------------------------------------------------------------------------------

namespace {
// In thousandths of a second; 128 bits hold 3600 * 1000 * any 64-bit count of hours.
std::optional<Wide> read_duration(std::string_view text) {
  const std::vector<std::string_view> parts = split(text, ":");
  if (parts.size() < 2) return std::nullopt;
  std::array<std::optional<Integer>, 4> counts = {read_integer(parts[0]), read_integer(parts[1]), Integer{}, Integer{}};
  if (parts.size() > 2) {
    const std::vector<std::string_view> seconds = split(parts[2], ".");
    if (seconds.size() > 2) return std::nullopt;
    counts[2] = read_integer(seconds[0]);
    if (seconds.size() == 2) counts[3] = read_integer(seconds[1]);
  }
  constexpr std::array<int, 4> kThousandths = {3'600'000, 60'000, 1'000, 1};
  Wide total = 0;
  for (std::size_t i = 0; i < counts.size(); ++i) {
    if (!counts[i] || !counts[i]->fits) return std::nullopt;
    total += static_cast<Wide>(counts[i]->value) * kThousandths[i];
  }
  return total;
}
}  // namespace

Result<bool> judge_duration(std::string_view given, std::string_view answer) {
  const std::optional<Wide> right = read_duration(trim(answer));
  if (!right) return broken_item("time_intervals", "answer", "hours:minutes[:seconds]");
  const std::optional<Wide> found = read_duration(given);
  return found && *found == *right;
}

// ---- roles -------------------------------------------------------------------------------------------------------

namespace {
constexpr std::array<std::string_view, 14> kRoles = {"knight",   "knave",  "pioneer", "laggard", "saint",
                                                     "sinner",   "hero",   "villain", "angel",   "devil",
                                                     "altruist", "egoist", "sage",    "fool"};

std::set<std::pair<std::string, std::string_view>> read_roles(std::string_view text) {
  const std::string lower = ascii_lower(text);
  std::string spaced;
  spaced.reserve(lower.size());
  for (std::size_t i = 0; i < lower.size(); ++i) {
    const char c = lower[i];
    const bool mark = c == '.' || c == ',' || c == '(' || c == ')';
    spaced += mark ? ' ' : c;
  }
  // Left to right, without overlap: in " and and " only the first goes.
  for (std::size_t at = spaced.find(" and "); at != std::string::npos; at = spaced.find(" and ", at + 5)) {
    std::fill_n(spaced.begin() + static_cast<std::ptrdiff_t>(at), 5, ' ');
  }
  std::set<std::pair<std::string, std::string_view>> roles;
  std::string_view held;
  std::string_view rest = spaced;
  for (;;) {
    while (!rest.empty() && is_space(rest.front())) rest.remove_prefix(1);
    if (rest.empty()) return roles;
    std::size_t n = 0;
    while (n < rest.size() && !is_space(rest[n])) ++n;
    const std::string_view word = rest.substr(0, n);
    rest.remove_prefix(n);
    if (word == "is" || word == "a" || word == "an") continue;
    const auto role = std::find(kRoles.begin(), kRoles.end(), word);
    if (role == kRoles.end()) {
      held = word;
    } else if (!held.empty()) {
      roles.emplace(std::string(held), *role);
      held = {};
    }
  }
}
}  // namespace

bool judge_roles(std::string_view given, std::string_view answer) {
  return read_roles(given) == read_roles(answer);
}

}  // namespace hadal::judging
