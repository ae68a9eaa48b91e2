#include "engine/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/rng.h"
#include "kernels/kernel_table.h"

namespace hadal {
namespace {

// The first candidates are put in order this many at a time: almost always enough for top-p, and far from V log V.
constexpr std::size_t kFirstSorted = 64;
constexpr std::size_t kBlock = 64;  // probabilities that are added up together, and passed over together

}  // namespace

Sampler::Sampler(const KernelTable& kernels, int vocab_size) : kernels_(kernels) {
  const auto vocab = static_cast<std::size_t>(vocab_size);
  probabilities_V_.resize(vocab);
  block_sums_.reserve((vocab + kBlock - 1) / kBlock);
  candidates_.reserve(vocab);
}

std::optional<TokenId> Sampler::sample(std::span<const float> logits, const SamplingParams& params,
                                       std::uint64_t position) {
  candidates_.clear();
  log_probability_ = 0;
  const auto best = greedy_token(logits);
  if (!best || params.temperature <= 0) return best;

  const float greatest = logits[static_cast<std::size_t>(index(*best))];
  if (std::isinf(greatest)) return best;  // everything else is infinitely less likely
  const auto factor = static_cast<float>(std::min(1 / params.temperature, double{std::numeric_limits<float>::max()}));
  const auto scaled = [&](std::size_t i) { return (logits[i] - greatest) * factor; };
  probabilities_V_.resize(logits.size());
  for (std::size_t i = 0; i < logits.size(); ++i) {
    const float x = scaled(i);
    probabilities_V_[i] = x <= 0 ? x : -std::numeric_limits<float>::infinity();  // what is no number is never drawn
  }
  const float log_sum = kernels_.softmax(probabilities_V_.data(), static_cast<int>(logits.size()));
  add_up();
  const double uniform = Rng(params.seed, position).next_double();
  if (!params.truncates()) {
    const std::size_t drawn = draw_from_all(uniform);
    log_probability_ = static_cast<double>(scaled(drawn)) - static_cast<double>(log_sum);
    return TokenId{static_cast<std::int32_t>(drawn)};
  }
  truncate(params, *best);
  return TokenId{candidates_[draw_candidate(uniform)].id};
}

void Sampler::add_up() {
  block_sums_.clear();
  total_ = 0;
  for (std::size_t first = 0; first < probabilities_V_.size(); first += kBlock) {
    const std::size_t end = std::min(first + kBlock, probabilities_V_.size());
    float lanes[8] = {};
    std::size_t i = first;
    for (; i + 8 <= end; i += 8)
      for (std::size_t j = 0; j < 8; ++j) lanes[j] += probabilities_V_[i + j];
    for (; i < end; ++i) lanes[0] += probabilities_V_[i];
    double sum = 0;
    for (const float lane : lanes) sum += static_cast<double>(lane);
    block_sums_.push_back(sum);
    total_ += sum;
  }
}

std::size_t Sampler::draw_from_all(double uniform) const {
  double left = uniform * total_;
  std::size_t block = 0;
  while (block + 1 < block_sums_.size() && left >= block_sums_[block]) left -= block_sums_[block++];
  const std::size_t end = std::min((block + 1) * kBlock, probabilities_V_.size());
  std::size_t drawn = end;
  for (std::size_t i = block * kBlock; i < end && (drawn == end || left >= 0); ++i)
    if (probabilities_V_[i] > 0) {
      left -= static_cast<double>(probabilities_V_[i]);
      drawn = i;
    }
  if (drawn < end) return drawn;
  return static_cast<std::size_t>(  // rounding led behind the last that can be drawn
      std::max_element(probabilities_V_.begin(), probabilities_V_.end()) - probabilities_V_.begin());
}

std::size_t Sampler::draw_candidate(double uniform) {
  double total = 0;
  for (const Candidate& c : candidates_) total += c.weight;
  double left = uniform * total;
  std::size_t drawn = 0;
  while (drawn + 1 < candidates_.size() && (left -= candidates_[drawn].weight) >= 0) ++drawn;
  log_probability_ = std::log(candidates_[drawn].weight / total);
  return drawn;
}

// Leaves in candidates_ what can be drawn: at least the most likely.
void Sampler::truncate(const SamplingParams& params, TokenId best) {
  const double vocab = static_cast<double>(probabilities_V_.size());
  if (params.top_k > 0) {
    collect(0);
    if (static_cast<std::size_t>(params.top_k) < candidates_.size()) {
      sort_first(static_cast<std::size_t>(params.top_k));
      candidates_.resize(static_cast<std::size_t>(params.top_k));
    }
    total_ = 0;
    for (const Candidate& c : candidates_) total_ += c.weight;
  } else {
    // All that are less likely than (1 - top_p) / V hold less than 1 - top_p together; half of it, for rounding.
    collect(params.top_p < 1 ? (1 - params.top_p) / (2 * vocab) : 0);
  }
  if (params.top_p < 1) candidates_.resize(cut_top_p(params.top_p, total_));
  const double least = params.min_p * static_cast<double>(probabilities_V_[static_cast<std::size_t>(index(best))]);
  if (params.min_p > 0)
    std::erase_if(candidates_, [&](const Candidate& c) { return c.weight < least && c.id != index(best); });
}

// Everything of positive probability that is not below `floor`.
void Sampler::collect(double floor) {
  sorted_ = 0;
  const float least = std::max(static_cast<float>(floor), std::numeric_limits<float>::denorm_min());
  for (std::size_t first = 0; first < probabilities_V_.size(); first += kBlock) {
    const std::size_t end = std::min(first + kBlock, probabilities_V_.size());
    if (block_sums_[first / kBlock] < floor) continue;
    for (std::size_t i = first; i < end; ++i)
      if (probabilities_V_[i] >= least)
        candidates_.push_back({static_cast<double>(probabilities_V_[i]), static_cast<std::int32_t>(i)});
  }
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

// How many of the likeliest hold `top_p` of `total`; at least one.
std::size_t Sampler::cut_top_p(double top_p, double total) {
  double held = 0;
  for (std::size_t kept = 0; kept < candidates_.size();) {
    if (kept == sorted_) sort_first(std::max(kFirstSorted, 4 * kept));
    held += candidates_[kept++].weight;
    if (held >= top_p * total) return kept;
  }
  return candidates_.size();
}

std::optional<TokenId> greedy_token(std::span<const float> logits) {
  constexpr std::size_t kAtOnce = 16;  // compared at once; looked through only where one beats the best so far, seldom
  std::optional<TokenId> best;
  float greatest = 0;
  for (std::size_t first = 0; first < logits.size(); first += kAtOnce) {
    const std::size_t end = std::min(first + kAtOnce, logits.size());
    if (best && end - first == kAtOnce) {
      int above = 0;
      for (std::size_t i = 0; i < kAtOnce; ++i) above |= logits[first + i] > greatest;
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
