// Word problems drawn from templates.json, in eight languages.
//
// The values of a problem decide by a hash whether it may be trained on: h mod 10 from 0 to 7 is training, 8 is the
// development set, 9 is nobody's here. make() draws training problems only.
// Threads: immutable after load(); make() may be called from any thread, each with its own Rng.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/rng.h"
#include "trainer/tasks/story_parts.h"
#include "trainer/tasks/task_item.h"

namespace hadal {

// h mod 10, h the fnv1a() of a template's drawn values in their declared order: "buy_total|12,3" is 8.
int story_split(std::string_view template_id, const std::vector<std::int64_t>& values);
constexpr int kTrainingSplits = 8;  // 0 to 7

// An expression of integers, names, + - * / %, comparisons and parentheses with C's precedence, as templates use them.
Result<std::int64_t> evaluate_template_expression(std::string_view text,
                                                  const std::map<std::string, std::int64_t, std::less<>>& values);

class StoryTemplates {
 public:
  static Result<StoryTemplates> load(const std::string& path);
  static Result<StoryTemplates> parse(std::string_view json_text, std::string_view where);

  // Every other wording then comes from parts, where a story has them in the language that is asked for.
  void add_parts(StoryParts parts) { parts_ = std::move(parts); }

  const std::vector<std::string>& languages() const { return languages_; }
  std::size_t size() const { return templates_.size(); }

  // A training problem of a template drawn uniformly; `lang` is one of languages(). The item has steps, no meta.
  Result<TaskItem> make(std::string_view lang, Rng& rng) const;

 private:
  struct Variable {
    std::string name;
    std::int64_t min, max, step;
  };
  struct Template {
    std::string id;
    std::vector<Variable> variables;
    std::vector<std::pair<std::string, std::string>> derived;  // name, expression
    std::vector<std::string> constraints;
    std::vector<std::string> steps;
    std::map<std::string, std::vector<std::string>, std::less<>> text;  // by language
  };
  using Word = std::map<std::string, std::string, std::less<>>;  // form -> text
  using Words = std::map<std::string, std::vector<Word>, std::less<>>;

  Result<std::map<std::string, std::int64_t, std::less<>>> draw_values(const Template& story, Rng& rng) const;
  Result<std::string> fill(std::string_view text, std::string_view lang,
                           const std::map<std::string, std::int64_t, std::less<>>& values, Rng& rng) const;

  std::vector<std::string> languages_;
  std::vector<Template> templates_;
  Words names_;
  Words objects_;
  StoryParts parts_;
};

}  // namespace hadal
