// A deterministic stand-in for the transformer: the state of a position is a hash of
// its token and of the state before it, *read from the cache page*. A wrong page, a
// stale row, a shared page that is written, all change every later token.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <vector>

#include "base/rng.h"
#include "engine/engine.h"

namespace hadal {

class FakeModel final : public ForwardModel {
 public:
  static constexpr int kVocab = 61;

  explicit FakeModel(Arithmetic arithmetic = Arithmetic::fast) : compute_(make_compute(pool_, arithmetic)) {}

  LatentLayout latent_layout() const override { return {.layers = 2, .row_bytes = 64}; }
  int vocab_size() const override { return kVocab; }
  RouteShape route_shape() const override { return {.moe_layers = 2, .chosen = 3}; }
  const Compute& compute() const override { return compute_; }
  void reserve(int, int) override {}

  void forward(const ForwardBatch& batch, const LatentStore& store, std::span<float> logits,
               RouteLog* routes) override {
    if (on_forward) on_forward(batch);
    ++steps;
    rows += static_cast<int>(batch.tokens.size());
    states_.resize(batch.tokens.size());
    for (const Segment& s : batch.segments)
      for (int r = 0; r < s.rows; ++r) {
        const int position = s.first_position + r;
        std::uint64_t state = 0;
        for (int layer = 0; layer < 2; ++layer) {
          const std::uint64_t before = position == 0 ? 7 : load(store, s, layer, position - 1);
          state = mix(before + static_cast<std::uint64_t>(layer),
                      static_cast<std::uint64_t>(index(batch.tokens[static_cast<std::size_t>(s.first_row + r)])));
          std::memcpy(row(store, s, layer, position), &state, sizeof state);
        }
        states_[static_cast<std::size_t>(s.first_row + r)] = state;
      }
    for (std::size_t i = 0; i < batch.logit_rows.size(); ++i)
      fill_logits(states_[static_cast<std::size_t>(batch.logit_rows[i])], logits.subspan(i * kVocab, kVocab));
    if (routes) {
      routes->experts.clear();
      for (int layer = 0; layer < 2; ++layer)
        for (const std::uint64_t state : states_)
          for (int k = 0; k < 3; ++k) routes->experts.push_back(route(state, layer, k));
    }
  }

  static ExpertId route(std::uint64_t state, int layer, int k) {
    return ExpertId{static_cast<std::int16_t>(mix(state, static_cast<std::uint64_t>(layer * 3 + k)) % 32)};
  }
  // The state after all of `tokens`, computed without pages.
  static std::uint64_t state_after(std::span<const TokenId> tokens) {
    std::uint64_t layers[2] = {7, 7};
    for (const TokenId token : tokens)
      for (std::uint64_t layer = 0; layer < 2; ++layer)
        layers[layer] = mix(layers[layer] + layer, static_cast<std::uint64_t>(index(token)));
    return layers[1];
  }
  static void fill_logits(std::uint64_t state, std::span<float> logits) {
    for (std::size_t v = 0; v < logits.size(); ++v) logits[v] = static_cast<float>(mix(state, v) % 1000) / 100.0f;
  }

  std::function<void(const ForwardBatch&)> on_forward;
  int steps = 0, rows = 0;

 private:
  static std::uint64_t mix(std::uint64_t a, std::uint64_t b) {
    std::uint64_t x = a * 0x9e3779b97f4a7c15ULL + b + 1;
    x = (x ^ (x >> 29)) * 0xbf58476d1ce4e5b9ULL;
    return x ^ (x >> 32);
  }
  static std::byte* row(const LatentStore& store, const Segment& s, int layer, int position) {
    const auto page = static_cast<std::size_t>(index(s.pages[static_cast<std::size_t>(position / kPageTokens)]));
    return store.data + static_cast<std::size_t>(layer) * store.layer_stride_bytes + page * store.page_stride_bytes +
           static_cast<std::size_t>(position % kPageTokens) * store.row_bytes;
  }
  static std::uint64_t load(const LatentStore& store, const Segment& s, int layer, int position) {
    std::uint64_t state;
    std::memcpy(&state, row(store, s, layer, position), sizeof state);
    return state;
  }

  ThreadPool pool_{2};
  Compute compute_;
  std::vector<std::uint64_t> states_;
};

inline std::vector<TokenId> some_tokens(int count, std::uint64_t seed) {
  Rng rng(seed);
  std::vector<TokenId> tokens;
  for (int i = 0; i < count; ++i) tokens.push_back(TokenId{static_cast<int>(rng.next_below(FakeModel::kVocab))});
  return tokens;
}

// What the engine must answer, from the definition alone.
inline std::vector<TokenId> expected_answer(const EngineRequest& request, int context_tokens) {
  std::vector<TokenId> tokens = request.prompt, answer;
  Sampler sampler(*kernels_for(best_isa()), FakeModel::kVocab);
  std::vector<float> logits(FakeModel::kVocab);
  while (static_cast<int>(tokens.size()) < context_tokens) {
    FakeModel::fill_logits(FakeModel::state_after(tokens), logits);
    tokens.push_back(*sampler.sample(logits, request.sampling, tokens.size()));
    answer.push_back(tokens.back());
    for (const TokenId stop : request.stop_tokens)
      if (stop == answer.back()) return answer;
    if (static_cast<int>(answer.size()) == request.max_tokens) break;
  }
  return answer;
}

// [tokens, moe layers, K] of all tokens that an answer was computed from.
inline void expect_routes(const std::vector<ExpertId>& routes, const EngineRequest& request,
                          const std::vector<TokenId>& answer) {
  std::vector<TokenId> fed = request.prompt;
  fed.insert(fed.end(), answer.begin(), answer.end() - 1);
  ASSERT_EQ(routes.size(), fed.size() * 6);
  for (std::size_t t = 0; t < fed.size(); ++t) {
    const std::uint64_t state = FakeModel::state_after(std::span(fed).first(t + 1));
    for (int layer = 0; layer < 2; ++layer)
      for (int k = 0; k < 3; ++k)
        ASSERT_EQ(routes[t * 6 + static_cast<std::size_t>(layer * 3 + k)], FakeModel::route(state, layer, k)) << t;
  }
}

// A finished sequence's trace, from the definition alone: routes, and of each drawn token how likely it was and among
// which.
inline void expect_trace(const Sequence& sequence, const EngineRequest& request, const std::vector<TokenId>& answer) {
  ASSERT_NO_FATAL_FAILURE(expect_routes(sequence.routes, request, answer));
  ASSERT_EQ(sequence.log_probabilities.size(), answer.size());
  ASSERT_EQ(sequence.kept_ends.size(), answer.size());
  ASSERT_EQ(sequence.kept_ends.back(), sequence.kept.size());
  std::vector<TokenId> tokens = request.prompt;
  Sampler sampler(*kernels_for(best_isa()), FakeModel::kVocab);
  std::vector<float> logits(FakeModel::kVocab);
  for (std::size_t i = 0; i < answer.size(); ++i) {
    FakeModel::fill_logits(FakeModel::state_after(tokens), logits);
    tokens.push_back(*sampler.sample(logits, request.sampling, tokens.size()));
    ASSERT_EQ(sequence.log_probabilities[i], static_cast<float>(sampler.log_probability())) << i;
    const std::size_t begin = i == 0 ? 0 : sequence.kept_ends[i - 1];
    ASSERT_TRUE(begin <= sequence.kept_ends[i] && sequence.kept_ends[i] <= sequence.kept.size()) << i;
    const auto kept = std::span(sequence.kept).subspan(begin, sequence.kept_ends[i] - begin);
    std::vector<TokenId> from;
    for (const Sampler::Candidate& c : sampler.drawn_from()) from.push_back(TokenId{c.id});
    ASSERT_TRUE(std::is_permutation(kept.begin(), kept.end(), from.begin(), from.end())) << i;
  }
}

}  // namespace hadal
