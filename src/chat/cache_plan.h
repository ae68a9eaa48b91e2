// How many pages of latents to take, and how long a context they allow. Pure arithmetic.
#pragma once

#include <cstdint>

#include "base/result.h"
#include "model/transformer.h"

namespace hadal {

struct CacheWish {
  int context_tokens = 0;        // 0: the model's own
  int model_context_tokens = 0;  // max_position_embeddings
  int max_sequences = 1;
  std::uint64_t available_bytes = 0;
};

struct CachePlan {
  int context_tokens = 0;
  int pages = 0;
};

// Room for every sequence's whole context, as far as a quarter of the free memory goes; a context that was not asked
// for shrinks to what fits. Errors: a context above the model's own, or one that was asked for and does not fit.
Result<CachePlan> plan_cache(const LatentLayout& layout, const CacheWish& wish);

}  // namespace hadal
