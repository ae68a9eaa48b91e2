// Grouped-query attention inside a whole model of random weights: a decoded token, which reads the pages as they lie,
// and a prompt, which multiplies its own keys, agree; and the bits of a prompt do not depend on how it is cut into
// pieces that read their keys alike. What holds of any attention: attention_test.cc. Truth: goldens_test.cc.
#include <tuple>

#include "model/random_model.h"

namespace hadal::testing {
namespace {

std::vector<float> whole(const ModelConfig& c, Arithmetic arithmetic) {
  return logits_in_chunks(*Machine(c, arithmetic).model, kPrompt, kTokens);
}
std::vector<float> stepwise(const ModelConfig& c, Arithmetic arithmetic, Isa isa = best_isa()) {
  return logits_in_chunks(*Machine(c, arithmetic, 2, isa).model, kPrompt, 1);
}

ModelConfig with_heads(int heads, int groups, int width) {
  ModelConfig c = small_gqa();
  c.num_attention_heads = heads;
  c.num_key_value_heads = groups;
  c.head_dim = width;
  return c;
}

// --- the two ways to read keys ---------------------------------------------------------------------------------------

// Measured: exact 5.2e-7 to 8.1e-7; fast 8.1e-3 to 1.2e-2; the mistakes below, 0.65 and 0.23.
constexpr double kExactBound = 3e-6, kFastBound = 2e-2, kMistake = 0.1;

// Every head its own group, one group for all, and widths below, between and above whole vectors.
TEST(Gqa, TokenByTokenEqualsTheWholePrompt) {
  for (const auto& [heads, groups, width] :
       {std::tuple(6, 3, 10), std::tuple(4, 4, 8), std::tuple(5, 1, 16), std::tuple(4, 2, 2), std::tuple(6, 2, 36)}) {
    const ModelConfig c = with_heads(heads, groups, width);
    const std::vector<float> exact = whole(c, Arithmetic::exact);
    for (const Isa isa : kIsas) {
      if (!kernels_for(isa)) continue;
      EXPECT_LT(distance(stepwise(c, Arithmetic::exact, isa), exact), kExactBound)
          << heads << ", " << groups << ", " << width << ", " << isa_name(isa);
      EXPECT_LT(distance(stepwise(c, Arithmetic::fast, isa), exact), kFastBound)
          << heads << ", " << groups << ", " << width << ", " << isa_name(isa);
    }
    EXPECT_LT(distance(whole(c, Arithmetic::fast), exact), kFastBound) << heads << ", " << groups << ", " << width;
  }
}

TEST(Gqa, PairsOfEitherLayoutTurn) {  // GGUF's llama has neighbours side by side
  ModelConfig neighbours = small_gqa();
  neighbours.rope_layout = RopeLayout::interleaved;
  const std::vector<float> exact = whole(neighbours, Arithmetic::exact);
  EXPECT_LT(distance(stepwise(neighbours, Arithmetic::exact), exact), kExactBound);
  EXPECT_GT(distance(stepwise(small_gqa(), Arithmetic::exact), exact), kMistake) << "they must not be the same pairs";
}

TEST(Gqa, BoundCatchesForgottenAttentionFactorInOneOrder) {
  ModelConfig plain = small_gqa();
  plain.rope_scaling = YarnScaling{.factor = 4, .original_max_position_embeddings = 512, .mscale = 0};
  ModelConfig scaled = plain;
  scaled.rope_scaling->mscale_all_dim = scaled.rope_scaling->mscale = 1;
  EXPECT_GT(distance(stepwise(plain, Arithmetic::exact), whole(scaled, Arithmetic::exact)), kMistake);
}

TEST(Gqa, ChunkedPrefillHasTheBitsOfTheWhole) {
  for (const Arithmetic arithmetic : {Arithmetic::exact, Arithmetic::fast}) {
    Machine machine(small_gqa(), arithmetic);
    const std::vector<float> once = logits_in_chunks(*machine.model, kPrompt, kTokens);
    for (const int chunk : {65, 26, 13})
      EXPECT_EQ(logits_in_chunks(*machine.model, kPrompt, chunk), once) << chunk << ", " << text_of(arithmetic);
  }
}

}  // namespace
}  // namespace hadal::testing
