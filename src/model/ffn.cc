// The second half of a block: dense SwiGLU, or DeepSeekMoE (routed experts chosen per token, plus a shared expert for
// all). Tokens are put in expert order once; all experts of a layer are one parallel loop (DeepSeekMoE eq. 3 to 5,
// MODELS.md 4).
#include <algorithm>
#include <cstring>

#include "kernels/kernel_table.h"
#include "model/block.h"

namespace hadal {
namespace {

std::size_t size(int a, int b) {
  return static_cast<std::size_t>(a) * static_cast<std::size_t>(b);
}
constexpr int kRows = 64;

void swiglu_rows(const Compute& compute, const FfnWeights& w, int rows, const float* gate_up, const float* row_weights,
                 float* act) {
  const int stride = w.gate_up_stride(), up = FfnWeights::up_offset(w.width);
  compute.pool->parallel_for((rows + kRows - 1) / kRows, [&](int block, int) {
    for (int t = block * kRows; t < std::min(rows, (block + 1) * kRows); ++t) {
      const float* row = gate_up + static_cast<std::ptrdiff_t>(t) * stride;
      compute.kernels->swiglu(row, row + up, row_weights ? row_weights[t] : 1.0f, w.width,
                              act + static_cast<std::ptrdiff_t>(t) * w.width);
    }
  });
}

void route_tokens(const PassContext& pass, const BlockWeights& w, FfnActivations& a) {
  const RouterRule& rule = pass.router_rule;
  const int rows = pass.rows, d = pass.config.hidden_size;
  float* scores = a.scores_TE.ensure(size(rows, rule.experts));
  float* weights = a.weights_TK.ensure(size(rows, rule.chosen));
  a.chosen_TK.resize(size(rows, rule.chosen));
  matmul(pass.compute, {.weights = &w.router,
                        .x = a.norm_TD.data(),
                        .x_stride = d,
                        .y = scores,
                        .y_stride = rule.experts,
                        .rows = rows});
  const float* bias = w.router_bias.empty() ? nullptr : w.router_bias.data();
  pass.compute.pool->parallel_for((rows + kRows - 1) / kRows, [&](int block, int) {
    for (int t = block * kRows; t < std::min(rows, (block + 1) * kRows); ++t)
      route(*pass.compute.kernels, rule, scores + static_cast<std::ptrdiff_t>(t) * rule.experts, bias,
            a.chosen_TK.data() + static_cast<std::ptrdiff_t>(t) * rule.chosen,
            weights + static_cast<std::ptrdiff_t>(t) * rule.chosen);
  });
}

// Counting sort by expert; within an expert, tokens stay in order.
void dispatch_tokens(const RouterRule& rule, int rows, const std::vector<ExpertId>& chosen_TK, ExpertDispatch& to) {
  to.first_slot_E.assign(static_cast<std::size_t>(rule.experts) + 1, 0);
  for (const ExpertId e : chosen_TK) ++to.first_slot_E[static_cast<std::size_t>(index(e)) + 1];
  for (int e = 0; e < rule.experts; ++e)
    to.first_slot_E[static_cast<std::size_t>(e) + 1] += to.first_slot_E[static_cast<std::size_t>(e)];
  to.slot_token_S.resize(chosen_TK.size());
  to.slot_of_TK.resize(chosen_TK.size());
  std::int32_t next[4096];
  std::copy(to.first_slot_E.begin(), to.first_slot_E.end() - 1, next);
  for (int t = 0; t < rows; ++t)
    for (int k = 0; k < rule.chosen; ++k) {
      const std::size_t at = size(t, rule.chosen) + static_cast<std::size_t>(k);
      const std::int32_t slot = next[index(chosen_TK[at])]++;
      to.slot_token_S[static_cast<std::size_t>(slot)] = t;
      to.slot_of_TK[at] = slot;
    }
}

void moe_forward(const PassContext& pass, const BlockWeights& w, float* x_out, FfnActivations& a) {
  const RouterRule& rule = pass.router_rule;
  const int rows = pass.rows, d = pass.config.hidden_size, slots = rows * rule.chosen,
            width = pass.config.moe_intermediate_size;
  route_tokens(pass, w, a);
  dispatch_tokens(rule, rows, a.chosen_TK, a.dispatch);
  const int stride = w.experts[0].gate_up_stride();
  float* gate_up = a.expert_gate_up.ensure(size(slots, stride));
  float* act = a.expert_act.ensure(size(slots, width));
  float* out = a.expert_out_SD.ensure(size(slots, d));

  // gate and up of the chosen experts and of the shared one
  a.jobs.clear();
  const auto slots_of = [&](int e, int& first) {
    first = a.dispatch.first_slot_E[static_cast<std::size_t>(e)];
    return a.dispatch.first_slot_E[static_cast<std::size_t>(e) + 1] - first;
  };
  for (int e = 0; e < rule.experts; ++e) {
    int first;
    const int n = slots_of(e, first);
    if (n > 0)
      a.jobs.push_back({.weights = &w.experts[static_cast<std::size_t>(e)].gate_up,
                        .x = a.norm_TD.data(),
                        .x_stride = d,
                        .y = gate_up + static_cast<std::ptrdiff_t>(first) * stride,
                        .y_stride = stride,
                        .rows = n,
                        .x_rows = a.dispatch.slot_token_S.data() + first});
  }
  if (w.shared.width)
    a.jobs.push_back({.weights = &w.shared.gate_up,
                      .x = a.norm_TD.data(),
                      .x_stride = d,
                      .y = a.gate_up.ensure(size(rows, w.shared.gate_up_stride())),
                      .y_stride = w.shared.gate_up_stride(),
                      .rows = rows});
  matmul(pass.compute, a.jobs);

  // the routing weight rides on the activation, so that combining is a plain sum
  const float* weights = a.weights_TK.data();
  pass.compute.pool->parallel_for((rows + kRows - 1) / kRows, [&](int block, int) {
    for (int t = block * kRows; t < std::min(rows, (block + 1) * kRows); ++t)
      for (int k = 0; k < rule.chosen; ++k) {
        const std::size_t at = size(t, rule.chosen) + static_cast<std::size_t>(k);
        const std::ptrdiff_t slot = a.dispatch.slot_of_TK[at];
        const float* row = gate_up + slot * stride;
        pass.compute.kernels->swiglu(row, row + FfnWeights::up_offset(width), weights[at], width, act + slot * width);
      }
  });
  if (w.shared.width)
    swiglu_rows(pass.compute, w.shared, rows, a.gate_up.data(), nullptr, a.act.ensure(size(rows, w.shared.width)));

  a.jobs.clear();
  for (int e = 0; e < rule.experts; ++e) {
    int first;
    const int n = slots_of(e, first);
    if (n > 0)
      a.jobs.push_back({.weights = &w.experts[static_cast<std::size_t>(e)].down,
                        .x = act + static_cast<std::ptrdiff_t>(first) * width,
                        .x_stride = width,
                        .y = out + static_cast<std::ptrdiff_t>(first) * d,
                        .y_stride = d,
                        .rows = n});
  }
  if (w.shared.width)
    a.jobs.push_back({.weights = &w.shared.down,
                      .x = a.act.data(),
                      .x_stride = w.shared.width,
                      .y = x_out,
                      .y_stride = d,
                      .rows = rows,
                      .accumulate = true});
  matmul(pass.compute, a.jobs);

  pass.compute.pool->parallel_for((rows + kRows - 1) / kRows, [&](int block, int) {
    for (int t = block * kRows; t < std::min(rows, (block + 1) * kRows); ++t)
      for (int k = 0; k < rule.chosen; ++k) {
        const std::ptrdiff_t slot = a.dispatch.slot_of_TK[size(t, rule.chosen) + static_cast<std::size_t>(k)];
        pass.compute.kernels->add_scaled(out + slot * d, 1.0f, d, x_out + static_cast<std::ptrdiff_t>(t) * d);
      }
  });
}

}  // namespace

void ffn_forward(const PassContext& pass, const BlockWeights& w, const float* x_mid, float* x_out, FfnActivations& a) {
  const int rows = pass.rows, d = pass.config.hidden_size;
  float* norm = a.norm_TD.ensure(size(rows, d));
  norm_rows(pass.compute, rows, d, x_mid, d, w.post_attention_layernorm.data(),
            static_cast<float>(pass.config.rms_norm_eps), norm, d, a.norm_scale_T.ensure(size(rows, 1)));
  std::memcpy(x_out, x_mid, size(rows, d) * 4);
  if (w.moe) {
    moe_forward(pass, w, x_out, a);
    return;
  }
  const int stride = w.dense.gate_up_stride();
  float* gate_up = a.gate_up.ensure(size(rows, stride));
  matmul(pass.compute,
         {.weights = &w.dense.gate_up, .x = norm, .x_stride = d, .y = gate_up, .y_stride = stride, .rows = rows});
  float* act = a.act.ensure(size(rows, w.dense.width));
  swiglu_rows(pass.compute, w.dense, rows, gate_up, nullptr, act);
  matmul(pass.compute, {.weights = &w.dense.down,
                        .x = act,
                        .x_stride = w.dense.width,
                        .y = x_out,
                        .y_stride = d,
                        .rows = rows,
                        .accumulate = true});
}

}  // namespace hadal
