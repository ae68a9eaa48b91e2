#include "trainer/training_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <optional>
#include <string>

#include "base/check.h"
#include "kernels/kernel_table.h"
#include "model/block.h"
#include "model/rope_table.h"
#include "trainer/backward.h"
#include "trainer/loss_head.h"
#include "trainer/mtp.h"
#include "trainer/packed_parameters.h"

namespace hadal {
struct TrainingModel::Impl {
  ModelConfig config;
  Compute compute;
  std::vector<ParameterSlot> slots;
  std::map<std::string_view, std::int64_t> offsets;  // by the names in `slots`
  FloatBuffer parameters, gradients;
  std::int64_t elements = 0;
  PackedParameters packed;
  std::optional<RopeTable> rope_table;
  float scale = 1;
  RouterRule rule;

  // Of the current step.
  std::vector<Segment> segments;
  std::span<const ExpertId> replayed;
  std::vector<BlockActivations> activations;  // [L]
  std::vector<FloatBuffer> stream_TD;         // [L + 1] residual stream before each block and after the last
  FloatBuffer rope_TR, d_x_TD, final_TD, final_scale_T, d_final_TD;
  std::vector<std::int32_t> counted_rows, counted_targets;
  BackwardScratch scratch;
  LossHead head;
  MtpLoss mtp;

  PassContext pass() const {
    return {compute,        config,
            segments,       static_cast<int>(segments.empty() ? 0 : segments.back().first_row + segments.back().rows),
            rope_TR.data(), nullptr,
            scale,          rule,
            replayed};
  }
  void forward(const TrainingBatch& batch);
  void backward(float* d_x, BalanceLoss& balance);
  void embedding_backward(const TrainingBatch& batch);
};

TrainingModel::TrainingModel(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
TrainingModel::~TrainingModel() = default;

Status check_trainable(const ModelConfig& config, std::string_view subject) {
  const auto refuse = [&](std::string_view key, std::string_view expected, std::string_view found) {
    return Error{ErrorKind::unsupported,
                 fmt::format("{}: {}: expected {} for training, found {}", subject, key, expected, found)};
  };
  if (config.qk_head_norm) return refuse("model_type", "heads without norms of their own", name_of(config.model_type));
  if (config.kv_b_form != KvBForm::whole) return refuse("kv_b_proj", "it whole", "k_b and v_b apart, as in GGUF files");
  if (config.num_nextn_predict_layers > 1)
    return refuse("num_nextn_predict_layers", "0 or 1", std::to_string(config.num_nextn_predict_layers));
  return Done{};
}

Result<std::unique_ptr<TrainingModel>> TrainingModel::create(const ModelConfig& config, const Compute& compute) {
  HADAL_RETURN_IF_ERROR(check_trainable(config, "model"));
  auto impl = std::make_unique<Impl>();
  impl->config = config;
  impl->compute = compute;
  for (const TensorSpec& tensor : tensor_table(config)) {
    if (tensor.optional) continue;  // a copy of another
    impl->slots.push_back({tensor, impl->elements, tensor.role != TensorRole::router_bias});
    impl->elements += (tensor.elements() + 15) / 16 * 16;  // each tensor starts on a cache line
  }
  for (const ParameterSlot& slot : impl->slots) impl->offsets[slot.tensor.name] = slot.offset;
  const auto n = static_cast<std::size_t>(impl->elements);
  std::memset(impl->parameters.ensure(n), 0, n * sizeof(float));
  std::memset(impl->gradients.ensure(n), 0, n * sizeof(float));
  impl->packed.allocate(config, compute.arithmetic, impl->slots, impl->parameters.data(), impl->gradients.data());
  impl->rope_table.emplace(rope_inverse_frequencies(config));
  impl->scale = softmax_scale(config);
  impl->rule = router_rule(config);
  impl->activations.resize(static_cast<std::size_t>(config.num_hidden_layers));
  impl->stream_TD.resize(static_cast<std::size_t>(config.num_hidden_layers) + 1);
  return std::unique_ptr<TrainingModel>(new TrainingModel(std::move(impl)));
}

const ModelConfig& TrainingModel::config() const {
  return impl_->config;
}
std::span<const ParameterSlot> TrainingModel::slots() const {
  return impl_->slots;
}
std::span<float> TrainingModel::parameters() {
  return {impl_->parameters.data(), static_cast<std::size_t>(impl_->elements)};
}
std::span<float> TrainingModel::gradients() {
  return {impl_->gradients.data(), static_cast<std::size_t>(impl_->elements)};
}
void TrainingModel::copy_rows(const TensorSpec& tensor, std::int64_t first_row, std::span<float> out) const {
  const auto offset = impl_->offsets.find(tensor.name);
  HADAL_CHECK(offset != impl_->offsets.end());
  const std::int64_t width = tensor.elements() / tensor.shape[0];
  std::copy_n(impl_->parameters.data() + offset->second + first_row * width, out.size(), out.begin());
}
void TrainingModel::parameters_changed() {
  impl_->packed.refresh(impl_->compute);
}

void TrainingModel::Impl::forward(const TrainingBatch& batch) {
  const int rows = static_cast<int>(batch.tokens.size()), d = config.hidden_size;
  HADAL_CHECK(batch.starts.size() >= 2 && batch.starts.back() == rows && batch.targets.size() == batch.tokens.size());
  HADAL_CHECK(batch.kept_ends.empty() || batch.kept_ends.size() == batch.tokens.size());
  replayed = batch.routes;
  segments.clear();
  for (std::size_t i = 0; i + 1 < batch.starts.size(); ++i) {
    const int first = batch.starts[i], count = batch.starts[i + 1] - first;
    const int prefix = batch.prefixes.empty() ? -1 : batch.prefixes[i];
    if (count == 0) continue;
    Segment segment{first, count, 0, {}};
    if (prefix >= 0) {
      const auto p = static_cast<std::size_t>(prefix);
      HADAL_CHECK(p < i && batch.prefixes[p] < 0);
      segment.first_position = batch.starts[p + 1] - batch.starts[p];
      segment.prefix_row = batch.starts[p];
    }
    segments.push_back(segment);
  }
  const int rope_dim = config.rope_dim();
  float* rope = rope_TR.ensure(size(rows, rope_dim));
  float* x = stream_TD[0].ensure(size(rows, d));
  for (const Segment& s : segments) rope_table->cover(s.first_position + s.rows);
  compute.pool->parallel_for(static_cast<int>(segments.size()), [&](int i, int) {
    const Segment& s = segments[static_cast<std::size_t>(i)];
    for (int r = 0; r < s.rows; ++r) {
      const std::ptrdiff_t t = s.first_row + r;
      std::memcpy(rope + t * rope_dim, rope_table->row(s.first_position + r), size(rope_dim, 4));
      embed(config, packed.weights, *compute.kernels, batch.tokens[static_cast<std::size_t>(t)], x + t * d);
    }
  });
  const PassContext context = pass();
  for (std::size_t layer = 0; layer < activations.size(); ++layer)
    block_forward(context, static_cast<int>(layer), packed.weights.blocks[layer], stream_TD[layer].data(),
                  stream_TD[layer + 1].ensure(size(rows, d)), activations[layer]);
  norm_rows(compute, rows, d, stream_TD.back().data(), d, packed.weights.final_norm.data(),
            static_cast<float>(config.rms_norm_eps), final_TD.ensure(size(rows, d)), d,
            final_scale_T.ensure(size(rows, 1)));
  counted_rows.clear();
  counted_targets.clear();
  for (std::size_t t = 0; t < batch.targets.size(); ++t) {
    if (batch.targets[t] < 0) continue;
    counted_rows.push_back(static_cast<std::int32_t>(t));
    counted_targets.push_back(batch.targets[t]);
  }
}

// From the gradient at the last block's output to the gradient at the embedding, in d_x [T, D].
void TrainingModel::Impl::backward(float* d_x, BalanceLoss& balance) {
  const PassContext context = pass();
  for (std::size_t layer = activations.size(); layer-- > 0;) {
    const BlockActivations& a = activations[layer];
    const BlockWeights& w = packed.weights.blocks[layer];
    BlockGradients& g = packed.block_gradients[layer];
    ffn_backward(context, w, packed.transposed[layer], a.x_mid_TD.data(), a.ffn, balance, g, d_x, scratch);
    const auto attention_backward = config.attention_kind == AttentionKind::mla ? mla_backward : gqa_backward;
    attention_backward(context, w.attention, packed.transposed[layer].attention, stream_TD[layer].data(), a.attention,
                       g, d_x, scratch);
  }
}

void TrainingModel::Impl::embedding_backward(const TrainingBatch& batch) {
  constexpr int kColumns = 64;  // threads share columns, so that each sum keeps its order
  const int d = config.hidden_size;
  compute.pool->parallel_for((d + kColumns - 1) / kColumns, [&](int block, int) {
    const int column = block * kColumns, n = std::min(kColumns, d - column);
    for (std::size_t t = 0; t < batch.tokens.size(); ++t)
      compute.kernels->add_scaled(
          d_x_TD.data() + static_cast<std::ptrdiff_t>(t) * d + column, 1.0f, n,
          packed.d_embedding + static_cast<std::ptrdiff_t>(index(batch.tokens[t])) * d + column);
  });
}

StepResult TrainingModel::forward_backward(const TrainingBatch& batch, const TrainingLosses& losses) {
  Impl& m = *impl_;
  const int rows = static_cast<int>(batch.tokens.size()), d = m.config.hidden_size;
  m.forward(batch);
  StepResult result;
  result.counted_targets = static_cast<std::int64_t>(m.counted_rows.size());
  const double counted = static_cast<double>(std::max<std::int64_t>(result.counted_targets, 1));

  float* d_final = m.d_final_TD.ensure(size(rows, d));
  std::memset(d_final, 0, size(rows, d) * sizeof(float));
  result.loss = m.head.run(m.compute, m.config, m.packed,
                           {.rows_TD = m.final_TD.data(),
                            .rows = m.counted_rows,
                            .targets = m.counted_targets,
                            .factor = losses.slope ? 1.0f : 1.0f / static_cast<float>(counted),
                            .d_rows_TD = d_final,
                            .nll = {},
                            .temperature = batch.temperature,
                            .kept = batch.kept,
                            .kept_ends = batch.kept_ends,
                            .slope = losses.slope ? &losses.slope : nullptr}) /
                counted;
  BalanceLoss balance{.alpha = losses.sequence_balance_alpha, .value = 0};
  if (losses.mtp_weight > 0) {
    HADAL_CHECK(m.packed.mtp != nullptr && batch.prefixes.empty());
    result.mtp_loss = m.mtp.run(m.pass(), m.packed, m.head, batch, m.final_TD.data(),
                                static_cast<float>(losses.mtp_weight), balance, d_final, m.scratch);
  }
  float* d_x = m.d_x_TD.ensure(size(rows, d));
  norm_rows_backward(m.compute,
                     {rows, d, m.stream_TD.back().data(), d, m.packed.weights.final_norm.data(), d_final, d,
                      m.final_scale_T.data(), d_x, d, false, m.packed.d_final_norm},
                     m.scratch.norm_partials);
  m.backward(d_x, balance);
  m.embedding_backward(batch);
  result.balance_loss = balance.value;
  const auto add_load = [&](const std::vector<std::int32_t>& first) {
    for (std::size_t e = 0; e + 1 < first.size(); ++e) result.expert_load.push_back(first[e + 1] - first[e]);
  };
  for (std::size_t layer = 0; layer < m.activations.size(); ++layer)
    if (m.packed.weights.blocks[layer].moe) add_load(m.activations[layer].ffn.dispatch.first_slot_E);
  if (m.packed.mtp && m.packed.mtp->block.moe) {
    if (losses.mtp_weight > 0 && m.mtp.ran())
      add_load(m.mtp.first_slot_E());
    else
      result.expert_load.resize(result.expert_load.size() + m.packed.mtp->block.experts.size(), 0);
  }
  return result;
}

std::vector<float> TrainingModel::negative_log_likelihoods(const TrainingBatch& batch) {
  Impl& m = *impl_;
  m.forward(batch);
  std::vector<float> counted(m.counted_rows.size()), nll(batch.tokens.size(), 0.0f);
  m.head.run(m.compute, m.config, m.packed,
             {.rows_TD = m.final_TD.data(),
              .rows = m.counted_rows,
              .targets = m.counted_targets,
              .factor = 0,
              .d_rows_TD = nullptr,
              .nll = counted,
              .temperature = batch.temperature,
              .kept = batch.kept,
              .kept_ends = batch.kept_ends});
  for (std::size_t i = 0; i < counted.size(); ++i) nll[static_cast<std::size_t>(m.counted_rows[i])] = counted[i];
  return nll;
}

}  // namespace hadal
