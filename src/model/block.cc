#include "model/block.h"

#include <algorithm>

#include "kernels/kernel_table.h"

namespace hadal {

void block_forward(const PassContext& pass, int layer, const BlockWeights& weights, const float* x_in, float* x_out,
                   BlockActivations& a) {
  float* x_mid =
      a.x_mid_TD.ensure(static_cast<std::size_t>(pass.rows) * static_cast<std::size_t>(pass.config.hidden_size));
  mla_forward(pass, layer, weights.attention, x_in, x_mid, a.attention);
  ffn_forward(pass, weights, x_mid, x_out, a.ffn);
}

void norm_rows(const Compute& compute, int rows, int n, const float* x, std::ptrdiff_t x_stride, const float* w,
               float eps, float* y, std::ptrdiff_t y_stride, float* scale_T) {
  constexpr int kRows = 64;
  compute.pool->parallel_for((rows + kRows - 1) / kRows, [&](int block, int) {
    for (int t = block * kRows; t < std::min(rows, (block + 1) * kRows); ++t)
      scale_T[t] = compute.kernels->rms_norm(x + t * x_stride, w, n, eps, y + t * y_stride);
  });
}

RouterRule router_rule(const ModelConfig& c) {
  RouterRule rule{};
  rule.experts = c.n_routed_experts;
  rule.chosen = c.num_experts_per_tok;
  rule.groups = c.n_group;
  rule.kept_groups = c.topk_group;
  rule.score = c.scoring_func == ScoringFunc::softmax ? RouterRule::Score::softmax : RouterRule::Score::sigmoid;
  rule.group_score = RouterRule::GroupScore::none;
  if (c.topk_method == TopkMethod::group_limited_greedy) rule.group_score = RouterRule::GroupScore::best;
  if (c.topk_method == TopkMethod::noaux_tc) rule.group_score = RouterRule::GroupScore::two_best;
  rule.normalise = c.norm_topk_prob && c.num_experts_per_tok > 1;
  rule.scale = static_cast<float>(c.routed_scaling_factor);
  return rule;
}

}  // namespace hadal
