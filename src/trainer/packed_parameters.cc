#include "trainer/packed_parameters.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "kernels/kernel_table.h"

namespace hadal {
namespace {

// Where the tensors of a block go, by their role.
struct AttentionMatrix {
  TensorRole role;
  PackedMatrix AttentionWeights::*weights;
  PackedMatrix AttentionTransposed::*transposed;
  float* BlockGradients::*gradient;
};
constexpr AttentionMatrix kAttentionMatrices[] = {
    {TensorRole::q_proj, &AttentionWeights::q_proj, &AttentionTransposed::q_proj, &BlockGradients::q_proj},
    {TensorRole::q_a_proj, &AttentionWeights::q_a_proj, &AttentionTransposed::q_a_proj, &BlockGradients::q_a_proj},
    {TensorRole::q_b_proj, &AttentionWeights::q_b_proj, &AttentionTransposed::q_b_proj, &BlockGradients::q_b_proj},
    {TensorRole::kv_a_proj_with_mqa, &AttentionWeights::kv_a_proj, &AttentionTransposed::kv_a_proj,
     &BlockGradients::kv_a_proj},
    {TensorRole::kv_b_proj, &AttentionWeights::kv_b_proj, &AttentionTransposed::kv_b_proj, &BlockGradients::kv_b_proj},
    {TensorRole::k_proj, &AttentionWeights::k_proj, &AttentionTransposed::k_proj, &BlockGradients::k_proj},
    {TensorRole::v_proj, &AttentionWeights::v_proj, &AttentionTransposed::v_proj, &BlockGradients::v_proj},
    {TensorRole::o_proj, &AttentionWeights::o_proj, &AttentionTransposed::o_proj, &BlockGradients::o_proj},
};
struct AttentionVector {
  TensorRole role;
  std::vector<float> AttentionWeights::*weights;
  float* BlockGradients::*gradient;
};
constexpr AttentionVector kAttentionVectors[] = {
    {TensorRole::input_layernorm, &AttentionWeights::input_layernorm, &BlockGradients::input_layernorm},
    {TensorRole::q_a_layernorm, &AttentionWeights::q_a_layernorm, &BlockGradients::q_a_layernorm},
    {TensorRole::kv_a_layernorm, &AttentionWeights::kv_a_layernorm, &BlockGradients::kv_a_layernorm},
    {TensorRole::q_bias, &AttentionWeights::q_bias, &BlockGradients::q_bias},
    {TensorRole::k_bias, &AttentionWeights::k_bias, &BlockGradients::k_bias},
    {TensorRole::v_bias, &AttentionWeights::v_bias, &BlockGradients::v_bias},
};
struct FfnPart {
  TensorRole dense, shared, expert;
  float* FfnGradients::*gradient;

  int offset(int width) const { return gradient == &FfnGradients::up ? FfnWeights::up_offset(width) : 0; }
};
constexpr FfnPart kFfnParts[] = {
    {TensorRole::dense_gate, TensorRole::shared_gate, TensorRole::expert_gate, &FfnGradients::gate},
    {TensorRole::dense_up, TensorRole::shared_up, TensorRole::expert_up, &FfnGradients::up},
    {TensorRole::dense_down, TensorRole::shared_down, TensorRole::expert_down, &FfnGradients::down},
};

FfnTransposed allocate_transposed(Arithmetic arithmetic, const FfnWeights& w) {
  FfnTransposed t;
  if (w.width == 0) return t;
  t.gate_up.allocate(arithmetic, w.gate_up.inputs(), w.gate_up.outputs());
  t.down.allocate(arithmetic, w.down.inputs(), w.down.outputs());
  return t;
}

void allocate_like(const PackedMatrix& w, PackedMatrix& transposed) {
  if (!w.empty()) transposed.allocate(w.arithmetic(), w.inputs(), w.outputs());
}

BlockTransposed allocate_transposed(Arithmetic arithmetic, const BlockWeights& b) {
  BlockTransposed t;
  for (const AttentionMatrix& m : kAttentionMatrices) allocate_like(b.attention.*m.weights, t.attention.*m.transposed);
  allocate_like(b.router, t.router);
  t.dense = allocate_transposed(arithmetic, b.dense);
  t.shared = allocate_transposed(arithmetic, b.shared);
  for (const FfnWeights& e : b.experts) t.experts.push_back(allocate_transposed(arithmetic, e));
  return t;
}

}  // namespace

void PackedParameters::allocate(const ModelConfig& config, Arithmetic arithmetic, std::span<const ParameterSlot> slots,
                                const float* parameters, float* gradients) {
  weights = allocate_weights(config, arithmetic, AttentionOrders::expanded_only);
  lm_head_transposed.allocate(arithmetic, config.hidden_size, config.vocab_size);
  for (const BlockWeights& b : weights.blocks) transposed.push_back(allocate_transposed(arithmetic, b));
  block_gradients.resize(weights.blocks.size());
  for (std::size_t layer = 0; layer < weights.blocks.size(); ++layer)
    block_gradients[layer].experts.resize(weights.blocks[layer].experts.size());
  if (config.num_nextn_predict_layers > 0) {
    mtp = std::make_unique<MtpParameters>();
    mtp->eh_proj.allocate(arithmetic, config.hidden_size, 2 * config.hidden_size);
    mtp->eh_proj_transposed.allocate(arithmetic, 2 * config.hidden_size, config.hidden_size);
    mtp->block = allocate_block(config, arithmetic, AttentionOrders::expanded_only, config.n_routed_experts > 0);
    mtp->transposed = allocate_transposed(arithmetic, mtp->block);
    mtp->gradients.experts.resize(mtp->block.experts.size());
  }
  for (const ParameterSlot& slot : slots) bind(config, slot, parameters + slot.offset, gradients + slot.offset);
}

void PackedParameters::bind_matrix(const float* from, int rows, int columns, PackedMatrix& to,
                                   PackedMatrix& to_transposed, int offset) {
  jobs_.push_back({.from = from, .stride = columns, .to = &to, .first_output = offset, .outputs = rows});
  jobs_.push_back({.from = from,
                   .stride = columns,
                   .to = &to_transposed,
                   .transposed = true,
                   .first_input = offset,
                   .inputs = rows});
}

void PackedParameters::bind_vector(const float* from, std::int64_t elements, std::vector<float>& to) {
  to.resize(static_cast<std::size_t>(elements));
  copies_.push_back({from, &to});
}

// What only the multi-token-prediction layer has; false: another tensor.
bool PackedParameters::bind_mtp(const ParameterSlot& slot, const float* from, float* gradient) {
  const TensorSpec& t = slot.tensor;
  switch (t.role) {
    case TensorRole::mtp_enorm:
      bind_vector(from, t.elements(), mtp->enorm);
      mtp->d_enorm = gradient;
      return true;
    case TensorRole::mtp_hnorm:
      bind_vector(from, t.elements(), mtp->hnorm);
      mtp->d_hnorm = gradient;
      return true;
    case TensorRole::mtp_shared_head_norm:
      bind_vector(from, t.elements(), mtp->shared_head_norm);
      mtp->d_shared_head_norm = gradient;
      return true;
    case TensorRole::mtp_eh_proj:
      bind_matrix(from, static_cast<int>(t.shape[0]), static_cast<int>(t.shape[1]), mtp->eh_proj,
                  mtp->eh_proj_transposed, 0);
      mtp->d_eh_proj = gradient;
      return true;
    default:
      return false;
  }
}

void PackedParameters::bind(const ModelConfig& config, const ParameterSlot& slot, const float* from, float* gradient) {
  const TensorSpec& t = slot.tensor;
  const int rows = static_cast<int>(t.shape[0]), columns = t.shape.size() > 1 ? static_cast<int>(t.shape[1]) : 1;
  if (t.role == TensorRole::embed_tokens) {
    embedding_ = from;
    embedding_elements_ = t.elements();
    d_embedding = gradient;
    if (config.tie_word_embeddings) {
      bind_matrix(from, rows, columns, weights.lm_head, lm_head_transposed, 0);
      d_lm_head = gradient;
    }
    return;
  }
  if (t.role == TensorRole::final_norm) {
    copies_.push_back({from, &weights.final_norm});
    d_final_norm = gradient;
    return;
  }
  if (t.role == TensorRole::lm_head) {
    bind_matrix(from, rows, columns, weights.lm_head, lm_head_transposed, 0);
    d_lm_head = gradient;
    return;
  }
  if (bind_mtp(slot, from, gradient)) return;
  const bool is_mtp = t.layer == config.num_hidden_layers;
  HADAL_CHECK(t.layer >= 0 && (is_mtp ? mtp != nullptr : t.layer < config.num_hidden_layers));
  const auto layer = static_cast<std::size_t>(t.layer), expert = static_cast<std::size_t>(std::max(t.expert, 0));
  BlockWeights& b = is_mtp ? mtp->block : weights.blocks[layer];
  BlockTransposed& bt = is_mtp ? mtp->transposed : transposed[layer];
  BlockGradients& g = is_mtp ? mtp->gradients : block_gradients[layer];
  for (const AttentionMatrix& m : kAttentionMatrices)
    if (t.role == m.role) {
      g.*m.gradient = gradient;
      return bind_matrix(from, rows, columns, b.attention.*m.weights, bt.attention.*m.transposed, 0);
    }
  for (const AttentionVector& v : kAttentionVectors)
    if (t.role == v.role) {
      g.*v.gradient = gradient;
      return bind_vector(from, t.elements(), b.attention.*v.weights);
    }
  const auto ffn = [&](FfnPart part, FfnWeights& w, FfnTransposed& wt, FfnGradients& d) {
    d.*part.gradient = gradient;
    if (part.gradient == &FfnGradients::down) return bind_matrix(from, rows, columns, w.down, wt.down, 0);
    bind_matrix(from, rows, columns, w.gate_up, wt.gate_up, part.offset(w.width));
  };
  for (const FfnPart& part : kFfnParts) {
    if (t.role == part.dense) return ffn(part, b.dense, bt.dense, g.dense);
    if (t.role == part.shared) return ffn(part, b.shared, bt.shared, g.shared);
    if (t.role == part.expert) return ffn(part, b.experts[expert], bt.experts[expert], g.experts[expert]);
  }
  switch (t.role) {
    case TensorRole::post_attention_layernorm:
      g.post_attention_layernorm = gradient;
      return bind_vector(from, t.elements(), b.post_attention_layernorm);
    case TensorRole::router:
      g.router = gradient;
      return bind_matrix(from, rows, columns, b.router, bt.router, 0);
    case TensorRole::router_bias:  // moved by load_balance.h
      return bind_vector(from, t.elements(), b.router_bias);
    default:
      HADAL_CHECK(false);
  }
}

void PackedParameters::refresh(const Compute& compute) {
  for (const Copy& copy : copies_) std::memcpy(copy.to->data(), copy.from, copy.to->size() * sizeof(float));
  if (weights.arithmetic == Arithmetic::exact) {
    std::memcpy(weights.embedding_exact.data(), embedding_,
                static_cast<std::size_t>(embedding_elements_) * sizeof(float));
  } else {
    constexpr int kElements = 1 << 16;
    compute.pool->parallel_for(static_cast<int>((embedding_elements_ + kElements - 1) / kElements), [&](int i, int) {
      const std::int64_t at = static_cast<std::int64_t>(i) * kElements;
      const int n = static_cast<int>(std::min<std::int64_t>(kElements, embedding_elements_ - at));
      compute.kernels->narrow_row(embedding_ + at, n, n, weights.embedding_fast.data() + at);
    });
  }
  pack(compute, jobs_);
}

}  // namespace hadal
