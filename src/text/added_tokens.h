// Finds the added tokens of tokenizer.json (control tokens: <｜User｜>, <think>, ...) in a text.
//
// Leftmost first, the longest of those that begin there. Only texts that are trusted to hold control
// tokens are searched; what a user wrote never is. Any thread; constant after building.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"

namespace hadal {

struct AddedToken {
  std::string content;
  TokenId id{};
  bool strip_left = false, strip_right = false;  // takes the white space beside it along
  bool normalized = false;                       // sought after the normalizer, not before
  bool special = false;
};

class AddedTokenFinder {
 public:
  AddedTokenFinder() = default;
  explicit AddedTokenFinder(std::vector<AddedToken> tokens);  // contents: not empty, each once

  struct Match {
    std::size_t begin, end;  // bytes, stripped white space included
    TokenId id;
  };
  // The first match at or after `from`.
  std::optional<Match> find(std::string_view text, std::size_t from) const;
  bool empty() const { return tokens_.empty(); }

 private:
  const AddedToken* longest_at(std::string_view text) const;

  std::vector<AddedToken> tokens_;  // by content
  std::array<bool, 256> leads_{};   // the first bytes of contents
};

}  // namespace hadal
