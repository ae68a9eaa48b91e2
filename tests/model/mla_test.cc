// Latent attention inside a whole model of random weights: the two orders agree, and the bits of a prompt do not depend
// on how it is cut into pieces of one order. What holds of any attention: attention_test.cc. Truth: goldens_test.cc.
#include "model/random_model.h"

namespace hadal::testing {
namespace {

// Without experts: their near ties fall the other way after any rounding, and then a token moves in a lump.
ModelConfig dense_config() {
  ModelConfig c = small_mla();
  c.n_routed_experts = 0;
  c.q_lora_rank = 0;
  return c;
}

AttentionOrder order_of(const ModelConfig& c, int rows, int first) {
  return choose_order(c, rows, first);
}

// --- the two orders --------------------------------------------------------------------------------------------------

// Measured: exact 8.5e-7; fast, without experts, 9.7e-3; the mistake below, 0.67.
constexpr double kExactBound = 3e-6, kFastBound = 2e-2, kMistake = 0.1;

TEST(Mla, TokenByTokenIsAbsorbedAndEqualsTheWholePromptExpanded) {
  for (const ModelConfig& c : {small_mla(), dense_config()}) {
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
  ModelConfig c = small_mla();
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

}  // namespace
}  // namespace hadal::testing
