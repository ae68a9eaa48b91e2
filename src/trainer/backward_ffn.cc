// Backward of the FFN half of a block. With the routing weight folded into the activation (y = W_down (w a)), the
// gradient of a slot's activation needs no copy of the gradient per slot: the products gather its rows.
#include <algorithm>
#include <cstring>

#include "kernels/kernel_table.h"
#include "trainer/backward.h"

namespace hadal {
namespace {

// One SwiGLU for all rows (dense or shared): fills d_gate_up [T, stride] and adds the weight gradients' jobs.
void swiglu_rows_backward(const PassContext& pass, const FfnWeights& w, const FfnTransposed& wt,
                          const FfnActivations& a, const float* d_x, FfnGradients& g, BackwardScratch& s) {
  const int rows = pass.rows, d = pass.config.hidden_size, width = w.width, stride = w.gate_up_stride(),
            up = FfnWeights::up_offset(width);
  float* d_act = s.d_act.ensure(size(rows, width));
  float* d_gate_up = s.d_gate_up.ensure(size(rows, stride));
  matmul(pass.compute, {.weights = &wt.down, .x = d_x, .x_stride = d, .y = d_act, .y_stride = width, .rows = rows});
  for_rows(pass.compute, rows, [&](int t) {
    const float* forward = a.gate_up.data() + static_cast<std::ptrdiff_t>(t) * stride;
    float* back = d_gate_up + static_cast<std::ptrdiff_t>(t) * stride;
    std::memset(back + width, 0, size(up - width, 4));
    pass.compute.kernels->swiglu_backward(forward, forward + up, d_act + static_cast<std::ptrdiff_t>(t) * width, 1.0f,
                                          width, back, back + up);
  });
  s.weight_jobs.push_back({.dy = d_x,
                           .dy_stride = d,
                           .x = a.act.data(),
                           .x_stride = width,
                           .dw = g.down,
                           .dw_stride = width,
                           .rows = rows,
                           .outputs = d,
                           .inputs = width});
  for (const auto& [offset, dw] : {std::pair{0, g.gate}, std::pair{up, g.up}})
    s.weight_jobs.push_back({.dy = d_gate_up + offset,
                             .dy_stride = stride,
                             .x = a.norm_TD.data(),
                             .x_stride = d,
                             .dw = dw,
                             .dw_stride = d,
                             .rows = rows,
                             .outputs = width,
                             .inputs = d});
}

// Adds the balance loss of one sequence: L = alpha sum_i f_i P_i, f_i = E / (K T) #{t : i among the K best scores},
// P_i = mean_t s_it / sum_j s_jt. f is a constant of the step.
double balance_of_sequence(const RouterRule& rule, const Segment& segment, double alpha, double weight,
                           const float* scores_TE, float* d_logits_TE) {
  const int experts = rule.experts;
  std::vector<double> share(static_cast<std::size_t>(experts), 0), mean(static_cast<std::size_t>(experts), 0);
  std::vector<int> order(static_cast<std::size_t>(experts));
  std::vector<float> d_scores(static_cast<std::size_t>(experts));
  const auto row_sum = [&](const float* scores) {
    double sum = 1e-20;
    for (int e = 0; e < experts; ++e) sum += scores[e];
    return sum;
  };
  for (int r = 0; r < segment.rows; ++r) {
    const float* scores = scores_TE + static_cast<std::ptrdiff_t>(segment.first_row + r) * experts;
    for (int e = 0; e < experts; ++e) order[static_cast<std::size_t>(e)] = e;
    std::partial_sort(order.begin(), order.begin() + rule.chosen, order.end(),
                      [&](int x, int y) { return scores[x] != scores[y] ? scores[x] > scores[y] : x < y; });
    for (int k = 0; k < rule.chosen; ++k) share[static_cast<std::size_t>(order[static_cast<std::size_t>(k)])] += 1;
    const double sum = row_sum(scores);
    for (int e = 0; e < experts; ++e) mean[static_cast<std::size_t>(e)] += scores[e] / sum / segment.rows;
  }
  double loss = 0;
  for (int e = 0; e < experts; ++e) {
    share[static_cast<std::size_t>(e)] *=
        static_cast<double>(experts) / (static_cast<double>(rule.chosen) * segment.rows);
    loss += alpha * share[static_cast<std::size_t>(e)] * mean[static_cast<std::size_t>(e)];
  }
  const double factor = alpha * weight / segment.rows;
  for (int r = 0; r < segment.rows; ++r) {
    const std::ptrdiff_t at = static_cast<std::ptrdiff_t>(segment.first_row + r) * experts;
    const double sum = row_sum(scores_TE + at);
    double pull = 0;
    for (int e = 0; e < experts; ++e) pull += share[static_cast<std::size_t>(e)] * scores_TE[at + e] / sum;
    for (int e = 0; e < experts; ++e)
      d_scores[static_cast<std::size_t>(e)] =
          static_cast<float>(factor * (share[static_cast<std::size_t>(e)] - pull) / sum);
    scores_backward(rule, scores_TE + at, d_scores.data(), d_logits_TE + at);
  }
  return loss * weight;
}

// Gradient at the router's logits: through the routing weights, and of the balance loss.
void router_backward(const PassContext& pass, const FfnActivations& a, BalanceLoss& balance, BackwardScratch& s) {
  const RouterRule& rule = pass.router_rule;
  float* d_logits = s.d_logits_TE.ensure(size(pass.rows, rule.experts));
  for_rows(pass.compute, pass.rows, [&](int t) {
    const std::ptrdiff_t e = static_cast<std::ptrdiff_t>(t) * rule.experts,
                         k = static_cast<std::ptrdiff_t>(t) * rule.chosen;
    std::memset(d_logits + e, 0, size(rule.experts, 4));
    route_backward(rule, a.scores_TE.data() + e, a.chosen_TK.data() + k, s.d_weights_TK.data() + k, d_logits + e);
  });
  if (balance.alpha == 0) return;
  const double weight = 1.0 / static_cast<double>(pass.segments.size());
  for (const Segment& segment : pass.segments)
    balance.value += balance_of_sequence(rule, segment, balance.alpha, weight, a.scores_TE.data(), d_logits);
}

void experts_backward(const PassContext& pass, const BlockWeights& w, const BlockTransposed& wt,
                      const FfnActivations& a, const float* d_x, BlockGradients& g, BackwardScratch& s) {
  const RouterRule& rule = pass.router_rule;
  const int rows = pass.rows, d = pass.config.hidden_size, slots = rows * rule.chosen,
            width = pass.config.moe_intermediate_size;
  const int stride = w.experts[0].gate_up_stride(), up = FfnWeights::up_offset(width);
  float* d_act = s.d_expert_act.ensure(size(slots, width));
  float* d_gate_up = s.d_expert_gate_up.ensure(size(slots, stride));
  float* d_norm_S = s.d_expert_norm_SD.ensure(size(slots, d));
  float* d_weights = s.d_weights_TK.ensure(size(rows, rule.chosen));
  const auto& first = a.dispatch.first_slot_E;
  const auto& token = a.dispatch.slot_token_S;
  const auto each_expert = [&](auto&& body) {
    for (std::size_t e = 0; e < static_cast<std::size_t>(rule.experts); ++e)
      if (first[e + 1] > first[e]) body(e, static_cast<std::ptrdiff_t>(first[e]), first[e + 1] - first[e]);
  };
  s.jobs.clear();
  each_expert([&](std::size_t e, std::ptrdiff_t slot, int n) {
    s.jobs.push_back({.weights = &wt.experts[e].down,
                      .x = d_x,
                      .x_stride = d,
                      .y = d_act + slot * width,
                      .y_stride = width,
                      .rows = n,
                      .x_rows = token.data() + slot});
  });
  matmul(pass.compute, s.jobs);
  for_rows(pass.compute, rows, [&](int t) {
    for (int k = 0; k < rule.chosen; ++k) {
      const std::size_t at = size(t, rule.chosen) + static_cast<std::size_t>(k);
      const std::ptrdiff_t slot = a.dispatch.slot_of_TK[at];
      const float* forward = a.expert_gate_up.data() + slot * stride;
      float* back = d_gate_up + slot * stride;
      std::memset(back + width, 0, size(up - width, 4));
      d_weights[at] = pass.compute.kernels->swiglu_backward(forward, forward + up, d_act + slot * width,
                                                            a.weights_TK.data()[at], width, back, back + up);
    }
  });
  s.jobs.clear();
  each_expert([&](std::size_t e, std::ptrdiff_t slot, int n) {
    s.jobs.push_back({.weights = &wt.experts[e].gate_up,
                      .x = d_gate_up + slot * stride,
                      .x_stride = stride,
                      .y = d_norm_S + slot * d,
                      .y_stride = d,
                      .rows = n});
    s.weight_jobs.push_back({.dy = d_x,
                             .dy_stride = d,
                             .x = a.expert_act.data() + slot * width,
                             .x_stride = width,
                             .dw = g.experts[e].down,
                             .dw_stride = width,
                             .rows = n,
                             .outputs = d,
                             .inputs = width,
                             .dy_rows = token.data() + slot});
    for (const auto& [offset, dw] : {std::pair{0, g.experts[e].gate}, std::pair{up, g.experts[e].up}})
      s.weight_jobs.push_back({.dy = d_gate_up + slot * stride + offset,
                               .dy_stride = stride,
                               .x = a.norm_TD.data(),
                               .x_stride = d,
                               .dw = dw,
                               .dw_stride = d,
                               .rows = n,
                               .outputs = width,
                               .inputs = d,
                               .x_rows = token.data() + slot});
  });
  matmul(pass.compute, s.jobs);
}

void moe_backward(const PassContext& pass, const BlockWeights& w, const BlockTransposed& wt, const FfnActivations& a,
                  BalanceLoss& balance, const float* d_x, BlockGradients& g, float* d_norm, BackwardScratch& s) {
  const RouterRule& rule = pass.router_rule;
  const int rows = pass.rows, d = pass.config.hidden_size;
  experts_backward(pass, w, wt, a, d_x, g, s);
  router_backward(pass, a, balance, s);
  if (w.shared.width) {
    swiglu_rows_backward(pass, w.shared, wt.shared, a, d_x, g.shared, s);
    const int stride = w.shared.gate_up_stride();
    matmul(pass.compute, {.weights = &wt.shared.gate_up,
                          .x = s.d_gate_up.data(),
                          .x_stride = stride,
                          .y = d_norm,
                          .y_stride = d,
                          .rows = rows});
  }
  matmul(pass.compute, {.weights = &wt.router,
                        .x = s.d_logits_TE.data(),
                        .x_stride = rule.experts,
                        .y = d_norm,
                        .y_stride = d,
                        .rows = rows,
                        .accumulate = w.shared.width > 0});
  for_rows(pass.compute, rows, [&](int t) {
    for (int k = 0; k < rule.chosen; ++k) {
      const std::ptrdiff_t slot = a.dispatch.slot_of_TK[size(t, rule.chosen) + static_cast<std::size_t>(k)];
      pass.compute.kernels->add_scaled(s.d_expert_norm_SD.data() + slot * d, 1.0f, d,
                                       d_norm + static_cast<std::ptrdiff_t>(t) * d);
    }
  });
  Compute exact = pass.compute;  // the router learns in float32, as it runs
  exact.arithmetic = Arithmetic::exact;
  const WeightGradientJob router{.dy = s.d_logits_TE.data(),
                                 .dy_stride = rule.experts,
                                 .x = a.norm_TD.data(),
                                 .x_stride = d,
                                 .dw = g.router,
                                 .dw_stride = d,
                                 .rows = rows,
                                 .outputs = rule.experts,
                                 .inputs = d};
  weight_gradient(exact, std::span(&router, 1));
}

}  // namespace

void ffn_backward(const PassContext& pass, const BlockWeights& w, const BlockTransposed& wt, const float* x_mid,
                  const FfnActivations& a, BalanceLoss& balance, BlockGradients& g, float* d_x, BackwardScratch& s) {
  const int rows = pass.rows, d = pass.config.hidden_size;
  float* d_norm = s.d_norm_TD.ensure(size(rows, d));
  s.weight_jobs.clear();
  if (w.moe) {
    moe_backward(pass, w, wt, a, balance, d_x, g, d_norm, s);
  } else {
    swiglu_rows_backward(pass, w.dense, wt.dense, a, d_x, g.dense, s);
    const int stride = w.dense.gate_up_stride();
    matmul(pass.compute, {.weights = &wt.dense.gate_up,
                          .x = s.d_gate_up.data(),
                          .x_stride = stride,
                          .y = d_norm,
                          .y_stride = d,
                          .rows = rows});
  }
  weight_gradient(pass.compute, s.weight_jobs);
  norm_rows_backward(pass.compute,
                     {rows, d, x_mid, d, w.post_attention_layernorm.data(), d_norm, d, a.norm_scale_T.data(), d_x, d,
                      true, g.post_attention_layernorm},
                     s.norm_partials);
}

}  // namespace hadal
