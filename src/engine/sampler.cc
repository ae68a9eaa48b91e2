#include "engine/sampler.h"

#include <algorithm>
#include <cmath>

#include "base/rng.h"

namespace hadal {
namespace {

// The first candidates are put in order this many at a time: almost always enough for top-p, and far from V log V.
constexpr std::size_t kFirstSorted = 64;

}  // namespace

Sampler::Sampler(int vocab_size) {
  candidates_.reserve(static_cast<std::size_t>(vocab_size));
}

std::optional<TokenId> Sampler::sample(std::span<const float> logits, const SamplingParams& params,
                                       std::uint64_t position) {
  candidates_.clear();
  log_probability_ = 0;
  const auto best = greedy_token(logits);
  if (!best || params.temperature <= 0) return best;

  const double greatest = logits[static_cast<std::size_t>(index(*best))];
  if (std::isinf(greatest)) return best;  // everything else is infinitely less likely
  sorted_ = 0;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    const double weight = std::exp((static_cast<double>(logits[i]) - greatest) / params.temperature);
    if (weight > 0) candidates_.push_back({weight, static_cast<std::int32_t>(i)});  // NaN is not above 0
  }
  if (params.top_k > 0 && static_cast<std::size_t>(params.top_k) < candidates_.size()) {
    sort_first(static_cast<std::size_t>(params.top_k));
    candidates_.resize(static_cast<std::size_t>(params.top_k));
  }
  if (params.top_p < 1) candidates_.resize(cut_top_p(params.top_p));
  if (params.min_p > 0)  // the most likely has weight 1
    std::erase_if(candidates_, [&](const Candidate& c) { return c.weight < params.min_p && c.id != index(*best); });

  double total = 0;
  for (const Candidate& c : candidates_) total += c.weight;
  double left = Rng(params.seed, position).next_double() * total;
  std::size_t drawn = 0;
  while (drawn + 1 < candidates_.size() && (left -= candidates_[drawn].weight) >= 0) ++drawn;
  log_probability_ = std::log(candidates_[drawn].weight / total);
  return TokenId{candidates_[drawn].id};
}

// Afterwards the first `wanted` candidates are the likeliest ones, in order.
void Sampler::sort_first(std::size_t wanted) {
  wanted = std::min(wanted, candidates_.size());
  if (wanted <= sorted_) return;
  const auto begin = candidates_.begin() + static_cast<std::ptrdiff_t>(sorted_);
  const auto end = candidates_.begin() + static_cast<std::ptrdiff_t>(wanted);
  if (end != candidates_.end()) std::nth_element(begin, end, candidates_.end(), likelier);
  std::sort(begin, end, likelier);
  sorted_ = wanted;
}

// How many of the likeliest hold `top_p` of all; at least one.
std::size_t Sampler::cut_top_p(double top_p) {
  double total = 0, held = 0;
  for (const Candidate& c : candidates_) total += c.weight;
  for (std::size_t kept = 0; kept < candidates_.size();) {
    if (kept == sorted_) sort_first(std::max(kFirstSorted, 4 * kept));
    held += candidates_[kept++].weight;
    if (held >= top_p * total) return kept;
  }
  return candidates_.size();
}

std::optional<TokenId> greedy_token(std::span<const float> logits) {
  constexpr std::size_t kBlock = 16;  // compared at once; looked through only where one beats the best so far, seldom
  std::optional<TokenId> best;
  float greatest = 0;
  for (std::size_t first = 0; first < logits.size(); first += kBlock) {
    const std::size_t end = std::min(first + kBlock, logits.size());
    if (best && end - first == kBlock) {
      int above = 0;
      for (std::size_t i = 0; i < kBlock; ++i) above |= logits[first + i] > greatest;
      if (above == 0) continue;
    }
    for (std::size_t i = first; i < end; ++i)
      if (!std::isnan(logits[i]) && (!best || logits[i] > greatest)) {
        best = TokenId{static_cast<std::int32_t>(i)};
        greatest = logits[i];
      }
  }
  return best;
}

}  // namespace hadal
