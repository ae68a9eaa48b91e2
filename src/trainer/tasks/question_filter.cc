#include "trainer/tasks/question_filter.h"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <vector>

#include "base/hash.h"
#include "trainer/tasks/steps_writer.h"

namespace hadal {
namespace {

using nlohmann::json;

const json& meta_field(const TaskItem& item, const char* name) {
  static const json kNone;
  return item.meta.is_object() && item.meta.contains(name) ? item.meta[name] : kNone;
}

// The elements of a list in sorted order: "9,30,45".
std::string sorted_elements(const json& list) {
  std::vector<std::string> elements;
  for (const json& element : list) elements.push_back(element.dump());
  std::sort(elements.begin(), elements.end());
  std::string text;
  for (const std::string& element : elements) text += (text.empty() ? "" : ",") + element;
  return text;
}

std::string without_variable(std::string equation, const std::string& variable) {
  for (std::size_t at = equation.find(variable); !variable.empty() && at != std::string::npos;
       at = equation.find(variable, at + 1)) {
    equation.replace(at, variable.size(), "?");
  }
  return equation;
}

}  // namespace

std::string question_key(const TaskItem& item) {
  const std::string& task = item.task;
  std::string asked = item.question;  // of an item without the fields of its task too
  const json& numbers = meta_field(item, "numbers");
  const auto has = [&item](const char* field) { return !meta_field(item, field).is_null(); };
  if ((task == "gcd" || task == "lcm") && has("numbers")) {
    asked = sorted_elements(numbers);
  } else if (task == "countdown" && has("numbers")) {
    asked = sorted_elements(numbers) + "=" + meta_field(item, "target").dump();
  } else if ((task == "chain_sum" || task == "basic_arithmetic" || task == "products") && has("expression")) {
    asked = meta_field(item, "expression").dump();
  } else if (task == "prime_factorization" && has("number")) {
    asked = meta_field(item, "number").dump();
  } else if (task == "fraction_simplification" && has("numerator")) {
    asked = meta_field(item, "numerator").dump() + "/" + meta_field(item, "denominator").dump();
  } else if (task == "simple_equations" && meta_field(item, "equation").is_string() &&
             meta_field(item, "variable").is_string()) {
    asked = without_variable(item.meta["equation"].get<std::string>(), item.meta["variable"].get<std::string>());
  } else if (task == "number_sorting" && has("original_numbers")) {
    asked = sorted_elements(meta_field(item, "original_numbers"));
  } else if (task == "simple_geometry" && has("known_angles")) {
    asked = sorted_elements(meta_field(item, "known_angles"));
  } else if (task == "time_intervals") {
    asked.clear();
    for (const std::int64_t number : steps::integers_in(item.question)) asked += std::to_string(number) + ":";
  }
  return task + "|" + asked;
}

Result<QuestionFilter> QuestionFilter::load(const std::string& path) {
  std::ifstream file(path);
  if (!file) return Error{ErrorKind::not_found, path + ": expected a list of held-out questions, found no such file"};
  QuestionFilter filter;
  std::string line;
  for (int number = 1; std::getline(file, line); ++number) {
    if (line.empty() || line.front() == '#') continue;
    std::uint64_t hash = 0;
    const auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), hash, 16);
    if (error != std::errc() || end != line.data() + line.size()) {
      return Error{ErrorKind::invalid, path + ":" + std::to_string(number) +
                                           ": expected a hash of 16 hexadecimal digits, found \"" + line.substr(0, 40) +
                                           "\""};
    }
    filter.hashes_.insert(hash);
  }
  if (filter.size() == 0)  // a directory reads like that too
    return Error{ErrorKind::invalid, path + ": expected hashes of held-out questions, found none"};
  return filter;
}

void QuestionFilter::add(const TaskItem& item) {
  hashes_.insert(fnv1a(question_key(item)));
}

bool QuestionFilter::is_held_out(const TaskItem& item) const {
  return hashes_.contains(fnv1a(question_key(item)));
}

}  // namespace hadal
