// Bare arithmetic in the shared notation: the cheapest way to learn the basic operations.
//
// A drill is one statement of notation.h, split where the thinking begins: `given` is random and cannot be predicted
// (leave it out of the loss), `worked` follows from it. The i-th drill of a seed is always the same.
// Threads: pure functions; an Rng belongs to one thread.
#pragma once

#include <string>

#include "base/rng.h"

namespace hadal {

struct Drill {
  std::string given;   // "363+761:"
  std::string worked;  // "4211=1124"
};

// Sums, differences, products and quotients of the sizes that the tasks meet, small tables as often as long columns.
Drill make_drill(Rng& rng);

}  // namespace hadal
