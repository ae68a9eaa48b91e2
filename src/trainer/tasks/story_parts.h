// Wordings of word problems put together from parts: facts in any order, a question after or before them.
//
// Each story has, in each language, a few facts that stand for themselves and a question, each said in several ways;
// how sentences are joined and what may be told beside them belongs to the language. Some thousand wordings a story
// come of a few dozen sentences, so that a model cannot know them by heart (recipes/data/story_parts.json).
// Threads: immutable after load(); an Rng belongs to one thread.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/rng.h"

namespace hadal {

class StoryParts {
 public:
  static Result<StoryParts> load(const std::string& path);
  static Result<StoryParts> parse(std::string_view json_text, std::string_view where);

  bool has(std::string_view story, std::string_view lang) const;
  // The sentences of one wording in their order, with slots ({a}, {name1}, {obj1}) to be filled and a mark before each
  // letter that must be a capital or must not; finish_wording() reads them. Of a story that has().
  std::string wording(std::string_view story, std::string_view lang, Rng& rng) const;

  // `wording` behind a sentence that does not matter, where the language has such.
  std::string behind_an_aside(std::string wording, std::string_view lang, Rng& rng) const;

  // Every fact and question of a story, for checks: facts()[i] are the ways to say fact i, the last ones the questions.
  std::vector<std::vector<std::string>> sentences(std::string_view story, std::string_view lang) const;

 private:
  struct Story {
    std::vector<std::vector<std::string>> facts;
    std::vector<std::string> questions;
  };
  struct Language {
    std::string stop;                 // "." and "。" after a fact
    std::string blank;                // between sentences
    std::vector<std::string> joints;  // between the facts of one sentence: ", and "
    std::vector<std::string> frames;  // of one sentence: "If {facts}, {question}"
    std::vector<std::string> asides;  // sentences that do not matter; {n} is some number
  };
  template <class T>
  using ByName = std::map<std::string, T, std::less<>>;

  std::string sentence_after_sentence(const Story& story, const Language& language, Rng& rng) const;

  ByName<Language> languages_;
  ByName<ByName<Story>> stories_;  // by id, then by language
};

// The filled wording with its marks carried out.
std::string finish_wording(std::string_view filled);

}  // namespace hadal
