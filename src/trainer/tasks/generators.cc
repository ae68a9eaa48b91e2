// make_task() and the generators whose questions are numbers. The wording is the files', byte for byte.
#include "trainer/tasks/generators.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <fstream>
#include <numeric>
#include <utility>

#include "trainer/tasks/generators_parts.h"
#include "trainer/tasks/steps_writer.h"

namespace hadal {
namespace generating {

using nlohmann::json;

TaskItem item_of(std::string question, std::string answer, json meta) {
  TaskItem item;
  item.question = std::move(question);
  item.answer = std::move(answer);
  item.meta = std::move(meta);
  return item;
}

std::string clock_text(std::int64_t n) {
  return (n < 10 ? "0" : "") + std::to_string(n);
}

namespace {

std::int64_t with_digits(std::int64_t digits, Rng& rng) {
  std::int64_t low = 1;
  for (std::int64_t i = 1; i < digits; ++i) low *= 10;
  return rng.next_in(digits == 1 ? 0 : low, low * 10 - 1);
}

}  // namespace

TaskItem make_chain_sum(Rng& rng) {
  const std::int64_t terms = rng.next_in(2, 6);
  const std::int64_t digits = rng.next_in(1, 4);
  std::string expression;
  std::int64_t value = 0;
  for (std::int64_t i = 0; i < terms; ++i) {
    const bool plus = i == 0 || rng.next_below(2) == 0;
    if (i > 0) expression += plus ? " + " : " - ";
    const std::int64_t term = with_digits(digits, rng);
    expression += std::to_string(term);
    value += plus ? term : -term;
  }
  return item_of("State the final answer to the following arithmetic problem: " + expression + " =",
                 std::to_string(value), {{"expression", expression}});
}

// Two to four signed terms; now and then a part of them in parentheses, with or without a minus before. Drawn until its
// steps can be worked: every quotient, from the left, is whole.
TaskItem make_basic_arithmetic(Rng& rng) {
  constexpr std::array<const char*, 4> kOperators = {" + ", " - ", " * ", " / "};
  for (;;) {
    const std::int64_t terms = rng.next_in(2, 4);
    const std::int64_t digits = rng.next_in(1, 2);
    const bool parentheses = rng.next_below(5) < 2;
    const std::int64_t open = parentheses ? rng.next_in(0, terms - 1) : -1;
    const std::int64_t close = parentheses ? rng.next_in(open, terms - 1) : -1;
    std::string expression;
    for (std::int64_t i = 0; i < terms; ++i) {
      if (i > 0) expression += kOperators[rng.next_below(4)];
      if (i == open) expression += rng.next_below(2) == 0 ? "( " : "-( ";
      expression += (rng.next_below(3) == 0 ? "-" : "") + std::to_string(with_digits(digits, rng));
      if (i == close) expression += " )";
    }
    TaskItem item = item_of("Calculate " + expression + ".", "", {{"expression", expression}});
    const auto worked = steps::work_basic_arithmetic(item);
    if (!worked.ok()) continue;
    item.answer = worked->answer;
    return item;
  }
}

TaskItem make_products(Rng& rng) {
  const std::int64_t digits = rng.next_in(1, 3);
  const std::int64_t a = with_digits(digits, rng);
  const std::int64_t b = with_digits(digits, rng);
  const std::string expression = std::to_string(a) + " * " + std::to_string(b);
  return item_of("Solve the following multiplication: " + expression + ". Give only the result as your final answer.",
                 std::to_string(a * b), {{"expression", expression}});
}

TaskItem make_gcd(Rng& rng) {
  const std::int64_t a = rng.next_in(1, 1000);
  const std::int64_t b = rng.next_in(1, 1000);
  return item_of("Find the Greatest Common Divisor (GCD) of these numbers: " + std::to_string(a) + ", " +
                     std::to_string(b) + ". Give only the GCD as your final answer.",
                 std::to_string(std::gcd(a, b)), {{"numbers", {a, b}}});
}

TaskItem make_lcm(Rng& rng) {
  const std::int64_t a = rng.next_in(1, 100);
  const std::int64_t b = rng.next_in(1, 100);
  return item_of(
      "Find the Least Common Multiple (LCM) of these numbers: " + std::to_string(a) + ", " + std::to_string(b),
      std::to_string(std::lcm(a, b)), {{"numbers", {a, b}}});
}

TaskItem make_prime_factorization(Rng& rng) {
  const std::int64_t number = rng.next_in(2, 5000);
  std::string answer;
  std::int64_t rest = number;
  for (std::int64_t p = 2; rest > 1; ++p) {
    for (; rest % p == 0; rest /= p) answer += (answer.empty() ? "" : " × ") + std::to_string(p);
  }
  return item_of("Find the prime factorization of " + std::to_string(number) +
                     ". Write the factors separated by × (Example: for 12 the answer would be: 2 × 2 × 3)",
                 answer, {{"number", number}});
}

TaskItem make_fraction_simplification(Rng& rng) {
  std::int64_t top = 0;
  std::int64_t bottom = 0;
  do {
    top = rng.next_in(1, 100);
    bottom = rng.next_in(1, 100);
  } while (top >= bottom || std::gcd(top, bottom) != 1);
  const std::int64_t factor = rng.next_in(1, 20);
  const std::uint64_t notation = rng.next_below(4);
  const auto write = [notation](std::int64_t n, std::int64_t d) {
    const std::string ns = std::to_string(n);
    const std::string ds = std::to_string(d);
    if (notation == 0) return ns + "/" + ds;
    if (notation == 1) return "$" + ns + "/" + ds + "$";
    return std::string(notation == 2 ? "$\\frac{" : "$\\dfrac{") + ns + "}{" + ds + "}$";
  };
  return item_of("Simplify the fraction " + write(top * factor, bottom * factor) +
                     " to its lowest terms. Give only the simplified fraction as your final answer.",
                 write(top, bottom),
                 {{"numerator", top * factor},
                  {"denominator", bottom * factor},
                  {"simplified_numerator", top},
                  {"simplified_denominator", bottom}});
}

TaskItem make_simple_equations(Rng& rng) {
  constexpr std::array<const char*, 3> kWordings = {
      "Solve for %: ", "Determine the value of % that satisfies: ", "Find the value of % in the equation: "};
  const std::string variable(1, static_cast<char>('a' + rng.next_below(26)));
  const std::int64_t x = rng.next_in(1, 50);
  const std::int64_t a = rng.next_in(2, 50);
  const std::int64_t b = rng.next_in(1, 50);
  const std::uint64_t form = rng.next_below(20);
  const std::string term = std::to_string(a) + "*" + variable;
  std::string equation;
  if (form < 8) {
    equation = term + " + " + std::to_string(b) + " = " + std::to_string(a * x + b);
  } else if (form < 13) {
    equation = term + " - " + std::to_string(b) + " = " + std::to_string(a * x - b);
  } else if (form < 17) {
    equation = std::to_string(b) + " - " + term + " = " + std::to_string(b - a * x);
  } else {
    const std::int64_t factor = a * rng.next_in(1, 50);
    equation = std::to_string(factor) + "*" + variable + " = " + std::to_string(factor * x);
  }
  std::string question = kWordings[rng.next_below(3)];
  question.replace(question.find('%'), 1, variable);
  return item_of(question + equation, std::to_string(x), {{"equation", equation}, {"variable", variable}});
}

TaskItem make_leg_counting(Rng& rng) {
  struct Animal {
    const char* name;
    int legs;
  };
  constexpr std::array<Animal, 37> kAnimals = {{
      {"cricket", 6},   {"tiger", 4},     {"praying mantis", 6}, {"bird", 2},
      {"duck", 2},      {"giraffe", 4},   {"snake", 0},          {"beetle", 6},
      {"flatworm", 0},  {"starfish", 5},  {"lion", 4},           {"jellyfish", 0},
      {"deer", 4},      {"cockroach", 6}, {"grasshopper", 6},    {"firefly", 6},
      {"butterfly", 6}, {"spider", 8},    {"wasp", 6},           {"insect", 6},
      {"sheep", 4},     {"dog", 4},       {"elephant", 4},       {"crab", 10},
      {"lobster", 10},  {"leech", 0},     {"scorpion", 8},       {"woodlouse", 14},
      {"sea slug", 0},  {"cow", 4},       {"horse", 4},          {"bee", 6},
      {"ant", 6},       {"shrimp", 10},   {"chicken", 2},        {"human", 2},
      {"cat", 4},
  }};
  const auto count = static_cast<std::size_t>(rng.next_in(3, 6));
  std::vector<std::size_t> chosen;
  while (chosen.size() < count) {
    const auto i = static_cast<std::size_t>(rng.next_below(kAnimals.size()));
    if (std::find(chosen.begin(), chosen.end(), i) == chosen.end()) chosen.push_back(i);
  }
  std::string list;
  json animals;
  json legs;
  std::int64_t total = 0;
  for (const std::size_t i : chosen) {
    const std::int64_t n = rng.next_in(1, 15);
    list += (list.empty() ? "" : ", ") + std::to_string(n) + " " + kAnimals[i].name + (n == 1 ? "" : "s");
    animals[kAnimals[i].name] = n;
    legs[kAnimals[i].name] = kAnimals[i].legs;
    total += n * kAnimals[i].legs;
  }
  return item_of(
      "Your task is to count how many legs there are in total when given a list of animals.\n\nNow, how many legs are "
      "there in total if you have " +
          list + "?\n",
      std::to_string(total), {{"animals", animals}, {"legs", legs}});
}

// The files' sequences start between -10 and 10 and are nearly all that there are; these start beyond.
TaskItem make_number_sequence(Rng& rng) {
  constexpr std::array<const char*, 5> kWords = {"add ", "multiply by ", "double", "halve", "add previous"};
  for (;;) {
    std::string rule;
    const std::uint64_t words = 1 + rng.next_below(2);
    for (std::uint64_t i = 0; i < words; ++i) {
      const std::uint64_t draw = rng.next_below(12);
      const std::size_t word = draw < 5 ? 0 : draw == 5 ? 1 : draw < 8 ? 2 : draw < 10 ? 3 : 4;
      rule += (i == 0 ? "" : " then ") + std::string(kWords[word]);
      if (word == 0) rule += std::to_string(rng.next_below(2) == 0 ? rng.next_in(1, 10) : rng.next_in(-10, -1));
      if (word == 1) rule += std::to_string(rng.next_in(2, 3));
    }
    std::vector<std::int64_t> terms = {rng.next_below(2) == 0 ? rng.next_in(11, 30) : rng.next_in(-30, -11)};
    const std::int64_t length = rng.next_in(4, 8);
    bool small = true;
    std::string shown;
    for (std::int64_t i = 0; small && i < length; ++i) {
      shown += std::to_string(terms.back()) + ", ";
      const std::int64_t previous = terms.size() > 1 ? terms[terms.size() - 2] : 0;
      steps::StepsWriter unread;
      const auto next = steps::apply_sequence_rule(rule, {previous, terms.back()}, &unread);
      small = next && std::abs(*next) <= 1000;
      if (small) terms.push_back(*next);
    }
    if (small) return item_of(shown + "?", std::to_string(terms.back()), {{"rule", rule}});
  }
}

TaskItem make_number_sorting(Rng& rng) {
  const bool ascending = rng.next_below(2) == 0;
  const std::int64_t count = rng.next_in(3, 8);
  std::vector<std::int64_t> tenths;
  std::string list;
  json original;
  const auto write = [](std::int64_t t) {
    return (t < 0 ? "-" : "") + std::to_string(std::abs(t) / 10) + "." + std::to_string(std::abs(t) % 10);
  };
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int64_t whole = rng.next_in(-100, 99);
    tenths.push_back(whole * 10 + (rng.next_below(2) == 0 ? 0 : rng.next_in(0, 9)));
    list += (list.empty() ? "" : ", ") + write(tenths.back());
    original.push_back(write(tenths.back()));
  }
  std::sort(tenths.begin(), tenths.end());
  if (!ascending) std::reverse(tenths.begin(), tenths.end());
  std::string answer;
  for (const std::int64_t t : tenths) answer += (answer.empty() ? "['" : "', '") + write(t);
  const std::string direction = ascending ? "ascending" : "descending";
  return item_of(
      "Sort these numbers in " + direction + " order: " + list +
          "\nPlease follow the instruction below:\n## 1. Let all your answers be a list of numbers. Instead of "
          "reporting your answer as -69, -13, 1, 7, 11, 43, 59, 61, use ['-69', '-13', '1', '7', '11', '43', "
          "'59', '61'] instead\n## 2. Convert all numbers in the square brackets as strings. For example, "
          "['-69', '-13', '1', '7', '11', '43', '59', '61']\n",
      answer + "']", {{"direction", direction}, {"original_numbers", original}});
}

TaskItem make_base_conversion(Rng& rng) {
  const std::int64_t value = rng.next_in(1, 1000);
  const std::int64_t from = rng.next_in(2, 16);
  std::int64_t to = rng.next_in(2, 15);
  if (to >= from) ++to;
  const auto digits = [](std::int64_t n, std::int64_t base) {
    std::string text;
    for (; n > 0; n /= base) text.insert(text.begin(), "0123456789abcdef"[n % base]);
    return text;
  };
  const auto name = [](std::int64_t base) {
    return base == 2 ? std::string("binary") : base == 16 ? std::string("hexadecimal") : "base-" + std::to_string(base);
  };
  return item_of(
      "Your task is to convert a number between two different bases.\n\nIf the target base is > 10, use lowercase "
      "letters a-z for digits above 9.\n\nNow, convert the " +
          name(from) + " number " + digits(value, from) + " to " + name(to) + "\n",
      digits(value, to), {{"source_repr", digits(value, from)}, {"decimal_value", value}});
}

}  // namespace generating

std::span<const std::string_view> generated_tasks() {
  static constexpr std::array<std::string_view, 18> kTasks = {"chain_sum",
                                                              "basic_arithmetic",
                                                              "products",
                                                              "gcd",
                                                              "lcm",
                                                              "prime_factorization",
                                                              "fraction_simplification",
                                                              "simple_equations",
                                                              "leg_counting",
                                                              "number_sequence",
                                                              "number_sorting",
                                                              "base_conversion",
                                                              "countdown",
                                                              "simple_geometry",
                                                              "time_intervals",
                                                              "family_relationships",
                                                              "letter_counting",
                                                              "spell_backward"};
  return kTasks;
}

Result<std::vector<std::string>> load_words(const std::string& path) {
  std::ifstream file(path);
  if (!file) return Error{ErrorKind::not_found, path + ": expected a list of words, found no such file"};
  std::vector<std::string> words;
  for (std::string line; std::getline(file, line);) {
    if (!line.empty()) words.push_back(line);
  }
  if (words.empty()) return Error{ErrorKind::invalid, path + ": expected a word a line, found none"};
  return words;
}

Result<TaskItem> make_task(std::string_view task, std::span<const std::string> words, Rng& rng) {
  using namespace generating;
  using Make = TaskItem (*)(Rng&);
  static constexpr std::array<std::pair<std::string_view, Make>, 16> kMakers = {{
      {"chain_sum", make_chain_sum},
      {"basic_arithmetic", make_basic_arithmetic},
      {"products", make_products},
      {"gcd", make_gcd},
      {"lcm", make_lcm},
      {"prime_factorization", make_prime_factorization},
      {"fraction_simplification", make_fraction_simplification},
      {"simple_equations", make_simple_equations},
      {"leg_counting", make_leg_counting},
      {"number_sequence", make_number_sequence},
      {"number_sorting", make_number_sorting},
      {"base_conversion", make_base_conversion},
      {"countdown", make_countdown},
      {"simple_geometry", make_simple_geometry},
      {"time_intervals", make_time_intervals},
      {"family_relationships", make_family_relationships},
  }};
  TaskItem item;
  const auto maker = std::find_if(kMakers.begin(), kMakers.end(), [task](const auto& m) { return m.first == task; });
  if (maker != kMakers.end()) {
    item = maker->second(rng);
  } else if (task == "letter_counting" || task == "spell_backward") {
    if (words.empty()) return Error{ErrorKind::invalid, std::string(task) + ": expected a list of words, found none"};
    item = task == "letter_counting" ? make_letter_counting(words, rng) : make_spell_backward(words, rng);
  } else {
    return Error{ErrorKind::unsupported,
                 "generator: expected a task that has one, found \"" + std::string(task.substr(0, 64)) + "\""};
  }
  item.task = task;
  return item;
}

}  // namespace hadal
