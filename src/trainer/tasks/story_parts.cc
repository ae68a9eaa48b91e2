#include "trainer/tasks/story_parts.h"

#include <utility>

#include "base/file.h"
#include "base/json.h"
#include "text/letter_case.h"

namespace hadal {
namespace {

constexpr char kCapital = '\x01', kNoCapital = '\x02';  // of the next letter

const std::string& any_of(const std::vector<std::string>& ways, Rng& rng) {
  return ways[rng.next_below(ways.size())];
}

void shuffle(std::vector<std::string>& sentences, Rng& rng) {
  for (std::size_t i = sentences.size(); i > 1; --i) std::swap(sentences[i - 1], sentences[rng.next_below(i)]);
}

void replace(std::string& text, std::string_view slot, const std::string& by) {
  if (const std::size_t at = text.find(slot); at != std::string::npos) text.replace(at, slot.size(), by);
}

}  // namespace

Result<StoryParts> StoryParts::load(const std::string& path) {
  HADAL_ASSIGN(const std::string text, read_text_file(path));
  return parse(text, path);
}

Result<StoryParts> StoryParts::parse(std::string_view json_text, std::string_view where) {
  using nlohmann::json;
  using Texts = std::vector<std::string>;
  StoryParts parts;
  const std::string subject(where);
  try {
    HADAL_ASSIGN(const json root, parse_json(json_text, where));
    if (root.at("version").get<int>() != 1)
      return Error{ErrorKind::unsupported, subject + ": version: expected 1, found " + root["version"].dump()};
    for (const auto& [lang, j] : root.at("languages").items()) {
      Language& language = parts.languages_[lang];
      language = {j.at("stop").get<std::string>(), j.at("blank").get<std::string>(), j.at("joints").get<Texts>(),
                  j.at("frames").get<Texts>(), j.at("asides").get<Texts>()};
      if (language.joints.empty() && !language.frames.empty())
        return Error{ErrorKind::invalid, subject + ": languages." + lang + ".joints: expected one or more, found none"};
    }
    for (const auto& [id, by_language] : root.at("stories").items()) {
      for (const auto& [lang, j] : by_language.items()) {
        Story story{j.at("facts").get<std::vector<Texts>>(), j.at("questions").get<Texts>()};
        bool whole = !story.facts.empty() && !story.questions.empty() && parts.languages_.contains(lang);
        for (const Texts& fact : story.facts) whole = whole && !fact.empty();
        if (!whole)
          return Error{ErrorKind::invalid, subject + ": stories." + id + "." + lang +
                                               ": expected facts and questions in a listed language, found others"};
        parts.stories_[id][lang] = std::move(story);
      }
    }
  } catch (const json::exception& problem) {
    return Error{ErrorKind::invalid, subject + ": expected the parts of word problems, found: " + problem.what()};
  }
  return parts;
}

bool StoryParts::has(std::string_view story, std::string_view lang) const {
  const auto at = stories_.find(story);
  return at != stories_.end() && at->second.contains(lang);
}

std::string StoryParts::wording(std::string_view id, std::string_view lang, Rng& rng) const {
  const Story& story = stories_.find(id)->second.find(lang)->second;
  const Language& language = languages_.find(lang)->second;
  if (language.frames.empty() || rng.next_below(3) > 0) return sentence_after_sentence(story, language, rng);
  std::vector<std::string> facts;
  for (const auto& ways : story.facts) facts.push_back(any_of(ways, rng));
  shuffle(facts, rng);
  const std::string& joint = any_of(language.joints, rng);
  std::string joined = facts.front();
  for (std::size_t i = 1; i < facts.size(); ++i) joined += joint + facts[i];
  std::string text = kCapital + any_of(language.frames, rng);
  replace(text, "{facts}", joined);
  replace(text, "{Question}", any_of(story.questions, rng));
  replace(text, "{question}", kNoCapital + any_of(story.questions, rng));
  return text;
}

std::string StoryParts::sentence_after_sentence(const Story& story, const Language& language, Rng& rng) const {
  std::vector<std::string> told;
  for (const auto& ways : story.facts) told.push_back(kCapital + any_of(ways, rng) + language.stop);
  if (!language.asides.empty() && rng.next_below(5) == 0) told.push_back(any_of(language.asides, rng));
  shuffle(told, rng);
  const std::string question = any_of(story.questions, rng);
  const bool asked_first = rng.next_below(4) == 0;
  std::string text = asked_first ? question : "";
  for (const std::string& sentence : told) text += (text.empty() ? "" : language.blank) + sentence;
  if (!asked_first) text += language.blank + question;
  return text;
}

std::string StoryParts::behind_an_aside(std::string wording, std::string_view lang, Rng& rng) const {
  const auto language = languages_.find(lang);
  if (language == languages_.end() || language->second.asides.empty()) return wording;
  return any_of(language->second.asides, rng) + language->second.blank + wording;
}

std::vector<std::vector<std::string>> StoryParts::sentences(std::string_view id, std::string_view lang) const {
  const Story& story = stories_.find(id)->second.find(lang)->second;
  std::vector<std::vector<std::string>> all = story.facts;
  all.push_back(story.questions);
  return all;
}

std::string finish_wording(std::string_view filled) {
  std::string text;
  while (!filled.empty()) {
    const std::size_t next = filled.find_first_of("\x01\x02", 1);
    const std::string_view piece = filled.substr(0, next);
    text += piece.front() == kCapital     ? with_capital(piece.substr(1))
            : piece.front() == kNoCapital ? without_capital(piece.substr(1))
                                          : std::string(piece);
    filled.remove_prefix(piece.size());
  }
  return text;
}

}  // namespace hadal
