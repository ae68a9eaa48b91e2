#include "text/pre_tokenizer.h"

#include <fmt/format.h>

#include <memory>

#include "text/json_fields.h"

namespace hadal {
namespace {

constexpr int kMaxDepth = 8;   // of sequences within sequences; known files have one
constexpr int kMaxSteps = 64;  // DeepSeek-V2 has seven

std::string quoted_literal(std::string_view text) {
  std::string pattern;
  for (const char c : text) {
    const bool plain = static_cast<unsigned char>(c) >= 0x80 || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
                       (c >= 'A' && c <= 'Z') || c == ' ' || c == '\n' || c == '\r' || c == '\t';
    if (!plain) pattern.push_back('\\');
    pattern.push_back(c);
  }
  return pattern;
}

}  // namespace

Result<PreTokenizer> PreTokenizer::from_json(const Json& json, std::string_view subject) {
  PreTokenizer result;
  HADAL_RETURN_IF_ERROR(append_steps(json, fmt::format("{}: pre_tokenizer", subject), 0, result.steps_));
  return result;
}

Result<PreTokenizer> PreTokenizer::from_patterns(std::span<const std::string_view> patterns, std::string_view subject) {
  PreTokenizer result;
  for (const std::string_view pattern : patterns) {
    HADAL_ASSIGN(SplitRegex regex, SplitRegex::compile(pattern, subject));
    Step step;
    step.regex.push_back(std::move(regex));
    result.steps_.push_back(std::move(step));
  }
  return result;
}

std::vector<std::string> PreTokenizer::steps() const {
  std::vector<std::string> steps;
  for (const Step& step : steps_) {
    if (step.add_prefix_space) steps.emplace_back("add_prefix_space");
    if (!step.regex.empty()) steps.push_back(step.regex[0].pattern());
  }
  return steps;
}

Status PreTokenizer::append_steps(const Json& json, const std::string& subject, int depth, std::vector<Step>& steps) {
  HADAL_ASSIGN(const std::string type, json_string(json, "type", subject));
  if (type == "Sequence") {
    if (depth == kMaxDepth)
      return Error{ErrorKind::invalid, fmt::format("{}: sequences nested deeper than {}", subject, kMaxDepth)};
    HADAL_ASSIGN(const Json* list, json_array(json, "pretokenizers", subject));
    for (std::size_t i = 0; i < list->size(); ++i)
      HADAL_RETURN_IF_ERROR(append_steps((*list)[i], fmt::format("{}[{}]", subject, i), depth + 1, steps));
    return Done{};
  }
  if (steps.size() == kMaxSteps)
    return Error{ErrorKind::invalid, fmt::format("{}: expected at most {} steps", subject, kMaxSteps)};
  Step step;
  if (type == "Split") {
    HADAL_ASSIGN(step, split_step(json, subject));
  } else if (type == "Digits") {
    HADAL_ASSIGN(const bool individual, json_bool(json, "individual_digits", /*absent=*/false, subject));
    HADAL_ASSIGN(SplitRegex regex, SplitRegex::compile(individual ? "\\p{N}" : "\\p{N}+", subject));
    step.regex.push_back(std::move(regex));
  } else if (type == "ByteLevel") {
    HADAL_ASSIGN(step, byte_level_step(json, subject));
  } else {
    return Error{ErrorKind::unsupported,
                 fmt::format("{}: expected type Sequence, Split, Digits or ByteLevel, found {}", subject, type)};
  }
  steps.push_back(std::move(step));
  return Done{};
}

Result<PreTokenizer::Step> PreTokenizer::split_step(const Json& json, const std::string& subject) {
  HADAL_ASSIGN(const std::string behavior, json_string(json, "behavior", subject));
  if (behavior != "Isolated")
    return Error{ErrorKind::unsupported, fmt::format("{}: expected behavior Isolated, found {}", subject, behavior)};
  HADAL_ASSIGN(const bool invert, json_bool(json, "invert", /*absent=*/false, subject));
  // Isolated keeps matches and the gaps between them alike, so inverting it changes nothing.
  static_cast<void>(invert);
  HADAL_ASSIGN(const Json* pattern, json_object(json, "pattern", subject));
  std::string regex_text;
  if (pattern->contains("Regex")) {
    HADAL_ASSIGN(regex_text, json_string(*pattern, "Regex", subject));
  } else {
    HADAL_ASSIGN(const std::string literal, json_string(*pattern, "String", subject));
    regex_text = quoted_literal(literal);
  }
  HADAL_ASSIGN(SplitRegex regex, SplitRegex::compile(regex_text, subject));
  Step step;
  step.regex.push_back(std::move(regex));
  return step;
}

Result<PreTokenizer::Step> PreTokenizer::byte_level_step(const Json& json, const std::string& subject) {
  Step step;
  HADAL_ASSIGN(step.add_prefix_space, json_bool(json, "add_prefix_space", /*absent=*/true, subject));
  HADAL_ASSIGN(const bool use_regex, json_bool(json, "use_regex", /*absent=*/true, subject));
  if (use_regex) {
    HADAL_ASSIGN(SplitRegex regex, SplitRegex::compile(kGpt2Pattern, subject));
    step.regex.push_back(std::move(regex));
  }
  return step;
}

Pieces PreTokenizer::split(std::string_view text) const {
  Pieces pieces;
  if (text.empty()) return pieces;
  pieces.views.push_back(text);
  std::vector<std::string_view> next;
  RegexScratch scratch;
  for (const Step& step : steps_) {
    if (step.add_prefix_space) {
      for (std::string_view& piece : pieces.views) {
        if (piece.starts_with(' ')) continue;
        pieces.owned.push_back(std::make_unique<std::string>(" "));
        piece = pieces.owned.back()->append(piece);
      }
    }
    if (step.regex.empty()) continue;
    next.clear();
    next.reserve(pieces.views.size() * 2);
    for (const std::string_view piece : pieces.views) step.regex[0].split(piece, next, scratch);
    pieces.views.swap(next);
  }
  return pieces;
}

}  // namespace hadal
