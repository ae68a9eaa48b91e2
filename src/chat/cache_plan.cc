#include "chat/cache_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "base/clock.h"

namespace hadal {

Result<CachePlan> plan_cache(const LatentLayout& layout, const CacheWish& wish) {
  if (wish.context_tokens < 0 || wish.context_tokens > wish.model_context_tokens)
    return Error{ErrorKind::invalid, fmt::format("context: expected 1 to {} tokens (max_position_embeddings), found {}",
                                                 wish.model_context_tokens, wish.context_tokens)};
  const std::uint64_t page_bytes = static_cast<std::uint64_t>(layout.layers) * layout.page_bytes();
  constexpr std::uint64_t kMost = std::numeric_limits<int>::max() / (2 * kPageTokens);  // positions stay far below 2^31
  const std::uint64_t affordable = std::min(wish.available_bytes / 4 / page_bytes, kMost);
  const auto pages_of = [](int tokens) { return static_cast<std::uint64_t>(pages_for(tokens)); };
  int context = wish.context_tokens > 0 ? wish.context_tokens : wish.model_context_tokens;
  if (pages_of(context) > affordable) {
    if (wish.context_tokens > 0 || affordable == 0)
      return Error{ErrorKind::out_of_memory,
                   fmt::format("context of {} tokens: its cache takes {}; a quarter of the free memory is {}", context,
                               format_bytes(static_cast<double>(pages_of(context) * page_bytes)),
                               format_bytes(static_cast<double>(wish.available_bytes / 4)))};
    context = static_cast<int>(affordable) * kPageTokens;
  }
  const std::uint64_t wanted = pages_of(context) * static_cast<std::uint64_t>(wish.max_sequences);
  return CachePlan{context, static_cast<int>(std::min(wanted, affordable))};
}

}  // namespace hadal
