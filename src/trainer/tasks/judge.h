// Whether an answer to a task is right: the reward rules of all 21 kinds of task.
//
// One rule a task, byte by byte as shared/tasks/README.md states them; `eval` and
// reinforcement learning use this same function. It judges strings only: it asks no
// model and gives no partial credit. An answer is hostile input (megabytes, deep
// parentheses, exponents of nine digits): every rule runs in time linear in its
// length, n log n at most, and recurses nowhere.
// Threads: pure functions, any thread.
#pragma once

#include <optional>
#include <string_view>

#include <nlohmann/json.hpp>

#include "base/result.h"

namespace hadal {

enum class JudgeRule {
  exact,         // E: byte for byte
  number,        // N: equal as exact decimals, commas removed
  caseless,      // C: equal in lower case
  primes,        // the same factors in any order, joined by U+00D7
  fraction,      // n/d or \frac{n}{d}, reduced
  first_number,  // the first number of the text
  sorted_list,   // a JSON array in order
  any_solution,  // an expression of the given numbers that reaches the target
  duration,      // h:m[:s[.ms]]
  roles,         // who is a knight and who a knave
};

// The rule of a task of the README's table, or nothing for an unknown name.
std::optional<JudgeRule> judge_rule(std::string_view task);

// Whether `given` is a right answer. `answer` is the file's right answer, `meta` the file's `meta` (or null for the
// tasks that need none). An error means that the item is broken (unknown task, `meta` without a needed field, an
// `answer` that its own rule cannot read), never that the answer is wrong.
Result<bool> judge(std::string_view task, std::string_view given, std::string_view answer, const nlohmann::json& meta);

// Whether judge() can judge answers to an item of a known task; the error begins with `where` ("gcd.jsonl:12").
Status check_judged(std::string_view task, std::string_view answer, const nlohmann::json& meta, std::string_view where);

}  // namespace hadal
