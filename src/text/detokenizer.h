// Token ids to text while they arrive: each call gives the characters that have become whole.
//
// The pieces given, flush() included, join to exactly Tokenizer::decode() of all ids. A token is often only
// part of a character; such an end is held back (three bytes at most), nothing else is.
// Threads: one stream, one thread at a time.
#pragma once

#include <string>

#include "base/ids.h"
#include "text/tokenizer.h"

namespace hadal {

class Detokenizer {
 public:
  // `tokenizer` is shared, not copied. Control tokens are written as their names, as decode() does; who does not want
  // them does not pass them.
  explicit Detokenizer(Tokenizer tokenizer) : tokenizer_(std::move(tokenizer)) {}

  // What this token made whole: valid UTF-8, often "".
  std::string push(TokenId id);
  // The stream has ended: one U+FFFD for each ill-formed part still held. It can be used again afterwards.
  std::string flush();

 private:
  Tokenizer tokenizer_;
  std::string held_;  // an incomplete character
};

}  // namespace hadal
