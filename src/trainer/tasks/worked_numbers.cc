// Worked steps of the tasks that are arithmetic throughout.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <utility>

#include "trainer/tasks/steps_writer.h"

namespace hadal::steps {
namespace {

// The value of an integer field of meta, or nothing.
std::optional<std::int64_t> meta_integer(const TaskItem& item, const char* field) {
  if (!item.meta.is_object() || !item.meta.contains(field) || !item.meta[field].is_number_integer()) {
    return std::nullopt;
  }
  const auto value = item.meta[field].get<std::int64_t>();
  return is_operand(value) ? std::optional(value) : std::nullopt;
}

std::optional<std::string> meta_text(const TaskItem& item, const char* field) {
  if (!item.meta.is_object() || !item.meta.contains(field) || !item.meta[field].is_string()) return std::nullopt;
  return item.meta[field].get<std::string>();
}

// The two positive numbers of gcd and lcm.
std::optional<std::pair<std::int64_t, std::int64_t>> meta_pair(const TaskItem& item) {
  if (!item.meta.is_object() || !item.meta.contains("numbers")) return std::nullopt;
  const nlohmann::json& numbers = item.meta["numbers"];
  if (!numbers.is_array() || numbers.size() != 2) return std::nullopt;
  for (const nlohmann::json& number : numbers) {
    if (!number.is_number_integer() || number.get<std::int64_t>() <= 0) return std::nullopt;
    if (!is_operand(number.get<std::int64_t>())) return std::nullopt;
  }
  return std::pair{numbers[0].get<std::int64_t>(), numbers[1].get<std::int64_t>()};
}

}  // namespace

Result<WorkedExample> work_expression(const TaskItem& item) {
  const std::optional<std::string> expression = meta_text(item, "expression");
  if (!expression) return unreadable(item, "meta.expression");
  const auto tokens = tokenize_expression(*expression);
  StepsWriter writer;
  const std::optional<double> value = tokens ? evaluate_in_steps(*tokens, &writer) : std::nullopt;
  if (!value) return unreadable(item, "an expression of + - * / ( ) in meta.expression");
  if (writer.text().empty()) writer.line(plain_number(*value));
  return WorkedExample{writer.text(), plain_number(*value)};
}

Result<WorkedExample> work_gcd(const TaskItem& item) {
  const auto numbers = meta_pair(item);
  if (!numbers) return unreadable(item, "two positive meta.numbers");
  StepsWriter writer;
  const std::int64_t divisor = euclid(numbers->first, numbers->second, &writer);
  return WorkedExample{writer.text(), std::to_string(divisor)};
}

Result<WorkedExample> work_lcm(const TaskItem& item) {
  const auto numbers = meta_pair(item);
  if (!numbers) return unreadable(item, "two positive meta.numbers");
  const auto [small, large] = std::minmax(numbers->first, numbers->second);
  StepsWriter writer;
  const std::int64_t divisor = euclid(large, small, &writer);
  if (divisor == small) return WorkedExample{writer.text(), std::to_string(large)};
  const std::int64_t factor = divisor == 1 ? small : writer.line(divide(small, divisor));
  const std::int64_t multiple = writer.line(multiply(large, factor));
  return WorkedExample{writer.text(), std::to_string(multiple)};
}

// Up to 19 every prime is tried, by its chain of remainders. Above, a factor is only named: trying 23 to 67 would
// cost a hundred tokens in every question for the one in twenty that needs it.
Result<WorkedExample> work_prime_factorization(const TaskItem& item) {
  constexpr std::array<std::int64_t, 8> kTried = {2, 3, 5, 7, 11, 13, 17, 19};
  const std::optional<std::int64_t> number = meta_integer(item, "number");
  if (!number || *number < 2) return unreadable(item, "meta.number of 2 or more");
  StepsWriter writer;
  std::vector<std::int64_t> factors;
  std::int64_t rest = *number;
  std::string line = std::to_string(rest);
  const auto divide_by = [&](std::int64_t prime, const std::string& statement) {
    writer.line(line + statement);
    factors.push_back(prime);
    rest /= prime;
    line = std::to_string(rest);
  };
  for (std::size_t i = 0; i < kTried.size() && kTried[i] * kTried[i] <= rest;) {
    const std::int64_t prime = kTried[i];
    const std::string space = line == std::to_string(rest) ? "" : " ";
    if (rest % prime == 0) {
      divide_by(prime, space + divide(rest, prime).text.substr(std::to_string(rest).size()));
      continue;
    }
    // The last digit tells 2 and 5 at a glance.
    if (prime != 2 && prime != 5) line += space + "/" + std::to_string(prime) + ":" + remainders(rest, prime);
    ++i;
  }
  for (std::int64_t prime = 23; prime * prime <= rest; prime += 2) {
    if (rest % prime != 0) continue;
    const std::string space = line == std::to_string(rest) ? "" : " ";
    divide_by(prime, space + "/" + std::to_string(prime) + "=" + std::to_string(rest / prime));
  }
  writer.line(line);
  factors.push_back(rest);
  std::string answer;
  for (const std::int64_t factor : factors) answer += (answer.empty() ? "" : " × ") + std::to_string(factor);
  return WorkedExample{writer.text(), answer};
}

Result<WorkedExample> work_fraction_simplification(const TaskItem& item) {
  const auto numerator = meta_integer(item, "numerator");
  const auto denominator = meta_integer(item, "denominator");
  if (!numerator || !denominator || *numerator <= 0 || *denominator <= 0) {
    return unreadable(item, "positive meta.numerator and meta.denominator");
  }
  StepsWriter writer;
  const std::int64_t divisor = euclid(*numerator, *denominator, &writer);
  const std::int64_t top = divisor == 1 ? *numerator : writer.line(divide(*numerator, divisor));
  const std::int64_t bottom = divisor == 1 ? *denominator : writer.line(divide(*denominator, divisor));
  return WorkedExample{writer.text(), std::to_string(top) + "/" + std::to_string(bottom)};
}

// factor * x + constant = result, the terms in any order.
Result<WorkedExample> work_simple_equations(const TaskItem& item) {
  const std::optional<std::string> equation = meta_text(item, "equation");
  const std::optional<std::string> variable = meta_text(item, "variable");
  const std::size_t equals = equation ? equation->find(" = ") : std::string::npos;
  if (!variable || equals == std::string::npos) return unreadable(item, "meta.equation and meta.variable");
  std::int64_t factor = 0;
  std::int64_t constant = 0;
  std::int64_t sign = 1;
  const std::string left = equation->substr(0, equals) + " ";
  for (std::size_t begin = 0; begin < left.size();) {
    const std::size_t end = left.find(' ', begin);
    std::string term = left.substr(begin, end - begin);
    begin = end + 1;
    if (term == "+" || term == "-") {
      sign = term == "+" ? 1 : -1;
      continue;
    }
    const bool unknown = term.ends_with(*variable);
    if (unknown) term.resize(term.size() - variable->size());
    if (term.ends_with('*')) term.pop_back();
    const std::int64_t size = term.empty() ? 1 : term == "-" ? -1 : std::strtoll(term.c_str(), nullptr, 10);
    if (!is_operand(size) || !is_operand(factor) || !is_operand(constant)) return unreadable(item, "smaller numbers");
    (unknown ? factor : constant) += sign * size;
  }
  const std::int64_t result = std::strtoll(equation->c_str() + equals + 3, nullptr, 10);
  if (factor == 0 || !is_operand(factor) || !is_operand(constant) || !is_operand(result)) {
    return unreadable(item, "a factor of the unknown and numbers of at most nine digits");
  }
  StepsWriter writer;
  // The unknown is kept on the side where its factor is positive.
  std::int64_t value = factor > 0 ? result : -result;
  if (constant != 0) value = writer.line(factor > 0 ? subtract(result, constant) : subtract(constant, result));
  const std::int64_t divisor = std::abs(factor);
  if (value % divisor != 0) return unreadable(item, "a whole solution");
  if (divisor != 1) value = writer.line(divide(value, divisor));
  if (writer.text().empty()) writer.line(std::to_string(value));
  return WorkedExample{writer.text(), std::to_string(value)};
}

// The name stands in each line: from it, the next animal of the question is found by looking what follows it there.
Result<WorkedExample> work_leg_counting(const TaskItem& item) {
  const auto list = between(item.question, "if you have ", "?");
  if (!list || !item.meta.is_object() || !item.meta.contains("legs")) return unreadable(item, "a list and meta.legs");
  StepsWriter writer;
  std::int64_t total = 0;
  bool first = true;
  std::string_view rest = *list;
  while (!rest.empty()) {
    const std::size_t comma = rest.find(", ");
    const std::string animal(rest.substr(0, comma));
    rest = comma == std::string_view::npos ? std::string_view() : rest.substr(comma + 2);
    const std::size_t space = animal.find(' ');
    if (space == std::string::npos) return unreadable(item, "\"6 dogs, 8 birds\"");
    std::string name = animal.substr(space + 1);
    auto legs = item.meta["legs"].find(name);  // "1 dog" has no plural
    if (legs == item.meta["legs"].end() && name.ends_with('s')) {
      name.pop_back();
      legs = item.meta["legs"].find(name);
    }
    if (legs == item.meta["legs"].end() || !legs->is_number_integer()) return unreadable(item, "meta.legs." + name);
    writer.line(animal);
    const std::int64_t count = std::strtoll(animal.c_str(), nullptr, 10);
    if (!is_operand(count) || !is_operand(legs->get<std::int64_t>()) || !is_operand(total)) {
      return unreadable(item, "smaller numbers");
    }
    const std::int64_t product = writer.append(multiply(count, legs->get<std::int64_t>()));
    total = first ? product : writer.append(add(total, product));
    first = false;
  }
  return WorkedExample{writer.text(), std::to_string(total)};
}

namespace {
std::optional<std::int64_t> read_base(std::string_view text) {
  if (text == "binary") return 2;
  if (text == "hexadecimal") return 16;
  const std::vector<std::int64_t> numbers = integers_in(text);
  if (!text.starts_with("base-") || numbers.size() != 1 || numbers[0] < 2 || numbers[0] > 16) return std::nullopt;
  return numbers[0];
}

constexpr std::string_view kBaseDigits = "0123456789abcdef";
}  // namespace

// Through the decimal value: Horner's scheme in, remainders out. Each line of the first half begins with the digits
// that are left, so that none has to be counted.
Result<WorkedExample> work_base_conversion(const TaskItem& item) {
  const auto phrase = between(item.question, "convert the ", "\n");
  if (!phrase) return unreadable(item, "\"convert the .. number .. to ..\"");
  const std::size_t number_at = phrase->find(" number ");
  const std::size_t to_at = phrase->find(" to ");
  if (number_at == std::string_view::npos || to_at == std::string_view::npos || to_at < number_at) {
    return unreadable(item, "\"convert the .. number .. to ..\"");
  }
  const auto from = read_base(phrase->substr(0, number_at));
  const auto to = read_base(phrase->substr(to_at + 4));
  const std::string_view digits = phrase->substr(number_at + 8, to_at - number_at - 8);
  if (!from || !to || digits.empty()) return unreadable(item, "bases from 2 to 16");
  StepsWriter writer;
  std::int64_t value = 0;
  for (std::size_t i = 0; i < digits.size(); ++i) {
    const std::size_t digit = kBaseDigits.find(digits[i]);
    if (digit >= static_cast<std::size_t>(*from) || value > 1'000'000) return unreadable(item, "digits of the base");
    const auto amount = static_cast<std::int64_t>(digit);
    if (*from == 10 || i == 0) {
      value = value * 10 + amount;
      continue;
    }
    writer.line(std::string(digits.substr(i)));
    value = writer.append(multiply(value, *from));
    if (amount != 0) value = writer.append(add(value, amount));
  }
  if (*to == 10) {
    if (writer.text().empty()) writer.line(std::to_string(value));
    return WorkedExample{writer.text(), std::to_string(value)};
  }
  // Each line ends in the digits found so far, so that the last one is the answer.
  std::string answer;
  std::int64_t rest = value;
  while (rest >= *to) {
    const Statement division = divide(rest, *to);
    writer.line(division.text + (division.rest == 0 ? "r0" : ""));
    answer = kBaseDigits[static_cast<std::size_t>(division.rest)] + answer;
    writer.append(answer);
    rest = division.value;
  }
  answer = kBaseDigits[static_cast<std::size_t>(rest)] + answer;
  writer.line(answer);
  return WorkedExample{writer.text(), answer};
}

Result<WorkedExample> work_simple_geometry(const TaskItem& item) {
  if (!item.meta.is_object() || !item.meta.contains("known_angles") || !item.meta["known_angles"].is_array()) {
    return unreadable(item, "meta.known_angles");
  }
  std::vector<std::int64_t> angles;
  for (const nlohmann::json& angle : item.meta["known_angles"]) {
    const double size = angle.is_number() ? angle.get<double>() : 0.5;
    if (!(size >= 0 && size < 1000) || size != std::floor(size)) return unreadable(item, "whole meta.known_angles");
    angles.push_back(static_cast<std::int64_t>(size));
  }
  if (angles.size() < 2 || angles.size() > 1000) return unreadable(item, "two angles or more");
  StepsWriter writer;
  const std::int64_t triangles = writer.line(subtract(static_cast<std::int64_t>(angles.size()) + 1, 2));
  const std::int64_t all = writer.append(multiply(triangles, 180));
  std::int64_t known = angles.front();
  for (std::size_t i = 1; i < angles.size(); ++i) known = writer.line(add(known, angles[i]));
  const std::int64_t last = writer.line(subtract(all, known));
  return WorkedExample{writer.text(), std::to_string(last)};
}

namespace {
// The clock times of a text, as [hours, minutes] or [hours, minutes, seconds].
std::vector<std::vector<std::int64_t>> clock_times(std::string_view text) {
  const auto digit = [text](std::size_t i) { return i < text.size() && text[i] >= '0' && text[i] <= '9'; };
  const auto pair_at = [&](std::size_t i) { return digit(i) && digit(i + 1); };
  std::vector<std::vector<std::int64_t>> times;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (!pair_at(i)) continue;
    std::vector<std::int64_t> time;
    while (pair_at(i)) {
      time.push_back((text[i] - '0') * 10 + (text[i + 1] - '0'));
      i += 2;
      if (i >= text.size() || text[i] != ':' || !pair_at(i + 1)) break;
      ++i;
    }
    if (time.size() >= 2) times.push_back(std::move(time));
  }
  return times;
}
}  // namespace

// From the smallest unit up, borrowing sixty.
Result<WorkedExample> work_time_intervals(const TaskItem& item) {
  const auto times = clock_times(item.question);
  if (times.size() != 2 || times[0].size() != times[1].size() || times[0].size() > 3 || times[1] < times[0]) {
    return unreadable(item, "two clock times, the later one last");
  }
  StepsWriter writer;
  std::string answer;
  bool borrowed = false;
  for (std::size_t i = times[0].size(); i-- > 0;) {
    std::int64_t difference = writer.line(subtract(times[1][i], times[0][i]));
    if (borrowed) difference = writer.append(subtract(difference, 1));
    borrowed = difference < 0;
    if (borrowed) difference = writer.append(add(difference, 60));
    answer = (difference < 10 ? "0" : "") + std::to_string(difference) + (answer.empty() ? "" : ":" + answer);
  }
  return WorkedExample{writer.text(), answer};
}

}  // namespace hadal::steps
