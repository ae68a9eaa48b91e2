// The engine around the real transformer: the greedy continuations of independent code, and batches that change
// nothing.
#include <gtest/gtest.h>

#include <map>

#include "engine/engine.h"
#include "model/golden_model.h"

namespace hadal::testing {
namespace {

struct Loaded {
  explicit Loaded(const char* name, Arithmetic arithmetic = Arithmetic::exact)
      : golden(open_golden(name)),
        pool(2),
        transformer(
            std::move(Transformer::load(golden.config, golden.source(), make_compute(pool, arithmetic))).value()),
        model(*transformer) {}
  std::unique_ptr<Engine> engine() {
    return *Engine::create(model, {.max_sequences = 8, .batch_tokens = 200, .context_tokens = 256, .pages = 64});
  }

  GoldenModel golden;
  ThreadPool pool;
  std::unique_ptr<Transformer> transformer;
  TransformerModel model;
};

std::map<SequenceId, std::vector<TokenId>> answers(Engine& engine) {
  std::map<SequenceId, std::vector<TokenId>> tokens;
  while (!engine.idle())
    for (const StepOutput& o : engine.step()) tokens[o.id].push_back(o.token);
  return tokens;
}

class GoldenGreedy : public ::testing::TestWithParam<const char*> {};

TEST_P(GoldenGreedy, ContinuationIsReproduced) {
  Loaded m(GetParam());
  const auto engine = m.engine();
  const auto tokens = m.golden.tokens();
  const SequenceId id = *engine->add(
      {.prompt = {tokens.begin(), tokens.begin() + 40}, .sampling = {}, .max_tokens = 16, .stop_tokens = {}});
  const std::vector<std::int64_t> expected = integers_of(*m.golden.golden->find("greedy"));
  std::vector<std::int64_t> found;
  auto found_tokens = answers(*engine);
  for (const TokenId token : found_tokens[id]) found.push_back(index(token));
  EXPECT_EQ(found, expected);
}

INSTANTIATE_TEST_SUITE_P(Models, GoldenGreedy, ::testing::Values("v2_lite", "v2", "v3", "moonlight"),
                         [](const auto& model) { return std::string(model.param); });

// Sampled, not greedy, at a temperature where the last bit of a logit can decide: the bits must be the same.
TEST(ExactEngine, BatchCompositionAndPrefixesChangeNoToken) {
  Loaded m("v3");
  const auto tokens = m.golden.tokens();
  const auto request = [&](std::size_t i) {
    const std::size_t length = 20 + 11 * i;
    return EngineRequest{.prompt = {tokens.begin(), tokens.begin() + static_cast<std::ptrdiff_t>(length)},
                         .sampling = {.temperature = 3, .seed = i},
                         .max_tokens = 40,
                         .stop_tokens = {}};
  };
  const auto together = m.engine();
  std::vector<SequenceId> ids;
  for (std::size_t i = 0; i < 7; ++i) ids.push_back(*together->add(request(i)));
  auto in_batch = answers(*together);
  for (std::size_t i = 0; i < 7; ++i) {
    const auto alone = m.engine();
    const SequenceId id = *alone->add(request(i));
    EXPECT_EQ(answers(*alone)[id], in_batch[ids[i]]) << i;
  }
  // Once more, now that the beginnings are known.
  const std::uint64_t cached = together->counts().cached_prompt_tokens;
  std::vector<SequenceId> again;
  for (std::size_t i = 0; i < 7; ++i) again.push_back(*together->add(request(i)));
  auto from_prefixes = answers(*together);
  EXPECT_GT(together->counts().cached_prompt_tokens, cached);
  for (std::size_t i = 0; i < 7; ++i) EXPECT_EQ(from_prefixes[again[i]], in_batch[ids[i]]) << i;
}

}  // namespace
}  // namespace hadal::testing
