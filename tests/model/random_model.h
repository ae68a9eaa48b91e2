// Small models of random weights, whose tensors are the same however they are asked for, and a cache for several
// sequences: what tests of attention inside a whole model share.
#pragma once

#include <algorithm>

#include "base/rng.h"
#include "kernels/kernel_table.h"
#include "model/block.h"
#include "model/golden_model.h"

namespace hadal::testing {

// Small and uneven, so that a swapped axis cannot pass by luck.
inline ModelConfig small_frame() {
  ModelConfig c;
  c.vocab_size = 90;
  c.hidden_size = 40;
  c.intermediate_size = 56;
  c.num_hidden_layers = 3;
  c.max_position_embeddings = 512;
  return c;
}

inline ModelConfig small_mla() {
  ModelConfig c = small_frame();
  c.moe_intermediate_size = 20;
  c.num_attention_heads = 3;
  c.q_lora_rank = 28;
  c.kv_lora_rank = 24;
  c.qk_nope_head_dim = 16;
  c.qk_rope_head_dim = 8;
  c.v_head_dim = 12;
  c.n_routed_experts = 8;
  c.n_shared_experts = 1;
  c.num_experts_per_tok = 2;
  c.first_k_dense_replace = 1;
  c.n_group = 4;
  c.topk_group = 2;
  return c;
}

// Six query heads share three keys and values of 10, which is no whole vector of any instruction set.
inline ModelConfig small_gqa() {
  ModelConfig c = small_frame();
  c.model_type = ModelType::qwen2;
  c.attention_kind = AttentionKind::gqa;
  c.rope_layout = RopeLayout::half_split;
  c.num_attention_heads = 6;
  c.num_key_value_heads = 3;
  c.head_dim = 10;
  c.qkv_bias = true;
  return c;
}

// Element i of a tensor depends on its name and i alone, whichever rows are asked for.
inline Status random_rows(const TensorSpec& tensor, std::int64_t first, std::int64_t rows, float* out) {
  const std::int64_t columns = tensor.elements() / tensor.shape[0];
  std::uint64_t seed = 1;
  for (const char c : tensor.name) seed = seed * 31 + static_cast<std::uint64_t>(c);
  Rng rng(seed, /*counter=*/static_cast<std::uint64_t>(2 * first * columns));  // a normal number takes two
  for (std::int64_t i = 0; i < rows * columns; ++i) {
    const double normal = rng.next_normal();
    if (tensor.role == TensorRole::router_bias || tensor.role == TensorRole::q_bias ||
        tensor.role == TensorRole::k_bias || tensor.role == TensorRole::v_bias)
      out[i] = static_cast<float>(0.1 * normal);
    else if (tensor.shape.size() == 1)
      out[i] = static_cast<float>(1 + 0.1 * normal);
    else
      out[i] = static_cast<float>(normal / std::sqrt(static_cast<double>(columns)));
  }
  return Done{};
}

struct Machine {
  ThreadPool pool;
  std::unique_ptr<Transformer> model;

  Machine(const ModelConfig& config, Arithmetic arithmetic, int threads = 2, Isa isa = best_isa()) : pool(threads) {
    model = Transformer::load(config, {.read = random_rows}, make_compute(pool, arithmetic, isa).value()).value();
  }
};

inline std::vector<TokenId> random_tokens(int count, std::uint64_t seed) {
  Rng rng(seed);
  std::vector<TokenId> tokens;
  for (int t = 0; t < count; ++t) tokens.push_back(static_cast<TokenId>(rng.next_below(90)));
  return tokens;
}

inline constexpr int kTokens = 130;  // three pages, the last one hardly begun
inline const std::vector<TokenId> kPrompt = random_tokens(kTokens, 1);

inline const char* text_of(Arithmetic arithmetic) {
  return arithmetic == Arithmetic::exact ? "exact" : "fast";
}

// One cache for several sequences. Page ids are dealt out alternately from the top, so that no sequence's pages lie
// together or in order; memory that nobody has written is NaN in either type.
class SharedCache {
 public:
  SharedCache(const LatentLayout& layout, std::size_t sequences, int positions) : pages_(sequences) {
    const int each = (positions + kPageTokens - 1) / kPageTokens, count = each * static_cast<int>(sequences);
    memory_.assign(layout.page_bytes() * static_cast<std::size_t>(count * layout.layers) + 64, std::byte{0xff});
    auto* base = memory_.data() + (64 - reinterpret_cast<std::uintptr_t>(memory_.data()) % 64) % 64;
    store = {base, layout.page_bytes() * static_cast<std::size_t>(count), layout.page_bytes(), layout.row_bytes};
    for (int p = 0; p < count; ++p)
      pages_[static_cast<std::size_t>(p) % sequences].push_back(static_cast<PageId>(count - 1 - p));
  }
  std::span<const PageId> pages_of(std::size_t sequence) const { return pages_[sequence]; }

  LatentStore store;

 private:
  std::vector<std::byte> memory_;
  std::vector<std::vector<PageId>> pages_;
};

// The tokens of one sequence that enter a batch.
struct Step {
  std::size_t sequence;
  int first, rows;
};

// Logits of all rows of `steps`, computed as one batch, step after step.
inline std::vector<std::vector<float>> run(Transformer& model, SharedCache& cache,
                                           const std::vector<std::vector<TokenId>>& sequences,
                                           const std::vector<Step>& steps) {
  std::vector<TokenId> tokens;
  std::vector<Segment> segments;
  std::vector<int> rows;
  for (const Step& s : steps) {
    segments.push_back({static_cast<int>(tokens.size()), s.rows, s.first, cache.pages_of(s.sequence)});
    const auto from = sequences[s.sequence].begin() + s.first;
    tokens.insert(tokens.end(), from, from + s.rows);
  }
  for (int t = 0; t < static_cast<int>(tokens.size()); ++t) rows.push_back(t);
  const auto vocab = static_cast<std::ptrdiff_t>(model.config().vocab_size);
  std::vector<float> logits(tokens.size() * static_cast<std::size_t>(vocab));
  model.forward({tokens, segments, rows}, cache.store, logits);
  std::vector<std::vector<float>> of_step;
  for (const Segment& s : segments)
    of_step.emplace_back(logits.begin() + s.first_row * vocab, logits.begin() + (s.first_row + s.rows) * vocab);
  return of_step;
}

}  // namespace hadal::testing
