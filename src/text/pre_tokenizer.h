// Cuts a text into the pieces inside which byte pairs are merged; no merge crosses a cut.
//
// The steps of tokenizer.json, each applied inside the pieces that the one before left:
// Split (a regex, or a string, isolated), Digits, ByteLevel. An unknown step or behaviour is an
// error that names it. The byte alphabet itself is not applied here: pieces are plain UTF-8.
// Any thread.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "text/split_regex.h"

namespace hadal {

// What ByteLevel means by use_regex: true.
inline constexpr std::string_view kGpt2Pattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

// Pieces are views into the text, or into `owned` where a step adds a blank in front.
struct Pieces {
  std::vector<std::string_view> views;
  std::vector<std::unique_ptr<std::string>> owned;
};

class PreTokenizer {
 public:
  // `json`: the value of "pre_tokenizer". `subject` names the file.
  static Result<PreTokenizer> from_json(const Json& json, std::string_view subject);

  // Regexes, each applied inside the pieces that the one before left.
  static Result<PreTokenizer> from_patterns(std::span<const std::string_view> patterns, std::string_view subject);

  // text: valid UTF-8; it must outlive the pieces.
  Pieces split(std::string_view text) const;

  // All that it does, one step after another: patterns (SplitRegex::pattern) and "add_prefix_space". Two with the same
  // steps cut alike, whatever file they come from.
  std::vector<std::string> steps() const;

 private:
  struct Step {
    std::vector<SplitRegex> regex;  // none or one
    bool add_prefix_space = false;
  };
  static Status append_steps(const Json& json, const std::string& subject, int depth, std::vector<Step>& steps);
  static Result<Step> split_step(const Json& json, const std::string& subject);
  static Result<Step> byte_level_step(const Json& json, const std::string& subject);

  std::vector<Step> steps_;
};

}  // namespace hadal
