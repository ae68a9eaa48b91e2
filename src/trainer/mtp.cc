#include "trainer/mtp.h"

#include <algorithm>
#include <cstring>

#include "kernels/kernel_table.h"

namespace hadal {
// The last token of a sequence has no next one: each sequence loses a row.
void MtpLoss::collect(const PassContext& main, const TrainingBatch& batch) {
  segments_.clear();
  row_T_.clear();
  counted_.clear();
  targets_.clear();
  next_tokens_.clear();
  for (const Segment& s : main.segments) {
    if (s.rows < 2) continue;
    segments_.push_back({static_cast<int>(row_T_.size()), s.rows - 1, 0, {}});
    for (int r = 0; r + 1 < s.rows; ++r) {
      const auto next = static_cast<std::size_t>(s.first_row + r + 1);
      if (batch.targets[next] >= 0) {
        counted_.push_back(static_cast<std::int32_t>(row_T_.size()));
        targets_.push_back(batch.targets[next]);
      }
      row_T_.push_back(s.first_row + r);
      next_tokens_.push_back(batch.tokens[next]);
    }
  }
}

void MtpLoss::forward(const PassContext& main, const PassContext& pass, MtpParameters& p, const ModelWeights& weights,
                      const float* final_TD) {
  const ModelConfig& c = pass.config;
  const int d = c.hidden_size, rows = pass.rows;
  const float eps = static_cast<float>(c.rms_norm_eps);
  float* embedded = embedded_TD_.ensure(size(rows, d));
  float* hidden = hidden_TD_.ensure(size(rows, d));
  for (int r = 0; r < rows; ++r) {
    const std::ptrdiff_t t = row_T_[static_cast<std::size_t>(r)];
    embed(c, weights, *pass.compute.kernels, next_tokens_[static_cast<std::size_t>(r)],
          embedded + static_cast<std::ptrdiff_t>(r) * d);
    std::memcpy(hidden + static_cast<std::ptrdiff_t>(r) * d, final_TD + t * d, size(d, 4));
    std::memcpy(rope_TR_.data() + static_cast<std::ptrdiff_t>(r) * c.qk_rope_head_dim,
                main.rope_TR + t * c.qk_rope_head_dim, size(c.qk_rope_head_dim, 4));
  }
  float* combined = combined_T2D_.ensure(size(rows, 2 * d));
  norm_rows(pass.compute, rows, d, embedded, d, p.enorm.data(), eps, combined, 2 * d,
            embedded_scale_T_.ensure(size(rows, 1)));
  norm_rows(pass.compute, rows, d, hidden, d, p.hnorm.data(), eps, combined + d, 2 * d,
            hidden_scale_T_.ensure(size(rows, 1)));
  float* x_in = x_in_TD_.ensure(size(rows, d));
  matmul(pass.compute,
         {.weights = &p.eh_proj, .x = combined, .x_stride = 2 * d, .y = x_in, .y_stride = d, .rows = rows});
  float* x_out = x_out_TD_.ensure(size(rows, d));
  block_forward(pass, c.num_hidden_layers, p.block, x_in, x_out, block_);
  norm_rows(pass.compute, rows, d, x_out, d, p.shared_head_norm.data(), eps, norm_TD_.ensure(size(rows, d)), d,
            norm_scale_T_.ensure(size(rows, 1)));
}

void MtpLoss::backward(const PassContext& pass, PackedParameters& parameters, BalanceLoss& balance, float* d_final_TD,
                       BackwardScratch& scratch) {
  MtpParameters& p = *parameters.mtp;
  const int d = pass.config.hidden_size, rows = pass.rows;
  float* d_x = d_x_TD_.ensure(size(rows, d));
  norm_rows_backward(pass.compute,
                     {rows, d, x_out_TD_.data(), d, p.shared_head_norm.data(), d_norm_TD_.data(), d,
                      norm_scale_T_.data(), d_x, d, false, p.d_shared_head_norm},
                     scratch.norm_partials);
  ffn_backward(pass, p.block, p.transposed, block_.x_mid_TD.data(), block_.ffn, balance, p.gradients, d_x, scratch);
  mla_backward(pass, p.block.attention, p.transposed.attention, x_in_TD_.data(), block_.attention, p.gradients, d_x,
               scratch);

  float* d_combined = d_combined_T2D_.ensure(size(rows, 2 * d));
  matmul(pass.compute,
         {.weights = &p.eh_proj_transposed, .x = d_x, .x_stride = d, .y = d_combined, .y_stride = 2 * d, .rows = rows});
  const WeightGradientJob job{.dy = d_x,
                              .dy_stride = d,
                              .x = combined_T2D_.data(),
                              .x_stride = 2 * d,
                              .dw = p.d_eh_proj,
                              .dw_stride = 2 * d,
                              .rows = rows,
                              .outputs = d,
                              .inputs = 2 * d};
  weight_gradient(pass.compute, std::span(&job, 1));

  float* d_part = d_part_TD_.ensure(size(rows, d));
  norm_rows_backward(pass.compute,
                     {rows, d, embedded_TD_.data(), d, p.enorm.data(), d_combined, 2 * d, embedded_scale_T_.data(),
                      d_part, d, false, p.d_enorm},
                     scratch.norm_partials);
  for (int r = 0; r < rows; ++r)
    pass.compute.kernels->add_scaled(
        d_part + static_cast<std::ptrdiff_t>(r) * d, 1.0f, d,
        parameters.d_embedding + static_cast<std::ptrdiff_t>(index(next_tokens_[static_cast<std::size_t>(r)])) * d);
  norm_rows_backward(pass.compute,
                     {rows, d, hidden_TD_.data(), d, p.hnorm.data(), d_combined + d, 2 * d, hidden_scale_T_.data(),
                      d_part, d, false, p.d_hnorm},
                     scratch.norm_partials);
  for (int r = 0; r < rows; ++r)
    pass.compute.kernels->add_scaled(d_part + static_cast<std::ptrdiff_t>(r) * d, 1.0f, d,
                                     d_final_TD + static_cast<std::ptrdiff_t>(row_T_[static_cast<std::size_t>(r)]) * d);
}

double MtpLoss::run(const PassContext& main, PackedParameters& parameters, LossHead& head, const TrainingBatch& batch,
                    const float* final_TD, float weight, BalanceLoss& balance, float* d_final_TD,
                    BackwardScratch& scratch) {
  collect(main, batch);
  const int rows = static_cast<int>(row_T_.size()), d = main.config.hidden_size;
  if (counted_.empty()) return 0;
  const PassContext pass{main.compute,
                         main.config,
                         segments_,
                         rows,
                         rope_TR_.ensure(size(rows, main.config.qk_rope_head_dim)),
                         nullptr,
                         main.softmax_scale,
                         main.router_rule};
  forward(main, pass, *parameters.mtp, parameters.weights, final_TD);
  float* d_norm = d_norm_TD_.ensure(size(rows, d));
  std::memset(d_norm, 0, size(rows, d) * sizeof(float));
  const double count = static_cast<double>(counted_.size());
  const double sum = head.run(main.compute, main.config, parameters,
                              {.rows_TD = norm_TD_.data(),
                               .rows = counted_,
                               .targets = targets_,
                               .factor = weight / static_cast<float>(count),
                               .d_rows_TD = d_norm,
                               .nll = {}});
  backward(pass, parameters, balance, d_final_TD, scratch);
  return sum / count;
}

}  // namespace hadal
