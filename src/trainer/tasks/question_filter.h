// Which questions must not be trained on, by a hash of what they ask.
//
// What is asked, not how: gcd(84, 98) and gcd(98, 84) are one question, as are the same equation with another letter
// or the same fraction in another notation. The list (recipes/data/held_out.txt, 64-bit hashes in hexadecimal, one a
// line, # for comments) holds every question of the development files and, for prime_factorization and lcm, every
// question that is in no training file either, since those may be asked elsewhere.
// Threads: immutable after load().
#pragma once

#include <cstdint>
#include <string>
#include <unordered_set>

#include "base/result.h"
#include "trainer/tasks/task_item.h"

namespace hadal {

// What `item` asks, in a form that its other wordings share: "gcd|84,98".
std::string question_key(const TaskItem& item);

class QuestionFilter {
 public:
  QuestionFilter() = default;                                   // holds nothing out
  static Result<QuestionFilter> load(const std::string& path);  // a list without hashes is an error
  void add(const TaskItem& item);
  bool is_held_out(const TaskItem& item) const;
  std::size_t size() const { return hashes_.size(); }

 private:
  std::unordered_set<std::uint64_t> hashes_;
};

}  // namespace hadal
