// Worked steps of number sequences: simple recurrences are tried one after another, each worked out term by term until
// it fails.
#include <algorithm>
#include <array>
#include <cstddef>
#include <utility>

#include "trainer/tasks/steps_writer.h"

namespace hadal::steps {
namespace {

// What is looked at: enough to tell recurrences apart, few enough to be short.
constexpr std::size_t kTermsTried = 5;
constexpr std::int64_t kMaxTerm = kMaxOperand / 10;  // what is made of a few terms is then an operand too

// A list of values made from the terms x[0], x[1], .. by one addition or subtraction an item. value[i] belongs to term
// x[i + first]: i.e. it says how x[i + first] follows from the one or two terms before it.
struct Derived {
  std::vector<std::int64_t> values;
  std::size_t first = 1;
};

// x' = (own * x + previous * y + c) / divisor, rounded down: the recurrences tried after those with a constant ratio of
// differences. Each list is made from one already written: what is known of it, minus or plus a term.
struct Recurrence {
  std::string_view name;  // how a line begins: p for the previous term, h for half
  std::string_view from;  // the list it is made from; "" are the differences
  int before;             // the term taken: so many before the one that the value belongs to
  bool add;               // or subtract
  std::int64_t own, previous, divisor;
};

constexpr std::array<Recurrence, 7> kRecurrences = {{
    {"p", "", 2, false, 1, 1, 1},      // differences - y
    {"h", "", 0, true, 1, 0, 2},       // x' + differences = 2x' - x
    {"hp", "h", 2, false, 1, 1, 2},    // 2x' - x - y
    {"pp", "p", 2, false, 1, 2, 1},    // x' - x - 2y
    {"2p", "p", 1, false, 2, 1, 1},    // x' - 2x - y
    {"2pp", "pp", 1, false, 2, 2, 1},  // x' - 2x - 2y
    {"hpp", "hp", 2, false, 1, 2, 2},  // 2x' - x - 2y
}};

// The factor by which each difference follows from the one before; nothing if there is none.
std::optional<std::int64_t> ratio_of(const std::vector<std::int64_t>& differences) {
  if (differences.size() < 2) return std::nullopt;
  if (differences[0] == 0) {
    const bool all_zero = std::all_of(differences.begin(), differences.end(), [](std::int64_t d) { return d == 0; });
    return all_zero ? std::optional<std::int64_t>(1) : std::nullopt;
  }
  const std::int64_t ratio = differences[1] / differences[0];
  for (std::size_t i = 1; i < differences.size(); ++i) {
    if (differences[i] != ratio * differences[i - 1]) return std::nullopt;
  }
  return ratio;
}

std::int64_t halve_down(std::int64_t value, StepsWriter* writer) {
  if (value < 0 && value % 2 != 0) value = writer->line(subtract(value, 1));
  return writer->line(divide(value, 2));
}

// Writes the line of a recurrence, an item after another until one shows that it does not hold. True if all agree.
bool try_recurrence(const Recurrence& recurrence, const std::vector<std::int64_t>& terms, const Derived& from,
                    Derived* made, StepsWriter* writer) {
  writer->line(std::string(recurrence.name) + ":");
  made->first = std::max<std::size_t>(from.first, recurrence.previous != 0 ? 2 : 1);
  bool agrees = true;
  for (std::size_t at = made->first; at < std::min(terms.size(), kTermsTried); ++at) {
    const std::int64_t term = terms[at - static_cast<std::size_t>(recurrence.before)];
    const std::int64_t known = from.values[at - from.first];
    const Statement statement = recurrence.add ? add(known, term) : subtract(known, term);
    made->values.push_back(statement.value);
    if (!agrees) continue;  // not written, but lists made from this one may need it
    writer->append(statement);
    const auto [low, high] = std::minmax_element(made->values.begin(), made->values.end());
    agrees = *high - *low <= recurrence.divisor - 1;
  }
  agrees = agrees && made->values.size() >= 2;
  writer->append(agrees ? "ok" : "no");
  return agrees;
}

// The next term by a recurrence that holds.
std::int64_t next_term(const Recurrence& recurrence, const std::vector<std::int64_t>& terms, std::int64_t constant,
                       StepsWriter* writer) {
  std::int64_t value = terms.back();
  const std::int64_t previous = terms[terms.size() - 2];
  if (recurrence.own != 1) value = writer->line(multiply(value, recurrence.own));
  for (std::int64_t i = 0; i < recurrence.previous; ++i) value = writer->line(add(value, previous));
  if (constant != 0) value = writer->line(add(value, constant));
  return recurrence.divisor == 2 ? halve_down(value, writer) : value;
}

// One word of a rule applied to `value`; nothing for an unknown word.
std::optional<std::int64_t> apply_rule_word(std::string_view word, std::int64_t value, std::int64_t previous,
                                            StepsWriter* writer) {
  if (word == "add previous") return writer->line(add(value, previous));
  if (word == "double") return writer->line(multiply(value, 2));
  if (word == "square") return writer->line(multiply(value, value));
  if (word == "halve") return halve_down(value, writer);
  const std::vector<std::int64_t> numbers = integers_in(word);
  if (numbers.size() != 1 || !is_operand(numbers[0])) return std::nullopt;
  if (word.starts_with("add ")) return writer->line(add(value, numbers[0]));
  if (word.starts_with("multiply by ")) return writer->line(multiply(value, numbers[0]));
  return std::nullopt;
}

}  // namespace

std::optional<std::int64_t> apply_sequence_rule(std::string_view rule, const std::vector<std::int64_t>& terms,
                                                StepsWriter* writer) {
  if (terms.size() < 2) return std::nullopt;
  std::int64_t value = terms.back();
  while (!rule.empty()) {
    const std::size_t then = rule.find(" then ");
    const auto next = apply_rule_word(rule.substr(0, then), value, terms[terms.size() - 2], writer);
    if (!next || !is_operand(*next)) return std::nullopt;
    value = *next;
    rule = then == std::string_view::npos ? std::string_view() : rule.substr(then + 6);
  }
  return value;
}

// The differences, and whether each is the same multiple of the one before; then the recurrences of kRecurrences; then
// the rule itself, which can only be guessed. A recurrence that holds so far but is not the rule (one sequence in
// fifty) is nothing to learn from: unsupported.
Result<WorkedExample> work_number_sequence(const TaskItem& item) {
  const std::vector<std::int64_t> terms = integers_in(item.question);
  if (terms.size() < 2 || !item.meta.is_object() || !item.meta.contains("rule") || !item.meta["rule"].is_string() ||
      !std::all_of(terms.begin(), terms.end(), [](std::int64_t x) { return x >= -kMaxTerm && x <= kMaxTerm; })) {
    return unreadable(item, "a sequence of numbers below a hundred million and meta.rule");
  }
  const auto finish = [&item](const StepsWriter& writer, std::int64_t value) -> Result<WorkedExample> {
    if (std::to_string(value) != item.answer) {
      return Error{ErrorKind::unsupported,
                   "number_sequence: a simpler rule fits the terms of \"" + item.question + "\""};
    }
    return WorkedExample{writer.text(), item.answer};
  };
  StepsWriter writer;
  writer.line("d:");
  Derived differences;
  for (std::size_t i = 1; i < std::min(terms.size(), kTermsTried); ++i) {
    differences.values.push_back(terms[i] - terms[i - 1]);
    writer.append(std::to_string(differences.values.back()));
  }
  if (const auto ratio = ratio_of(differences.values)) {
    writer.append("*" + std::to_string(*ratio));
    const std::int64_t last = terms.back();
    std::int64_t step = writer.line(subtract(last, terms[terms.size() - 2]));
    if (*ratio != 1) step = writer.line(multiply(step, *ratio));
    if (!is_operand(step)) return unreadable(item, "smaller numbers");
    return finish(writer, writer.line(add(last, step)));
  }
  writer.append("no");
  std::array<Derived, kRecurrences.size()> lists;
  for (std::size_t i = 0; i < kRecurrences.size(); ++i) {
    const Recurrence& recurrence = kRecurrences[i];
    const auto source = std::find_if(kRecurrences.begin(), kRecurrences.end(),
                                     [&recurrence](const Recurrence& r) { return r.name == recurrence.from; });
    const Derived& from =
        source == kRecurrences.end() ? differences : lists[static_cast<std::size_t>(source - kRecurrences.begin())];
    if (!try_recurrence(recurrence, terms, from, &lists[i], &writer)) continue;
    const std::int64_t constant = *std::max_element(lists[i].values.begin(), lists[i].values.end());
    if (!is_operand(constant)) return unreadable(item, "smaller numbers");
    return finish(writer, next_term(recurrence, terms, constant, &writer));
  }
  const auto rule = item.meta["rule"].get<std::string>();
  writer.line(rule);
  const auto value = apply_sequence_rule(rule, terms, &writer);
  if (!value) return unreadable(item, "a rule of known words in meta.rule");
  return finish(writer, *value);
}

}  // namespace hadal::steps
