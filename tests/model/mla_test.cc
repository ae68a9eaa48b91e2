// Attention inside a whole model of random weights: the two orders agree, and what
// a sequence computes depends neither on how its prompt is cut, nor on who shares
// its batch, nor on where its pages lie, nor on threads. Truth: goldens_test.cc.
#include <algorithm>

#include "base/rng.h"
#include "kernels/kernel_table.h"
#include "model/block.h"
#include "model/golden_model.h"

namespace hadal::testing {
namespace {

// Small and uneven, so that a swapped axis cannot pass by luck.
ModelConfig small_config() {
  ModelConfig c;
  c.vocab_size = 90;
  c.hidden_size = 40;
  c.intermediate_size = 56;
  c.moe_intermediate_size = 20;
  c.num_hidden_layers = 3;
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
  c.max_position_embeddings = 512;
  return c;
}
// Without experts: their near ties fall the other way after any rounding, and then a token moves in a lump.
ModelConfig dense_config() {
  ModelConfig c = small_config();
  c.n_routed_experts = 0;
  c.q_lora_rank = 0;
  return c;
}

// Element i of a tensor depends on its name and i alone, whichever rows are asked for.
Status random_rows(const TensorSpec& tensor, std::int64_t first, std::int64_t rows, float* out) {
  const std::int64_t columns = tensor.elements() / tensor.shape[0];
  std::uint64_t seed = 1;
  for (const char c : tensor.name) seed = seed * 31 + static_cast<std::uint64_t>(c);
  Rng rng(seed, /*counter=*/static_cast<std::uint64_t>(2 * first * columns));  // a normal number takes two
  for (std::int64_t i = 0; i < rows * columns; ++i) {
    const double normal = rng.next_normal();
    if (tensor.role == TensorRole::router_bias)
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

std::vector<TokenId> random_tokens(int count, std::uint64_t seed) {
  Rng rng(seed);
  std::vector<TokenId> tokens;
  for (int t = 0; t < count; ++t) tokens.push_back(static_cast<TokenId>(rng.next_below(90)));
  return tokens;
}

constexpr int kTokens = 130;  // three pages, the last one hardly begun
const std::vector<TokenId> kPrompt = random_tokens(kTokens, 1);

const char* text_of(Arithmetic arithmetic) {
  return arithmetic == Arithmetic::exact ? "exact" : "fast";
}

AttentionOrder order_of(const ModelConfig& c, int rows, int first) {
  return choose_order(c, rows, first);
}

// --- the two orders --------------------------------------------------------------------------------------------------

// Measured: exact 8.5e-7; fast, without experts, 9.7e-3; the mistake below, 0.67.
constexpr double kExactBound = 3e-6, kFastBound = 2e-2, kMistake = 0.1;

TEST(Mla, TokenByTokenIsAbsorbedAndEqualsTheWholePromptExpanded) {
  for (const ModelConfig& c : {small_config(), dense_config()}) {
    ASSERT_EQ(order_of(c, kTokens, 0), AttentionOrder::expanded);
    for (int p = 1; p < kTokens; ++p) ASSERT_EQ(order_of(c, 1, p), AttentionOrder::absorbed) << p;
    Machine exact(c, Arithmetic::exact);
    EXPECT_LT(distance(logits_in_chunks(*exact.model, kPrompt, 1), logits_in_chunks(*exact.model, kPrompt, kTokens)),
              kExactBound);
  }
  Machine fast(dense_config(), Arithmetic::fast);
  EXPECT_LT(distance(logits_in_chunks(*fast.model, kPrompt, 1), logits_in_chunks(*fast.model, kPrompt, kTokens)),
            kFastBound);
}

TEST(Mla, BoundCatchesForgottenMscaleInOneOrder) {
  ModelConfig plain = dense_config(), scaled = dense_config();
  plain.rope_scaling = YarnScaling{.factor = 40, .original_max_position_embeddings = 512};
  scaled.rope_scaling = plain.rope_scaling;
  scaled.rope_scaling->mscale_all_dim = scaled.rope_scaling->mscale = 1;
  Machine right(scaled, Arithmetic::exact), wrong(plain, Arithmetic::exact);
  EXPECT_GT(distance(logits_in_chunks(*wrong.model, kPrompt, 1), logits_in_chunks(*right.model, kPrompt, kTokens)),
            kMistake);
}

TEST(Mla, OrderFollowsTheShapeOfTheSegment) {
  ModelConfig lite;  // DeepSeek-V2-Lite's attention
  lite.kv_lora_rank = 512;
  lite.qk_nope_head_dim = 128;
  lite.qk_rope_head_dim = 64;
  lite.v_head_dim = 128;
  for (const int position : {10, 1000, 100000}) EXPECT_EQ(order_of(lite, 1, position), AttentionOrder::absorbed);
  for (const int rows : {2, 64, 5000}) EXPECT_EQ(order_of(lite, rows, 0), AttentionOrder::expanded);
  EXPECT_EQ(order_of(lite, 4, 4096), AttentionOrder::absorbed) << "drafts of speculative decoding";
  EXPECT_EQ(order_of(lite, 512, 4096), AttentionOrder::expanded) << "the next chunk of a long prompt";
}

// --- chunks ----------------------------------------------------------------------------------------------------------

// In fast arithmetic too: a later chunk reads latents that the cache has rounded to bf16, which the products of the
// whole prompt do on their way in.
TEST(Mla, ChunkedPrefillHasTheBitsOfTheWhole) {
  ModelConfig c = small_config();
  c.qk_nope_head_dim = 4;  // narrow heads: their keys are built for little, so that short chunks expand them too
  c.v_head_dim = 6;
  for (const Arithmetic arithmetic : {Arithmetic::exact, Arithmetic::fast}) {
    Machine machine(c, arithmetic);
    const std::vector<float> whole = logits_in_chunks(*machine.model, kPrompt, kTokens);
    for (const int chunk : {65, 26, 13}) {
      for (int first = 0; first < kTokens; first += chunk)
        ASSERT_EQ(order_of(c, chunk, first), AttentionOrder::expanded) << "the same order, so the same sums";
      EXPECT_EQ(logits_in_chunks(*machine.model, kPrompt, chunk), whole) << chunk << ", " << text_of(arithmetic);
    }
  }
}

// --- batches ---------------------------------------------------------------------------------------------------------

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
std::vector<std::vector<float>> run(Transformer& model, SharedCache& cache,
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

// A batch as an engine makes it: a prompt, a chunk of another behind its beginning, and a decoded token, in every order
// of the three. Neighbours of one order of attention are computed together, so the order of segments matters inside.
TEST(Mla, BatchOfThreeHasTheBitsOfThreeBatchesOfOne) {
  const std::vector<std::vector<TokenId>> sequences = {random_tokens(70, 2), random_tokens(90, 3),
                                                       random_tokens(67, 4)};
  const std::vector<Step> before = {{1, 0, 50}, {2, 0, 66}}, now = {{0, 0, 70}, {1, 50, 40}, {2, 66, 1}};
  for (const Arithmetic arithmetic : {Arithmetic::exact, Arithmetic::fast}) {
    Machine machine(small_config(), arithmetic);
    std::vector<std::vector<float>> alone(3);
    for (std::size_t s = 0; s < 3; ++s) {
      SharedCache cache(machine.model->latent_layout(), 3, 90);
      for (const Step& step : before)
        if (step.sequence == s) run(*machine.model, cache, sequences, {step});
      alone[s] = run(*machine.model, cache, sequences, {now[s]})[0];
    }
    std::vector<std::size_t> order = {0, 1, 2};
    do {
      SharedCache cache(machine.model->latent_layout(), 3, 90);
      run(*machine.model, cache, sequences, before);
      const auto together = run(*machine.model, cache, sequences, {now[order[0]], now[order[1]], now[order[2]]});
      for (std::size_t i = 0; i < 3; ++i)
        EXPECT_EQ(together[i], alone[order[i]]) << "sequence " << order[i] << ", " << text_of(arithmetic);
    } while (std::next_permutation(order.begin(), order.end()));
  }
}

TEST(Mla, DecodingSeveralSequencesTogetherHasTheBitsOfEachAlone) {
  const std::vector<std::vector<TokenId>> sequences = {random_tokens(80, 5), random_tokens(80, 6),
                                                       random_tokens(80, 7)};
  const int lengths[] = {63, 64, 70};  // at a page's end, at a page's begin, inside
  for (const Arithmetic arithmetic : {Arithmetic::exact, Arithmetic::fast}) {
    Machine machine(small_config(), arithmetic);
    SharedCache together(machine.model->latent_layout(), 3, 80), alone(machine.model->latent_layout(), 3, 80);
    for (std::size_t s = 0; s < 3; ++s) {
      run(*machine.model, together, sequences, {{s, 0, lengths[s]}});
      run(*machine.model, alone, sequences, {{s, 0, lengths[s]}});
    }
    for (int step = 0; step < 4; ++step) {
      std::vector<Step> steps;
      for (std::size_t s = 0; s < 3; ++s) steps.push_back({s, lengths[s] + step, 1});
      const auto batch = run(*machine.model, together, sequences, steps);
      for (std::size_t s = 0; s < 3; ++s)
        EXPECT_EQ(batch[s], run(*machine.model, alone, sequences, {steps[s]})[0]) << s << ", step " << step;
    }
  }
}

// --- threads ---------------------------------------------------------------------------------------------------------

TEST(Mla, EveryThreadCountGivesTheSameBitsInBothOrders) {
  for (const Arithmetic arithmetic : {Arithmetic::exact, Arithmetic::fast})
    for (const Isa isa : {Isa::portable, Isa::avx2, Isa::avx512}) {
      if (!kernels_for(isa)) continue;
      std::vector<float> whole, stepwise;
      const std::vector<TokenId> tokens(kPrompt.begin(), kPrompt.begin() + 70);
      for (const int threads : {1, 2, 3}) {
        Machine machine(small_config(), arithmetic, threads, isa);
        const auto now_whole = logits_in_chunks(*machine.model, tokens, 70),
                   now_stepwise = logits_in_chunks(*machine.model, tokens, 1);
        if (threads == 1) whole = now_whole, stepwise = now_stepwise;
        EXPECT_EQ(now_whole, whole) << isa_name(isa) << ", " << threads;
        EXPECT_EQ(now_stepwise, stepwise) << isa_name(isa) << ", " << threads;
      }
    }
}

}  // namespace
}  // namespace hadal::testing
