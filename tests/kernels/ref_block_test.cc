// A whole block of MLA and experts from the reference operations: the gradient of
// every tensor, and of the input, against numeric gradients.
#include "kernels/ref_block.h"

#include "kernels/numbers.h"

namespace hadal::testing {
namespace {

// All different where they can be. Three of four experts get tokens.
constexpr BlockShape kShape{.T = 3,
                            .D = 6,
                            .H = 2,
                            .N = 3,
                            .R = 4,
                            .V = 2,
                            .C = 5,
                            .Q = 4,
                            .E = 4,
                            .K = 2,
                            .F = 3,
                            .router = {.n_routed_experts = 4,
                                       .num_experts_per_tok = 2,
                                       .scoring_func = ref::ScoringFunc::sigmoid,
                                       .topk_method = ref::TopkMethod::noaux_tc,
                                       .norm_topk_prob = true,
                                       .routed_scaling_factor = 2.5}};
const std::vector<std::int32_t> kChosen = {0, 3, 3, 1, 1, 0};

BlockTensors random_tensors(const BlockShape& s, std::uint64_t seed) {
  const auto matrix = [&](std::ptrdiff_t count, std::ptrdiff_t inputs) {
    return random_values(count, ++seed, 1 / std::sqrt(static_cast<double>(inputs)));
  };
  const std::ptrdiff_t G = s.N + s.R;
  return {.x_TD = matrix(s.T * s.D, 1),
          .norm_D = matrix(s.D, 1),
          .q_a_QD = matrix(s.Q * s.D, s.D),
          .q_norm_Q = matrix(s.Q, 1),
          .q_b = matrix(s.H * G * s.Q, s.Q),
          .kv_a = matrix((s.C + s.R) * s.D, s.D),
          .kv_norm_C = matrix(s.C, 1),
          .kv_b = matrix(s.H * (s.N + s.V) * s.C, s.C),
          .o = matrix(s.D * s.H * s.V, s.H * s.V),
          .ffn_norm_D = matrix(s.D, 1),
          .router_ED = matrix(s.E * s.D, s.D),
          .gate_EFD = matrix(s.E * s.F * s.D, s.D),
          .up_EFD = matrix(s.E * s.F * s.D, s.D),
          .down_EDF = matrix(s.E * s.D * s.F, s.F),
          .shared_gate_FD = matrix(s.F * s.D, s.D),
          .shared_up_FD = matrix(s.F * s.D, s.D),
          .shared_down_DF = matrix(s.D * s.F, s.F)};
}

// Measured: 4e-13 to 5e-10 (x, which passes every curve twice); a slip moves the gradient of x by 2e-2 to 0.7.
constexpr double kBound = 5e-9, kMistake = 1e-2;

TEST(RefBlock, EveryGradientIsThatOfTheBlock) {
  BlockTensors w = random_tensors(kShape, 11);
  RefBlock block(kShape, w, kChosen);
  const Values d_y = random_values(kShape.T * kShape.D, 40);
  BlockTensors g = block.backward(d_y, Slip::none);
  auto gradients = g.all();
  auto tensors = w.all();
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const Values numeric = numeric_gradient(*tensors[i].second, d_y, [&] { return block.forward(); });
    EXPECT_LT(difference(*gradients[i].second, numeric), kBound) << tensors[i].first;
  }
}

TEST(RefBlock, BoundCatchesEverySlipAtTheInput) {
  BlockTensors w = random_tensors(kShape, 11);
  RefBlock block(kShape, w, kChosen);
  const Values d_y = random_values(kShape.T * kShape.D, 40);
  const Values numeric = numeric_gradient(w.x_TD, d_y, [&] { return block.forward(); });
  for (const Slip slip : {Slip::residual, Slip::routing_weights, Slip::shared_key, Slip::latent_norm})
    EXPECT_GT(difference(block.backward(d_y, slip).x_TD, numeric), kMistake) << static_cast<int>(slip);
}

TEST(RefBlock, AnExpertThatNobodyChoseHasNoGradient) {
  BlockTensors w = random_tensors(kShape, 12);
  RefBlock block(kShape, w, kChosen);
  const BlockTensors g = block.backward(random_values(kShape.T * kShape.D, 41), Slip::none);
  const std::ptrdiff_t size = kShape.F * kShape.D;
  for (std::ptrdiff_t i = 2 * size; i < 3 * size; ++i) EXPECT_EQ(g.gate_EFD[static_cast<std::size_t>(i)], 0);
}

}  // namespace
}  // namespace hadal::testing
