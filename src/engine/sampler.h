// From logits to one token: temperature, top-k, top-p, min-p.
//
// The random number of a token depends on the sequence's seed and the token's
// position only, so what else is in the batch, preemption and recomputation never
// change an answer. Equal logits: the lower id counts as the greater.
// Threads: a sampler has scratch memory and belongs to one thread.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/ids.h"
#include "kernels/compute.h"

namespace hadal {

struct SamplingParams {
  double temperature = 0;  // 0: greedy, and nothing below counts
  int top_k = 0;           // keep the k most likely; 0: all
  double top_p = 1;        // then the fewest most likely that hold this share of what is left
  double min_p = 0;        // then what is at least this share of the most likely
  std::uint64_t seed = 0;

  // Whether some tokens can never be drawn.
  bool truncates() const { return temperature <= 0 || top_k > 0 || top_p < 1 || min_p > 0; }
};

class Sampler {
 public:
  Sampler(const KernelTable& kernels, int vocab_size);

  // logits [V]; `position` is that of the token to be chosen. Nothing when no logit is a number: the model is broken.
  std::optional<TokenId> sample(std::span<const float> logits, const SamplingParams& params, std::uint64_t position);

  struct Candidate {
    double weight;  // its probability at the temperature, before anything is cut off
    std::int32_t id;
  };
  // Of the last token that was sampled: the natural logarithm of its share among what it was drawn from; and that, in
  // no order, where something was cut off. Greedy: 0, and nothing.
  double log_probability() const { return log_probability_; }
  std::span<const Candidate> drawn_from() const { return candidates_; }

 private:
  static bool likelier(const Candidate& a, const Candidate& b) {
    return a.weight > b.weight || (a.weight == b.weight && a.id < b.id);
  }
  void add_up();
  std::size_t draw_from_all(double uniform) const;
  std::size_t draw_candidate(double uniform);
  void collect(double floor);
  void truncate(const SamplingParams& params, TokenId best);
  void sort_first(std::size_t wanted);
  std::size_t cut_top_p(double top_p, double total);

  const KernelTable& kernels_;
  std::vector<float> probabilities_V_;
  std::vector<double> block_sums_;     // of kBlock probabilities each
  double total_ = 0;                   // of all of them: 1 but for rounding
  std::vector<Candidate> candidates_;  // [V] at most
  std::size_t sorted_ = 0;             // this many at the front are in order
  double log_probability_ = 0;
};

// The most likely token alone; nothing when no logit is a number.
std::optional<TokenId> greedy_token(std::span<const float> logits);

}  // namespace hadal
