// The rows of a pass in the cache of latents (or of keys and values): floats in exact arithmetic, bf16 in fast.
//
// What a batch has just computed and what a later one reads back are the same numbers, so that a prompt with packed
// weights gives the same bits however it is cut, as long as its pieces attend in the same order. Threads: as
// PassContext.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "kernels/kernel_table.h"
#include "model/block.h"

namespace hadal {

// Pages that cover a segment's positions, its new rows among them.
inline int pages_of(const Segment& s) {
  return pages_for(s.first_position + s.rows);
}

// Writes n values, which become what the row can hold. Returns the place behind them.
inline std::byte* keep_values(const Compute& compute, float* values, int n, std::byte* to) {
  if (compute.arithmetic == Arithmetic::exact) {
    std::memcpy(to, values, size(n, 4));
    return to + size(n, 4);
  }
  auto* half = reinterpret_cast<std::uint16_t*>(to);
  compute.kernels->narrow_row(values, n, n, half);
  compute.kernels->widen_row(half, n, values);
  return to + size(n, 2);
}

inline const std::byte* take_values(const Compute& compute, const std::byte* from, int n, float* values) {
  if (compute.arithmetic == Arithmetic::exact) {
    std::memcpy(values, from, size(n, 4));
    return from + size(n, 4);
  }
  compute.kernels->widen_row(reinterpret_cast<const std::uint16_t*>(from), n, values);
  return from + size(n, 2);
}

// each(t, row) for every row t of the batch and its place in the cache.
template <class F>
void for_new_rows(const PassContext& pass, int layer, const F& each) {
  for (const Segment& s : pass.segments)
    for (int r = 0; r < s.rows; ++r) {
      const int position = s.first_position + r;
      each(s.first_row + r,
           pass.store->row(layer, s.pages[static_cast<std::size_t>(position / kPageTokens)], position % kPageTokens));
    }
}

// each(p, row) for the positions [0, first_position + rows) of a segment's sequence, a page a task.
template <class F>
void for_cached_rows(const PassContext& pass, int layer, const Segment& s, const F& each) {
  const int positions = s.first_position + s.rows;
  pass.compute.pool->parallel_for(pages_of(s), [&](int page, int) {
    for (int p = page * kPageTokens; p < std::min(positions, (page + 1) * kPageTokens); ++p)
      each(p, static_cast<const std::byte*>(
                  pass.store->row(layer, s.pages[static_cast<std::size_t>(page)], p % kPageTokens)));
  });
}

}  // namespace hadal
