#include "engine/scorer.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/check.h"

namespace hadal {
namespace {

// Logits of so many rows lie in memory at once: for 129,280 ids they take 66 MB.
constexpr int kLogitRows = 128;

}  // namespace

Result<Scorer> Scorer::create(ForwardModel& model, int context_tokens, int step_tokens) {
  HADAL_CHECK(context_tokens > 0 && step_tokens > 0);
  HADAL_ASSIGN(LatentCache cache, LatentCache::create(model.latent_layout(), pages_for(context_tokens)));
  return Scorer(model, std::move(cache), step_tokens);
}

Scorer::Scorer(ForwardModel& model, LatentCache cache, int step_tokens)
    : model_(model), cache_(std::move(cache)), step_tokens_(step_tokens) {
  while (const auto page = cache_.acquire()) pages_.push_back(*page);
}

Status Scorer::score(std::span<const TokenId> tokens, std::span<const int> positions, const Visit& visit) {
  const int count = static_cast<int>(tokens.size()), room = static_cast<int>(pages_.size()) * kPageTokens;
  if (count > room)
    return Error{ErrorKind::invalid, fmt::format("the text has {} tokens; the context holds {}", count, room)};
  for (const TokenId token : tokens)
    if (index(token) < 0 || index(token) >= model_.vocab_size())
      return Error{ErrorKind::invalid,
                   fmt::format("tokens: expected ids from 0 to {}, found {}", model_.vocab_size() - 1, index(token))};

  const auto vocab = static_cast<std::size_t>(model_.vocab_size());
  logits_.resize(static_cast<std::size_t>(std::min(step_tokens_, kLogitRows)) * vocab);
  std::vector<int> logit_rows;
  auto next = positions.begin();
  for (int first = 0; first < count;) {
    // A pass ends where the wanted logits would pass their buffer.
    int rows = std::min(step_tokens_, count - first);
    logit_rows.clear();
    for (auto it = next; it != positions.end() && *it < first + rows; ++it) {
      if (static_cast<int>(logit_rows.size()) == kLogitRows) {
        rows = *it - first;
        break;
      }
      logit_rows.push_back(*it - first);
    }
    const auto pages = std::span(pages_).first(static_cast<std::size_t>(pages_for(first + rows)));
    const Segment segment{.first_row = 0, .rows = rows, .first_position = first, .pages = pages};
    const auto fed = tokens.subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(rows));
    model_.forward({fed, std::span(&segment, 1), logit_rows}, cache_.store(), logits_, nullptr);
    for (std::size_t i = 0; i < logit_rows.size(); ++i, ++next)
      HADAL_RETURN_IF_ERROR(visit(*next, std::span(logits_).subspan(i * vocab, vocab)));
    first += rows;
  }
  return Done{};
}

}  // namespace hadal
