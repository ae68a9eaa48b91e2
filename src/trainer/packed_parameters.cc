#include "trainer/packed_parameters.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "kernels/kernel_table.h"

namespace hadal {
namespace {

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
  allocate_like(b.attention.q_proj, t.attention.q_proj);
  allocate_like(b.attention.q_a_proj, t.attention.q_a_proj);
  allocate_like(b.attention.q_b_proj, t.attention.q_b_proj);
  allocate_like(b.attention.kv_a_proj, t.attention.kv_a_proj);
  allocate_like(b.attention.kv_b_proj, t.attention.kv_b_proj);
  allocate_like(b.attention.k_proj, t.attention.k_proj);
  allocate_like(b.attention.v_proj, t.attention.v_proj);
  allocate_like(b.attention.o_proj, t.attention.o_proj);
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
  const auto vector = [&](std::vector<float>& to, float** d) {
    bind_vector(from, t.elements(), to);
    if (d) *d = gradient;
  };
  const auto matrix = [&](PackedMatrix& to, PackedMatrix& to_transposed, float*& d, int offset) {
    bind_matrix(from, rows, columns, to, to_transposed, offset);
    d = gradient;
  };
  const auto ffn = [&](FfnWeights& w, FfnTransposed& wt, FfnGradients& d, int part) {  // 0 gate, 1 up, 2 down
    if (part == 2)
      matrix(w.down, wt.down, d.down, 0);
    else
      matrix(w.gate_up, wt.gate_up, part == 0 ? d.gate : d.up, part == 0 ? 0 : FfnWeights::up_offset(w.width));
  };
  switch (t.role) {
    case TensorRole::input_layernorm:
      vector(b.attention.input_layernorm, &g.input_layernorm);
      break;
    case TensorRole::post_attention_layernorm:
      vector(b.post_attention_layernorm, &g.post_attention_layernorm);
      break;
    case TensorRole::q_a_layernorm:
      vector(b.attention.q_a_layernorm, &g.q_a_layernorm);
      break;
    case TensorRole::kv_a_layernorm:
      vector(b.attention.kv_a_layernorm, &g.kv_a_layernorm);
      break;
    case TensorRole::router_bias:
      vector(b.router_bias, nullptr);
      break;
    case TensorRole::q_proj:
      matrix(b.attention.q_proj, bt.attention.q_proj, g.q_proj, 0);
      break;
    case TensorRole::k_proj:
      matrix(b.attention.k_proj, bt.attention.k_proj, g.k_proj, 0);
      break;
    case TensorRole::v_proj:
      matrix(b.attention.v_proj, bt.attention.v_proj, g.v_proj, 0);
      break;
    case TensorRole::q_bias:
      vector(b.attention.q_bias, &g.q_bias);
      break;
    case TensorRole::k_bias:
      vector(b.attention.k_bias, &g.k_bias);
      break;
    case TensorRole::v_bias:
      vector(b.attention.v_bias, &g.v_bias);
      break;
    case TensorRole::q_a_proj:
      matrix(b.attention.q_a_proj, bt.attention.q_a_proj, g.q_a_proj, 0);
      break;
    case TensorRole::q_b_proj:
      matrix(b.attention.q_b_proj, bt.attention.q_b_proj, g.q_b_proj, 0);
      break;
    case TensorRole::kv_a_proj_with_mqa:
      matrix(b.attention.kv_a_proj, bt.attention.kv_a_proj, g.kv_a_proj, 0);
      break;
    case TensorRole::kv_b_proj:
      matrix(b.attention.kv_b_proj, bt.attention.kv_b_proj, g.kv_b_proj, 0);
      break;
    case TensorRole::o_proj:
      matrix(b.attention.o_proj, bt.attention.o_proj, g.o_proj, 0);
      break;
    case TensorRole::router:
      matrix(b.router, bt.router, g.router, 0);
      break;
    case TensorRole::dense_gate:
      ffn(b.dense, bt.dense, g.dense, 0);
      break;
    case TensorRole::dense_up:
      ffn(b.dense, bt.dense, g.dense, 1);
      break;
    case TensorRole::dense_down:
      ffn(b.dense, bt.dense, g.dense, 2);
      break;
    case TensorRole::shared_gate:
      ffn(b.shared, bt.shared, g.shared, 0);
      break;
    case TensorRole::shared_up:
      ffn(b.shared, bt.shared, g.shared, 1);
      break;
    case TensorRole::shared_down:
      ffn(b.shared, bt.shared, g.shared, 2);
      break;
    case TensorRole::expert_gate:
      ffn(b.experts[expert], bt.experts[expert], g.experts[expert], 0);
      break;
    case TensorRole::expert_up:
      ffn(b.experts[expert], bt.experts[expert], g.experts[expert], 1);
      break;
    case TensorRole::expert_down:
      ffn(b.experts[expert], bt.experts[expert], g.experts[expert], 2);
      break;
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
