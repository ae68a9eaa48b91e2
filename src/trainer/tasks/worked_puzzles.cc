// Worked steps of the tasks about words, order and logic, and of countdown.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <map>
#include <tuple>
#include <utility>

#include "trainer/tasks/judge_rules.h"
#include "trainer/tasks/steps_writer.h"

namespace hadal::steps {
namespace {

std::string joined(const std::vector<std::string>& parts, std::string_view separator) {
  std::string text;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    if (i > 0) text += separator;
    text += parts[i];
  }
  return text;
}

std::vector<std::string> split_at(std::string_view text, std::string_view separator) {
  std::vector<std::string> parts;
  for (;;) {
    const std::size_t at = text.find(separator);
    parts.emplace_back(text.substr(0, at));
    if (at == std::string_view::npos) return parts;
    text.remove_prefix(at + separator.size());
  }
}

// The characters of UTF-8 text.
std::vector<std::string> characters(std::string_view text) {
  std::vector<std::string> all;
  for (const char c : text) {
    const bool continues = (static_cast<unsigned char>(c) & 0xC0) == 0x80;
    if (continues && !all.empty()) {
      all.back() += c;
    } else {
      all.emplace_back(1, c);
    }
  }
  return all;
}

// With a space before each letter, the first too, so that a letter is the same token everywhere.
std::string spelled(const std::vector<std::string>& letters) {
  std::string text;
  for (const std::string& letter : letters) text += " " + letter;
  return text;
}

}  // namespace

// ---- countdown ---------------------------------------------------------------------------------------------------

namespace {
struct Countdown {
  std::vector<std::int64_t> numbers;
  std::int64_t target = 0;
};

// "34 + 18 - 37": the numbers at `minus` (indices) subtracted, the others added.
std::string signed_sum(const std::vector<std::int64_t>& numbers, const std::vector<std::size_t>& minus) {
  std::string plus_text;
  std::string minus_text;
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    if (std::find(minus.begin(), minus.end(), i) != minus.end()) {
      minus_text += " - " + std::to_string(numbers[i]);
    } else {
      plus_text += (plus_text.empty() ? "" : " + ") + std::to_string(numbers[i]);
    }
  }
  return plus_text + minus_text;
}

// Which numbers must be subtracted for + and - alone to reach the target: they sum to half of what the sum of all is
// too much. That half is looked for among the numbers, then (with the target) as the one number that stays positive,
// then as the sum of two.
std::optional<std::vector<std::size_t>> find_subtracted(const Countdown& game, StepsWriter* writer) {
  const std::vector<std::int64_t>& numbers = game.numbers;
  std::int64_t total = numbers.front();
  for (std::size_t i = 1; i < numbers.size(); ++i) total = writer->line(add(total, numbers[i]));
  if (total < game.target) return std::nullopt;
  if (total == game.target) return std::vector<std::size_t>{};
  const std::int64_t excess = writer->line(subtract(total, game.target));
  if (excess % 2 != 0) return std::nullopt;
  const std::int64_t half = writer->append(divide(excess, 2));
  const auto index_of = [&numbers](std::int64_t value, std::size_t from) -> std::optional<std::size_t> {
    for (std::size_t i = from; i < numbers.size(); ++i) {
      if (numbers[i] == value) return i;
    }
    return std::nullopt;
  };
  if (const auto single = index_of(half, 0)) return std::vector{*single};
  const std::int64_t rest = writer->line(add(half, game.target));
  if (const auto kept = index_of(rest, 0)) {
    std::vector<std::size_t> minus;
    for (std::size_t i = 0; i < numbers.size(); ++i) {
      if (i != *kept) minus.push_back(i);
    }
    return minus;
  }
  for (std::size_t i = 0; numbers.size() > 3 && i + 1 < numbers.size(); ++i) {
    if (numbers[i] > half) continue;
    const std::int64_t partner = writer->line(subtract(half, numbers[i]));
    if (const auto second = index_of(partner, i + 1)) return std::vector{i, *second};
  }
  return std::nullopt;
}
}  // namespace

Result<WorkedExample> work_countdown(const TaskItem& item) {
  Countdown game;
  if (!item.meta.is_object() || !item.meta.contains("numbers") || !item.meta["numbers"].is_array() ||
      !item.meta.contains("target") || !item.meta["target"].is_number_integer()) {
    return unreadable(item, "meta.numbers and meta.target");
  }
  game.target = item.meta["target"].get<std::int64_t>();
  for (const nlohmann::json& number : item.meta["numbers"]) {
    if (!number.is_number_integer() || std::abs(number.get<double>()) > 1e6)
      return unreadable(item, "whole meta.numbers");
    game.numbers.push_back(number.get<std::int64_t>());
  }
  if (game.numbers.size() < 2 || game.numbers.size() > 100 || !is_operand(game.target)) {
    return unreadable(item, "two numbers or more");
  }
  StepsWriter writer;
  if (const auto minus = find_subtracted(game, &writer)) {
    std::string taken;
    for (const std::size_t i : *minus) taken += "-" + std::to_string(game.numbers[i]);
    if (!taken.empty()) writer.line(taken);
    return WorkedExample{writer.text(), signed_sum(game.numbers, *minus)};
  }
  // A product or a quotient is needed: a solution is named, and its value worked out as the check.
  writer.line("no");
  const auto tokens = tokenize_expression(item.answer);
  StepsWriter check = writer;
  const std::optional<double> value = tokens ? evaluate_in_steps(*tokens, &check) : std::nullopt;
  if (!value || *value != static_cast<double>(game.target))
    return unreadable(item, "an answer that reaches the target");
  return WorkedExample{check.text(), item.answer};
}

// ---- sorting and letters -----------------------------------------------------------------------------------------

Result<WorkedExample> work_number_sorting(const TaskItem& item) {
  const auto list = between(item.question, " order: ", "\n");
  if (!list) return unreadable(item, "\"Sort these numbers in .. order: ..\"");
  const bool ascending = item.question.starts_with("Sort these numbers in ascending");
  const std::vector<std::string> given = split_at(*list, ", ");
  std::vector<std::string> numbers = given;
  const auto less = [](const std::string& x, const std::string& y) {
    return std::strtod(x.c_str(), nullptr) < std::strtod(y.c_str(), nullptr);
  };
  std::stable_sort(numbers.begin(), numbers.end(),
                   [&](const std::string& x, const std::string& y) { return ascending ? less(x, y) : less(y, x); });
  // The tens of each number, as the question has them and then in order: few short keys to sort. In the answer each
  // key's number is found by its own beginning.
  StepsWriter writer;
  const auto tens_of = [](const std::string& number) {
    const auto tens = static_cast<int>(std::abs(std::strtod(number.c_str(), nullptr)) / 10);
    return (number.starts_with('-') ? "-" : "+") + std::to_string(tens);
  };
  const auto write_tens = [&](const std::vector<std::string>& order) {
    std::string line;
    for (const std::string& number : order) line += (line.empty() ? "" : " ") + tens_of(number);
    writer.line(line);
  };
  write_tens(given);
  write_tens(numbers);
  return WorkedExample{writer.text(), "['" + joined(numbers, "', '") + "']"};
}

// A line a word: the letter that is looked for, so that it is not forgotten, the word as the question has it, its
// letters with the count so far behind each hit, the count.
Result<WorkedExample> work_letter_counting(const TaskItem& item) {
  const auto letter = between(item.question, "letter \"", "\"");
  const auto text = between(item.question, "in the text: \"", "\"?");
  if (!letter || !text) return unreadable(item, "\"How many times does the letter .. appear in the text: ..\"");
  StepsWriter writer;
  int count = 0;
  for (const std::string& word : split_at(*text, " ")) {
    if (word.empty()) continue;
    std::vector<std::string> letters = characters(judging::ascii_lower(word));
    for (std::string& one : letters)
      if (one == *letter) one += std::to_string(++count);
    writer.line(" " + std::string(*letter) + " " + word + ":" + spelled(letters) + "=" + std::to_string(count));
  }
  return WorkedExample{writer.text(), std::to_string(count)};
}

Result<WorkedExample> work_spell_backward(const TaskItem& item) {
  const auto word = between(item.question, "nus): ", "");
  if (!word || word->empty()) return unreadable(item, "\"Spell this word backward (example: sun -> nus): ..\"");
  std::vector<std::string> letters = characters(*word);
  StepsWriter writer;
  writer.line(spelled(letters));
  std::reverse(letters.begin(), letters.end());
  writer.line(spelled(letters));
  return WorkedExample{writer.text(), joined(letters, ""), /*answer_by_letters=*/true};
}

// ---- family ------------------------------------------------------------------------------------------------------

namespace {
struct Couple {
  std::string husband, wife;
  std::vector<std::string> children;
  bool has(const std::string& person) const { return person == husband || person == wife; }
  const std::string& spouse_of(const std::string& person) const { return person == husband ? wife : husband; }
  bool has_child(const std::string& person) const {
    return std::find(children.begin(), children.end(), person) != children.end();
  }
};

std::optional<std::vector<Couple>> read_family(std::string_view text) {
  std::vector<Couple> couples;
  for (std::string sentence : split_at(text, ". ")) {
    while (!sentence.empty() && (sentence.back() == '.' || sentence.back() == '\n')) sentence.pop_back();
    if (const auto names = split_at(sentence, " is married to "); names.size() == 2) {
      couples.push_back({names[0], names[1], {}});
    } else if (const auto children = between(sentence, " called ", ""); children && !couples.empty()) {
      for (const std::string& part : split_at(*children, " and ")) {
        for (const std::string& child : split_at(part, ", ")) couples.back().children.push_back(child);
      }
    } else {
      return std::nullopt;
    }
  }
  return couples;
}

const Couple* parents_of(const std::vector<Couple>& couples, const std::string& person) {
  for (const Couple& couple : couples) {
    if (couple.has_child(person)) return &couple;
  }
  return nullptr;
}

// What `one` is to `other`, looked for in a fixed order: spouse, the parents of both, the parents of those. Each line
// is one look into the family, and the first that shows the relation is the last.
std::optional<std::string> find_relation(const std::vector<Couple>& couples, const std::string& one,
                                         const std::string& other, StepsWriter* writer) {
  const auto look_up = [&](const std::string& person) {
    const Couple* parents = parents_of(couples, person);
    writer->line(" " + person + " < " + (parents == nullptr ? "?" : parents->husband + " + " + parents->wife));
    return parents;
  };
  const auto married = std::find_if(couples.begin(), couples.end(), [&one](const Couple& c) { return c.has(one); });
  writer->line(" " + one + " + " + (married == couples.end() ? "?" : married->spouse_of(one)));
  if (married != couples.end() && married->has(other)) return "spouse";
  const Couple* ones = look_up(one);
  if (ones != nullptr && ones->has(other)) return "child";
  const Couple* others = look_up(other);
  if (others != nullptr && others->has(one)) return "parent";
  if (ones != nullptr && ones == others) return "sibling";
  for (const auto& [middle, elder, relation] :
       {std::tuple{ones, &other, "grandchild"}, std::tuple{others, &one, "grandparent"}}) {
    if (middle == nullptr) continue;
    for (const std::string& person : {middle->husband, middle->wife}) {
      const Couple* found = look_up(person);
      if (found != nullptr && found->has(*elder)) return relation;
    }
  }
  return std::nullopt;
}
}  // namespace

// The family: a couple a line, "A + B + A", so that each of both is followed by the other, and a line for each child
// with its parents behind it; then the looks of find_relation(), each of which repeats what followed that name before;
// then relation and sex. Each name opens with a blank, as inside the question: it is then the same token, and copying
// it is one step.
Result<WorkedExample> work_family_relationships(const TaskItem& item) {
  const std::size_t blank = item.question.find("\n\n");
  const auto couples = read_family(std::string_view(item.question).substr(0, blank));
  constexpr std::size_t kMaxCouples = 32;  // the search tries pairs of them
  if (blank == std::string::npos || !couples || couples->size() > kMaxCouples || !item.meta.is_object() ||
      !item.meta.contains("person1") || !item.meta.contains("person2") || !item.meta["person1"].is_string() ||
      !item.meta["person2"].is_string()) {
    return unreadable(item, "couples, children, meta.person1 and meta.person2");
  }
  const auto one = item.meta["person1"].get<std::string>();
  constexpr std::array<std::string_view, 6> kMale = {"father", "husband", "son", "brother", "grandfather", "grandson"};
  const bool male = std::find(kMale.begin(), kMale.end(), item.answer) != kMale.end();
  StepsWriter writer;
  for (const Couple& couple : *couples) {
    const std::string pair = couple.husband + " + " + couple.wife;
    writer.line(" " + pair + " + " + couple.husband);
    for (const std::string& child : couple.children) writer.line(" " + child + " < " + pair);
  }
  const auto relation = find_relation(*couples, one, item.meta["person2"].get<std::string>(), &writer);
  if (!relation) return unreadable(item, "two people who are related");
  writer.line(" " + one + ": " + (male ? "male " : "female ") + *relation);
  return WorkedExample{writer.text(), item.answer};
}

// ---- knights and knaves ------------------------------------------------------------------------------------------

namespace {
// The two people, and what those are called who tell the truth and who lie.
struct Island {
  std::array<std::string, 2> names, roles;
};

// A statement about persons 0 (A) and 1 (B), as the package nests it.
struct Logic {
  std::string text;                   // "A1<->B0": A tells the truth if and only if B lies
  std::string words;                  // "Emma saint<->Samuel sinner": the same in the question's words
  std::array<std::string, 4> worked;  // in each case, "1<->0=0" (or only "1" for a single claim)
  std::array<bool, 4> truth{};        // in each case
};

bool person_truthful(std::size_t which, std::size_t person) {
  return (which & (person == 0 ? 2u : 1u)) == 0;
}

// A claim about one person, with its negations taken in.
std::optional<Logic> read_claim(const nlohmann::json& claim, const Island& island, bool negated, int depth = 0) {
  constexpr int kMaxDepth = 16;
  if (depth > kMaxDepth || !claim.is_array() || claim.size() != 2 || !claim[0].is_string()) return std::nullopt;
  if (claim[0] == "not") return read_claim(claim[1], island, !negated, depth + 1);
  if (!claim[1].is_number_integer() || (claim[0] != "telling-truth" && claim[0] != "lying")) return std::nullopt;
  const auto person = claim[1].get<std::int64_t>();
  if (person != 0 && person != 1) return std::nullopt;
  const bool says_truthful = (claim[0] == "telling-truth") != negated;
  Logic logic;
  logic.text = std::string(person == 0 ? "A" : "B") + (says_truthful ? "1" : "0");
  logic.words = " " + island.names[static_cast<std::size_t>(person)] + " " + island.roles[says_truthful ? 0 : 1];
  for (std::size_t i = 0; i < 4; ++i) {
    logic.truth[i] = person_truthful(i, static_cast<std::size_t>(person)) == says_truthful;
    logic.worked[i] = logic.truth[i] ? "1" : "0";
  }
  return logic;
}

std::optional<Logic> read_logic(const nlohmann::json& statement, const Island& island) {
  if (!statement.is_array() || statement.empty() || !statement[0].is_string()) return std::nullopt;
  const auto op = statement[0].get<std::string>();
  static const std::map<std::string, std::string> kSigns = {{"and", "&"}, {"or", "|"}, {"->", "->"}, {"<=>", "<->"}};
  const auto sign = kSigns.find(op);
  if (sign == kSigns.end()) return read_claim(statement, island, false);
  if (statement.size() != 3) return std::nullopt;
  const auto left = read_claim(statement[1], island, false);
  const auto right = read_claim(statement[2], island, false);
  if (!left || !right) return std::nullopt;
  Logic logic;
  logic.text = left->text + sign->second + right->text;
  logic.words = left->words + " " + sign->second + right->words;
  for (std::size_t i = 0; i < 4; ++i) {
    const bool x = left->truth[i];
    const bool y = right->truth[i];
    logic.truth[i] = op == "and" ? x && y : op == "or" ? x || y : op == "->" ? !x || y : x == y;
    logic.worked[i] = left->worked[i] + sign->second + right->worked[i] + "=" + (logic.truth[i] ? "1" : "0");
  }
  return logic;
}

std::string with_article(const std::string& role) {
  const bool vowel = std::string_view("aeiou").find(role.front()) != std::string_view::npos;
  return (vowel ? "an " : "a ") + role;
}
}  // namespace

// Which letter each person has and which digit each role; the two statements, in words and then in letters; then the
// four cases until one holds: a line has what A says in it, and if that fits what A is, what B says.
Result<WorkedExample> work_knights_knaves(const TaskItem& item) {
  const auto format = between(item.question, "Format your answer like: \"", "\"");
  if (!format || !item.meta.is_object() || !item.meta.contains("names") || !item.meta["names"].is_array() ||
      item.meta["names"].size() != 2 || !item.meta["names"][0].is_string() || !item.meta["names"][1].is_string() ||
      !item.meta.contains("statements") || !item.meta["statements"].is_array() || item.meta["statements"].size() != 2) {
    return unreadable(item, "two meta.names and meta.statements");
  }
  const auto roles = between(*format, " is a ", ",");
  const std::size_t slash = roles ? roles->find('/') : std::string_view::npos;
  if (slash == std::string_view::npos) return unreadable(item, "two roles");
  const Island island = {{item.meta["names"][0].get<std::string>(), item.meta["names"][1].get<std::string>()},
                         {std::string(roles->substr(0, slash)), std::string(roles->substr(slash + 1))}};
  const auto a = read_logic(item.meta["statements"][0], island);
  const auto b = read_logic(item.meta["statements"][1], island);
  if (!a || !b) return unreadable(item, "statements of and, or, ->, <=>");
  StepsWriter writer;
  writer.line(" " + island.names[0] + " A " + island.names[1] + " B " + island.roles[0] + " 1 " + island.roles[1] +
              " 0");
  writer.line("A:" + a->words + ": " + a->text);
  writer.line("B:" + b->words + ": " + b->text);
  for (std::size_t i = 0; i < 4; ++i) {
    const bool a_true = person_truthful(i, 0);
    const bool b_true = person_truthful(i, 1);
    writer.line(std::string("A") + (a_true ? "1" : "0") + " B" + (b_true ? "1" : "0") + ": " + a->worked[i]);
    if (a->truth[i] != a_true) {
      writer.append("no");
      continue;
    }
    writer.append("ok " + b->worked[i]);
    if (b->truth[i] != b_true) {
      writer.append("no");
      continue;
    }
    writer.append("ok");
    return WorkedExample{writer.text(), island.names[0] + " is " + with_article(island.roles[a_true ? 0 : 1]) +
                                            ", and " + island.names[1] + " is " +
                                            with_article(island.roles[b_true ? 0 : 1]) + "."};
  }
  return unreadable(item, "statements that can both hold");
}

}  // namespace hadal::steps
