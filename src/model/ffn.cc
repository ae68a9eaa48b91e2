// The second half of a block: dense SwiGLU, or DeepSeekMoE (routed experts chosen per token, plus a shared expert for
// all). Tokens are put in expert order once; all experts of a layer are one parallel loop (DeepSeekMoE eq. 3 to 5,
// MODELS.md 4).
#include <algorithm>

#include "kernels/kernel_table.h"
#include "model/block.h"
#include "spec/config_check.h"

namespace hadal {
namespace {

// --- one SwiGLU or many --------------------------------------------------------------------------------------------

MatmulJob gate_up_of(const SwigluJob& job, int first_row, int rows) {
  const int d = job.w->gate_up.inputs(), stride = job.w->gate_up_stride();
  return {.weights = &job.w->gate_up,
          .x = job.x_rows ? job.x : job.x + static_cast<std::ptrdiff_t>(first_row) * d,
          .x_stride = d,
          .y = job.gate_up + static_cast<std::ptrdiff_t>(first_row) * stride,
          .y_stride = stride,
          .rows = rows,
          .x_rows = job.x_rows ? job.x_rows + first_row : nullptr};
}

// The routing weight rides on the activation, so that combining is a plain sum.
void activate(const KernelTable& kernels, const SwigluJob& job, int first_row, int rows) {
  const int width = job.w->width, stride = job.w->gate_up_stride(), up = FfnWeights::up_offset(width);
  for (int i = first_row; i < first_row + rows; ++i) {
    const float* gate = job.gate_up + static_cast<std::ptrdiff_t>(i) * stride;
    kernels.swiglu(gate, gate + up, job.weights ? job.weights[i] : 1.0f, width,
                   job.act + static_cast<std::ptrdiff_t>(i) * width);
  }
}

MatmulJob down_of(const SwigluJob& job, int first_row, int rows) {
  const int d = job.w->down.outputs(), width = job.w->width;
  return {.weights = &job.w->down,
          .x = job.act + static_cast<std::ptrdiff_t>(first_row) * width,
          .x_stride = width,
          .y = job.y + static_cast<std::ptrdiff_t>(first_row) * d,
          .y_stride = d,
          .rows = rows,
          .accumulate = job.accumulate};
}

// Runs a.swiglu_jobs. No row needs another one, so a thread takes some rows of one job all the way: one loop instead of
// three, and what lies between the products stays in its cache. Where that leaves threads without work (few tokens,
// many threads), each product is shared among them instead.
void swiglu(const Compute& compute, FfnActivations& a) {
  constexpr int kRowBlock = 96, kPartsEach = 2;
  const auto job_of = [&](const SwigluPart& part) -> const SwigluJob& {
    return a.swiglu_jobs[static_cast<std::size_t>(part.job)];
  };
  a.parts.clear();
  for (int j = 0; j < static_cast<int>(a.swiglu_jobs.size()); ++j) {
    const int rows = a.swiglu_jobs[static_cast<std::size_t>(j)].rows;
    for (int row = 0; row < rows; row += kRowBlock) a.parts.push_back({j, row, std::min(kRowBlock, rows - row)});
  }
  const int parts = static_cast<int>(a.parts.size());
  if (parts >= kPartsEach * compute.pool->threads()) {
    compute.pool->parallel_for(parts, [&](int i, int) {
      const SwigluPart& part = a.parts[static_cast<std::size_t>(i)];
      const SwigluJob& job = job_of(part);
      matmul_here(compute, gate_up_of(job, part.first_row, part.rows));
      activate(*compute.kernels, job, part.first_row, part.rows);
      matmul_here(compute, down_of(job, part.first_row, part.rows));
    });
    return;
  }
  a.jobs.clear();
  for (const SwigluJob& job : a.swiglu_jobs) a.jobs.push_back(gate_up_of(job, 0, job.rows));
  matmul(compute, a.jobs);
  for (const SwigluJob& job : a.swiglu_jobs)
    for_row_blocks(compute, job.rows, [&](int first, int n) { activate(*compute.kernels, job, first, n); });
  a.jobs.clear();
  for (const SwigluJob& job : a.swiglu_jobs) a.jobs.push_back(down_of(job, 0, job.rows));
  matmul(compute, a.jobs);
}

// For all rows of the batch: the dense FFN, or the shared expert. Adds to x_out.
SwigluJob swiglu_of_all_rows(const FfnWeights& w, int rows, float* x_out, FfnActivations& a) {
  return {.w = &w,
          .x = a.norm_TD.data(),
          .x_rows = nullptr,
          .weights = nullptr,
          .gate_up = a.gate_up.ensure(size(rows, w.gate_up_stride())),
          .act = a.act.ensure(size(rows, w.width)),
          .y = x_out,
          .rows = rows,
          .accumulate = true};
}

// --- experts -------------------------------------------------------------------------------------------------------

// Of a layer's experts; empty where the router chooses.
std::span<const ExpertId> replayed_in(const PassContext& pass, int layer) {
  if (pass.replayed.empty()) return {};
  int before = 0;
  for (int l = 0; l < layer; ++l) before += pass.config.is_moe_layer(l);
  const std::size_t count = size(pass.rows, pass.router_rule.chosen);
  return pass.replayed.subspan(static_cast<std::size_t>(before) * count, count);
}

void route_tokens(const PassContext& pass, int layer, const BlockWeights& w, FfnActivations& a) {
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
  const std::span<const ExpertId> replayed = replayed_in(pass, layer);
  for_rows(pass.compute, rows, [&](int t) {
    const std::ptrdiff_t at = static_cast<std::ptrdiff_t>(t) * rule.chosen;
    route(*pass.compute.kernels, rule, scores + static_cast<std::ptrdiff_t>(t) * rule.experts, bias,
          a.chosen_TK.data() + at, weights + at);
    if (replayed.empty()) return;
    std::copy_n(replayed.begin() + at, rule.chosen, a.chosen_TK.begin() + at);
    route_weights(rule, scores + static_cast<std::ptrdiff_t>(t) * rule.experts, a.chosen_TK.data() + at, weights + at);
  });
}

// Counting sort by expert; within an expert, tokens stay in order.
void dispatch_tokens(const RouterRule& rule, int rows, const FfnActivations& a, ExpertDispatch& to) {
  to.first_slot_E.assign(static_cast<std::size_t>(rule.experts) + 1, 0);
  for (const ExpertId e : a.chosen_TK) ++to.first_slot_E[static_cast<std::size_t>(index(e)) + 1];
  for (int e = 0; e < rule.experts; ++e)
    to.first_slot_E[static_cast<std::size_t>(e) + 1] += to.first_slot_E[static_cast<std::size_t>(e)];
  to.slot_token_S.resize(a.chosen_TK.size());
  to.slot_weight_S.resize(a.chosen_TK.size());
  to.slot_of_TK.resize(a.chosen_TK.size());
  static_assert(kMaxConfigExperts <= kMaxExperts);
  std::int32_t next[kMaxExperts];
  std::copy(to.first_slot_E.begin(), to.first_slot_E.end() - 1, next);
  for (int t = 0; t < rows; ++t)
    for (int k = 0; k < rule.chosen; ++k) {
      const std::size_t at = size(t, rule.chosen) + static_cast<std::size_t>(k);
      const std::int32_t slot = next[index(a.chosen_TK[at])]++;
      to.slot_token_S[static_cast<std::size_t>(slot)] = t;
      to.slot_weight_S[static_cast<std::size_t>(slot)] = a.weights_TK.data()[at];
      to.slot_of_TK[at] = slot;
    }
}

void moe_forward(const PassContext& pass, int layer, const BlockWeights& w, float* x_out, FfnActivations& a) {
  const RouterRule& rule = pass.router_rule;
  const int rows = pass.rows, d = pass.config.hidden_size, slots = rows * rule.chosen,
            width = pass.config.moe_intermediate_size;
  route_tokens(pass, layer, w, a);
  dispatch_tokens(rule, rows, a, a.dispatch);
  const int stride = w.experts[0].gate_up_stride();
  float* gate_up = a.expert_gate_up.ensure(size(slots, stride));
  float* act = a.expert_act.ensure(size(slots, width));
  float* out = a.expert_out_SD.ensure(size(slots, d));

  a.swiglu_jobs.clear();
  if (w.shared.width) a.swiglu_jobs.push_back(swiglu_of_all_rows(w.shared, rows, x_out, a));  // the longest part first
  for (int e = 0; e < rule.experts; ++e) {
    const std::ptrdiff_t first = a.dispatch.first_slot_E[static_cast<std::size_t>(e)];
    const int n = a.dispatch.first_slot_E[static_cast<std::size_t>(e) + 1] - static_cast<int>(first);
    if (n > 0)
      a.swiglu_jobs.push_back({.w = &w.experts[static_cast<std::size_t>(e)],
                               .x = a.norm_TD.data(),
                               .x_rows = a.dispatch.slot_token_S.data() + first,
                               .weights = a.dispatch.slot_weight_S.data() + first,
                               .gate_up = gate_up + first * stride,
                               .act = act + first * width,
                               .y = out + first * d,
                               .rows = n,
                               .accumulate = false});
  }
  swiglu(pass.compute, a);

  for_rows(pass.compute, rows, [&](int t) {
    for (int k = 0; k < rule.chosen; ++k) {
      const std::ptrdiff_t slot = a.dispatch.slot_of_TK[size(t, rule.chosen) + static_cast<std::size_t>(k)];
      pass.compute.kernels->add_scaled(out + slot * d, 1.0f, d, x_out + static_cast<std::ptrdiff_t>(t) * d);
    }
  });
}

}  // namespace

void ffn_forward(const PassContext& pass, int layer, const BlockWeights& w, const float* x_mid, float* x_out,
                 FfnActivations& a) {
  begin_half(pass, x_mid, w.post_attention_layernorm, a.norm_TD, a.norm_scale_T, x_out);
  if (w.moe) {
    moe_forward(pass, layer, w, x_out, a);
    return;
  }
  a.swiglu_jobs.assign(1, swiglu_of_all_rows(w.dense, pass.rows, x_out, a));
  swiglu(pass.compute, a);
}

}  // namespace hadal
