// The forward pass against logits of independent code (goldens/models: Hugging
// Face transformers in float64), whole, in chunks and token by token: the three
// take different orders of attention, so they check each other as well.
#include <algorithm>
#include <numeric>

#include "model/golden_model.h"

namespace hadal::testing {
namespace {

// Measured: 9e-7 to 2.4e-6 in exact arithmetic (the goldens' own noise is 8e-7); fast: see below.
constexpr double kExactBound = 1e-5;
// Of fast arithmetic: activations are rounded to bf16 only where dots of bf16 pairs are an instruction.
double fast_bound() {
  return best_isa() == Isa::avx512_bf16 ? 2e-2 : 1e-2;
}

// How fp8 weights are read in fast arithmetic: whole, with their scales apart, or rounded with them.
enum class Fp8Weights { whole, rounded };

std::unique_ptr<Transformer> load(const GoldenModel& m, ThreadPool& pool, Arithmetic arithmetic,
                                  Fp8Weights fp8 = Fp8Weights::whole) {
  auto model = Transformer::load(m.config, m.source(fp8 == Fp8Weights::whole), make_compute(pool, arithmetic));
  EXPECT_TRUE(model.ok()) << (model.ok() ? "" : model.error().message);
  return std::move(model).value();
}

class GoldenLogits : public ::testing::TestWithParam<const char*> {};

TEST_P(GoldenLogits, AreReproducedExactlyWholeInChunksAndStepwise) {
  const GoldenModel m = open_golden(GetParam());
  ThreadPool pool(2);
  const auto model = load(m, pool, Arithmetic::exact);
  const std::vector<float> golden = m.floats("logits");
  for (const int chunk : {1000, 29, 1})
    EXPECT_LE(distance(logits_in_chunks(*model, m.tokens(), chunk), golden), kExactBound) << "chunk " << chunk;
}

struct Pass {
  std::vector<float> logits;  // [T, V]
  RouteLog routes;            // [moe layers, T, K]
};

Pass whole_pass(const GoldenModel& m, Arithmetic arithmetic, Fp8Weights fp8 = Fp8Weights::whole) {
  ThreadPool pool(2);
  const auto model = load(m, pool, arithmetic, fp8);
  const std::vector<TokenId> tokens = m.tokens();
  OneSequenceCache cache(model->latent_layout(), static_cast<int>(tokens.size()));
  const Segment segment{0, static_cast<int>(tokens.size()), 0, cache.pages};
  std::vector<int> rows(tokens.size());
  std::iota(rows.begin(), rows.end(), 0);
  Pass pass;
  pass.logits.resize(tokens.size() * static_cast<std::size_t>(m.config.vocab_size));
  model->forward({tokens, {&segment, 1}, rows}, cache.store, pass.logits, &pass.routes);
  return pass;
}

// Tokens that chose another set of experts in some layer.
std::vector<bool> rows_with_changed_experts(const Pass& a, const Pass& b, std::size_t rows, std::size_t chosen) {
  std::vector<bool> changed(rows, false);
  for (std::size_t at = 0; at < a.routes.experts.size(); at += chosen) {
    const auto set_of = [&](const Pass& p) {
      std::vector<ExpertId> set(p.routes.experts.begin() + static_cast<std::ptrdiff_t>(at),
                                p.routes.experts.begin() + static_cast<std::ptrdiff_t>(at + chosen));
      std::sort(set.begin(), set.end());
      return set;
    };
    if (set_of(a) != set_of(b)) changed[at / chosen % rows] = true;
  }
  return changed;
}

struct FastDistance {
  double median;  // of the tokens' logits
  std::ptrdiff_t changed;
};

FastDistance fast_distance(const GoldenModel& m, Fp8Weights fp8 = Fp8Weights::whole) {
  const Pass exact = whole_pass(m, Arithmetic::exact), fast = whole_pass(m, Arithmetic::fast, fp8);
  const std::vector<float> golden = m.floats("logits");
  const std::size_t vocab = static_cast<std::size_t>(m.config.vocab_size), rows = golden.size() / vocab;
  const std::vector<bool> changed =
      rows_with_changed_experts(exact, fast, rows, static_cast<std::size_t>(m.config.num_experts_per_tok));
  std::vector<double> distances;
  for (std::size_t r = 0; r < rows; ++r) {
    const auto first = static_cast<std::ptrdiff_t>(r * vocab), last = static_cast<std::ptrdiff_t>((r + 1) * vocab);
    distances.push_back(distance({fast.logits.begin() + first, fast.logits.begin() + last},
                                 {golden.begin() + first, golden.begin() + last}));
  }
  std::nth_element(distances.begin(), distances.begin() + static_cast<std::ptrdiff_t>(rows / 2), distances.end());
  return {distances[rows / 2], std::count(changed.begin(), changed.end(), true)};
}

// bf16 moves a near-tie of two experts now and then; such a token moves in a lump (by 0.2 to 0.6), and a little of it
// reaches those behind, so it is the token in the middle that is held to the bound. Measured on 97 tokens: 3.5e-3 to
// 7.7e-3, with dots of pairs 9.1e-3 to 1.7e-2; up to 4 tokens changed.
TEST_P(GoldenLogits, AreNearInFastArithmetic) {
  const FastDistance found = fast_distance(open_golden(GetParam()));
  EXPECT_LE(found.median, fast_bound());
  EXPECT_LE(found.changed, 6);
}

TEST(GoldenLogitsBound, CatchesFp8WeightsRoundedWithTheirScales) {  // measured: 1.6e-2, with dots 2.2e-2
  EXPECT_GT(fast_distance(open_golden("v3_fp8"), Fp8Weights::rounded).median, fast_bound());
}

INSTANTIATE_TEST_SUITE_P(Models, GoldenLogits, ::testing::Values("v2_lite", "v2", "v3", "v3_fp8", "moonlight"),
                         [](const auto& named) { return std::string(named.param); });

// The dense families: exact 6.4e-7 to 8.9e-7, fast 6.0e-3 to 7.5e-3.
class DenseGoldenLogits : public ::testing::TestWithParam<const char*> {};
TEST_P(DenseGoldenLogits, AreReproducedWholeInChunksAndStepwise) {
  const GoldenModel m = open_golden(GetParam());
  ThreadPool pool(2);
  const auto exact = load(m, pool, Arithmetic::exact), fast = load(m, pool, Arithmetic::fast);
  const std::vector<float> golden = m.floats("logits");
  for (const int chunk : {1000, 29, 5, 1}) {
    EXPECT_LE(distance(logits_in_chunks(*exact, m.tokens(), chunk), golden), kExactBound) << "chunk " << chunk;
    EXPECT_LE(distance(logits_in_chunks(*fast, m.tokens(), chunk), golden), fast_bound()) << "chunk " << chunk;
  }
}
INSTANTIATE_TEST_SUITE_P(Models, DenseGoldenLogits,
                         ::testing::Values("qwen2", "qwen2_tied", "qwen3", "llama3", "llama_tied"),
                         [](const auto& named) { return std::string(named.param); });

TEST(DenseGoldenLogits, BoundCatchesTheOtherPairingOfRope) {
  GoldenModel m = open_golden("llama3");
  m.config.rope_layout = RopeLayout::interleaved;
  ThreadPool pool(2);
  EXPECT_GT(distance(logits_in_chunks(*load(m, pool, Arithmetic::exact), m.tokens(), 1000), m.floats("logits")),
            1000 * kExactBound);
}

// Weights in blocks, used as the file stores them. What llama.cpp, with its 8-bit activations, is away from the golden
// stands beside it (-1: it could not load the file); measured here: exact 1.6e-6 to 2.9e-6, fast 2.1e-2 to 5.1e-2 and,
// with ten tokens that flip, 1.41e-1 (v3_q4_k_m).
struct GgufGolden {
  const char* name;
  double theirs;
};
class GgufGoldenLogits : public ::testing::TestWithParam<GgufGolden> {};
TEST_P(GgufGoldenLogits, AreReproducedWholeInChunksAndStepwise) {
  const GoldenModel m = open_gguf_golden(GetParam().name);
  ThreadPool pool(2);
  const auto exact = load(m, pool, Arithmetic::exact), fast = load(m, pool, Arithmetic::fast);
  const std::vector<float> golden = m.floats("logits");
  for (const int chunk : {1000, 29, 1})
    EXPECT_LE(distance(logits_in_chunks(*exact, m.tokens(), chunk), golden), kExactBound) << "chunk " << chunk;
  const double bound = GetParam().theirs > 0 ? 1.1 * GetParam().theirs : 0.1;
  EXPECT_LE(distance(logits_in_chunks(*fast, m.tokens(), 1000), golden), bound);
  // Token by token other experts flip, each of which moves it in a lump: up to 1.41 of theirs (v3_q2_k).
  EXPECT_LE(distance(logits_in_chunks(*fast, m.tokens(), 1), golden), 1.5 * bound);
}
// Tokens that choose another expert in some layer than exact arithmetic does. Measured: 6, 10, 0 and 3 of 83.
TEST_P(GgufGoldenLogits, FewTokensChooseOtherExperts) {
  const GoldenModel m = open_gguf_golden(GetParam().name);
  if (m.config.n_routed_experts == 0) return;
  const Pass exact = whole_pass(m, Arithmetic::exact), fast = whole_pass(m, Arithmetic::fast);
  const std::vector<bool> changed =
      rows_with_changed_experts(exact, fast, m.tokens().size(), static_cast<std::size_t>(m.config.num_experts_per_tok));
  const auto flips = std::count(changed.begin(), changed.end(), true);
  EXPECT_LE(flips, 12);
}

INSTANTIATE_TEST_SUITE_P(Models, GgufGoldenLogits,
                         ::testing::Values(GgufGolden{"lite_q4_k_m_whole_kv_b", -1}, GgufGolden{"v3_q4_k_m", 0.13762},
                                           GgufGolden{"v3_q2_k", 0.11032}, GgufGolden{"moonlight_iq4_xs", -1},
                                           GgufGolden{"llama3_q4_0", 0.02325}, GgufGolden{"qwen2_q4_k_m", 0.03232},
                                           GgufGolden{"qwen3_q6_k", 0.02974}),
                         [](const auto& named) { return std::string(named.param.name); });

TEST(GoldenLogitsLong, FourThousandTokensKeepTheirPositions) {
  const GoldenModel m = open_golden("v3_long");
  ThreadPool pool(2);
  const auto model = load(m, pool, Arithmetic::exact);
  const std::vector<TokenId> tokens = m.tokens();
  const std::size_t vocab = static_cast<std::size_t>(m.config.vocab_size);
  const std::vector<float> all = logits_in_chunks(*model, tokens, 600);
  std::vector<float> rows;
  for (const std::int64_t p : integers_of(*m.golden->find("positions")))
    rows.insert(rows.end(), all.begin() + static_cast<std::ptrdiff_t>(static_cast<std::size_t>(p) * vocab),
                all.begin() + static_cast<std::ptrdiff_t>((static_cast<std::size_t>(p) + 1) * vocab));
  EXPECT_LE(distance(rows, m.floats("logits")), 1e-4);
}

TEST(ExactArithmetic, GivesTheSameBitsForAnyThreadsAndInstructionSet) {
  const GoldenModel m = open_golden("v3");
  const std::vector<TokenId> tokens = m.tokens();
  std::vector<float> first;
  for (const int threads : {1, 2, 3})
    for (const Isa isa : kIsas) {
      ThreadPool pool(threads);
      Compute compute = make_compute(pool, Arithmetic::exact);
      if (!kernels_for(isa)) continue;
      compute.kernels = kernels_for(isa);
      auto model = Transformer::load(m.config, m.source(), compute);
      ASSERT_TRUE(model.ok());
      const std::vector<float> logits = logits_in_chunks(**model, tokens, 40);
      if (first.empty()) first = logits;
      EXPECT_EQ(first, logits) << threads << " threads, " << isa_name(isa);
    }
}

}  // namespace
}  // namespace hadal::testing
