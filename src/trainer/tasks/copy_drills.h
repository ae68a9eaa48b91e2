// Lists to be copied, looked up in and spelt: the cheapest way to learn what all worked steps do with a question.
//
// A small model learns late to copy an arbitrary name or number from a question, and every task needs it. Here little
// else happens: a list is given, then repeated, or asked what follows an item, or its words are spelt letter by letter
// in the form of letter_counting.
// Threads: pure functions; an Rng belongs to one thread.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/rng.h"

namespace hadal {

struct CopyDrill {
  std::string text;
  std::vector<std::pair<std::size_t, std::size_t>> given;  // bytes [begin, end) that nobody could predict
};

// `words`: recipes/data/words.txt, at least one of ASCII letters.
CopyDrill make_copy_drill(std::span<const std::string> words, Rng& rng);

}  // namespace hadal
