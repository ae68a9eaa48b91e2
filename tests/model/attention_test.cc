// What holds of any kind of attention inside a whole model of random weights: what a sequence computes depends neither
// on who shares its batch, nor on where its pages lie, nor on threads.
#include <algorithm>

#include "model/random_model.h"

namespace hadal::testing {
namespace {

struct Kind {
  const char* name;
  ModelConfig config;
};

ModelConfig gqa_like(ModelType type) {
  ModelConfig c = small_gqa();
  c.model_type = type;
  c.qkv_bias = false;
  c.qk_head_norm = type == ModelType::qwen3;
  return c;
}

class AnyAttention : public ::testing::TestWithParam<Kind> {};

INSTANTIATE_TEST_SUITE_P(Kinds, AnyAttention,
                         ::testing::Values(Kind{"mla", small_mla()}, Kind{"gqa_with_biases", small_gqa()},
                                           Kind{"gqa_with_head_norms", gqa_like(ModelType::qwen3)}),
                         [](const auto& kind) { return std::string(kind.param.name); });

// --- batches ---------------------------------------------------------------------------------------------------------

// A batch as an engine makes it: a prompt, a chunk of another behind its beginning, and a decoded token, in every order
// of the three. Neighbours of one order of attention are computed together, so the order of segments matters inside.
TEST_P(AnyAttention, BatchOfThreeHasTheBitsOfThreeBatchesOfOne) {
  const std::vector<std::vector<TokenId>> sequences = {random_tokens(70, 2), random_tokens(90, 3),
                                                       random_tokens(67, 4)};
  const std::vector<Step> before = {{1, 0, 50}, {2, 0, 66}}, now = {{0, 0, 70}, {1, 50, 40}, {2, 66, 1}};
  for (const Arithmetic arithmetic : {Arithmetic::exact, Arithmetic::fast}) {
    Machine machine(GetParam().config, arithmetic);
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

TEST_P(AnyAttention, DecodingSeveralSequencesTogetherHasTheBitsOfEachAlone) {
  const std::vector<std::vector<TokenId>> sequences = {random_tokens(80, 5), random_tokens(80, 6),
                                                       random_tokens(80, 7)};
  const int lengths[] = {63, 64, 70};  // at a page's end, at a page's begin, inside
  for (const Arithmetic arithmetic : {Arithmetic::exact, Arithmetic::fast}) {
    Machine machine(GetParam().config, arithmetic);
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

TEST_P(AnyAttention, EveryThreadCountGivesTheSameBitsInBothOrders) {
  for (const Arithmetic arithmetic : {Arithmetic::exact, Arithmetic::fast})
    for (const Isa isa : kIsas) {
      if (!kernels_for(isa)) continue;
      std::vector<float> whole, stepwise;
      const std::vector<TokenId> tokens(kPrompt.begin(), kPrompt.begin() + 70);
      for (const int threads : {1, 2, 3}) {
        Machine machine(GetParam().config, arithmetic, threads, isa);
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
