// Cosines and sines of the rotary embedding, one row a position, computed once:
// taken anew for each token they were 3 % of a training step (perf, 2026-11-24).
#pragma once

#include <cstddef>
#include <vector>

#include "kernels/rope.h"

namespace hadal {

class RopeTable {
 public:
  explicit RopeTable(std::vector<float> frequencies) : frequencies_(std::move(frequencies)) {}

  // Makes rows [0, positions) available; row() is const and any thread may call it afterwards.
  void cover(int positions) {
    const std::size_t width = 2 * frequencies_.size(), known = rows_.size() / width;
    if (static_cast<std::size_t>(positions) <= known) return;
    rows_.resize(static_cast<std::size_t>(positions) * width);
    for (std::size_t p = known; p < static_cast<std::size_t>(positions); ++p)
      rope_angles(frequencies_, static_cast<int>(p), rows_.data() + p * width);
  }
  // cos and sin of each frequency, interleaved: [R].
  const float* row(int position) const {
    return rows_.data() + static_cast<std::size_t>(position) * 2 * frequencies_.size();
  }

 private:
  std::vector<float> frequencies_;
  std::vector<float> rows_;
};

}  // namespace hadal
