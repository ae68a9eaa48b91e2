#include "model/block.h"

#include <cstring>
#include <utility>

#include "kernels/kernel_table.h"

namespace hadal {

void block_forward(const PassContext& pass, int layer, const BlockWeights& weights, const float* x_in, float* x_out,
                   BlockActivations& a) {
  float* x_mid =
      a.x_mid_TD.ensure(static_cast<std::size_t>(pass.rows) * static_cast<std::size_t>(pass.config.hidden_size));
  if (pass.config.attention_kind == AttentionKind::mla)
    mla_forward(pass, layer, weights.attention, x_in, x_mid, a.attention);
  else
    gqa_forward(pass, layer, weights.attention, x_in, x_mid, a.attention);
  ffn_forward(pass, layer, weights, x_mid, x_out, a.ffn);
}

void begin_half(const PassContext& pass, const float* x, const std::vector<float>& weight_D, FloatBuffer& norm_TD,
                FloatBuffer& norm_scale_T, float* x_out) {
  const int d = pass.config.hidden_size;
  const std::size_t rows = static_cast<std::size_t>(pass.rows), width = static_cast<std::size_t>(d);
  float* norm = norm_TD.ensure(rows * width);
  float* scale = norm_scale_T.ensure(rows);
  for_rows(pass.compute, pass.rows, [&](int t) {
    const std::ptrdiff_t at = static_cast<std::ptrdiff_t>(t) * d;
    scale[t] = pass.compute.kernels->rms_norm(x + at, weight_D.data(), d, static_cast<float>(pass.config.rms_norm_eps),
                                              norm + at);
    std::memcpy(x_out + at, x + at, width * sizeof(float));
  });
}

void norm_rows(const Compute& compute, int rows, int n, const float* x, std::ptrdiff_t x_stride, const float* w,
               float eps, float* y, std::ptrdiff_t y_stride, float* scale_T) {
  for_rows(compute, rows,
           [&](int t) { scale_T[t] = compute.kernels->rms_norm(x + t * x_stride, w, n, eps, y + t * y_stride); });
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
  // V2 leaves the weight of an only expert as it is (MODELS.md 4.1), V3 divides by it (4.2).
  rule.normalise = c.norm_topk_prob && (c.num_experts_per_tok > 1 || rule.score == RouterRule::Score::sigmoid);
  rule.scale = static_cast<float>(c.routed_scaling_factor);
  return rule;
}

}  // namespace hadal
