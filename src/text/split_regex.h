// One regular expression of a pre-tokenizer, cutting a text into matches and what lies between.
//
// tokenizer.json writes them for Oniguruma (Ruby syntax, Unicode); PCRE2 runs them here. Where
// the two would disagree the pattern is rewritten (\s is Unicode White_Space: with U+0085, without
// U+180E; \p{Han} is the script alone) or refused by name (\w, nested classes, {n,m}+, {n}?, ...);
// nothing is matched "about right".
// PCRE2 10.42 knows Unicode 14: characters of later editions have no class.
//
// Threads: a SplitRegex is constant; a RegexScratch belongs to one thread at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace hadal {

class RegexScratch {  // what a match writes to; makes repeated matches free of allocation
 public:
  RegexScratch();
  ~RegexScratch();
  RegexScratch(const RegexScratch&) = delete;
  RegexScratch& operator=(const RegexScratch&) = delete;

 private:
  friend class SplitRegex;
  void* match_data_;
  void* match_context_;
};

class SplitRegex {
 public:
  // `subject` names the pattern in errors.
  static Result<SplitRegex> compile(std::string_view pattern, std::string_view subject);

  // Appends the pieces of `text` (valid UTF-8) to `out`, in order and without gaps: each match is a piece, and
  // so is each stretch between two matches. Look-around sees nothing outside `text`. Where a pattern exceeds its
  // match limit (only a hostile one does), the rest of the text is one piece.
  void split(std::string_view text, std::vector<std::string_view>& out, RegexScratch& scratch) const;

  // Patterns that differ only in how they spell a character (a line break or \n or \x{A}) have the same one.
  const std::string& pattern() const { return pattern_; }

 private:
  std::string pattern_;               // as PCRE2 was given it
  std::shared_ptr<const void> code_;  // pcre2_code
};

}  // namespace hadal
