#include "model/weights.h"

#include <cstring>

#include "base/dtype.h"
#include "kernels/kernel_table.h"

namespace hadal {
namespace {

FfnWeights declare_ffn(Arithmetic arithmetic, int hidden, int width) {
  FfnWeights w;
  w.width = width;
  w.gate_up.declare(arithmetic, w.gate_up_stride(), hidden);
  w.down.declare(arithmetic, hidden, width);
  return w;
}

void declare_latent_attention(const ModelConfig& c, Arithmetic arithmetic, AttentionOrders orders,
                              AttentionWeights& w) {
  const int d = c.hidden_size, heads = c.num_attention_heads;
  if (c.q_lora_rank > 0) {
    w.q_a_proj.declare(arithmetic, c.q_lora_rank, d);
    w.q_a_layernorm.resize(static_cast<std::size_t>(c.q_lora_rank));
    w.q_b_proj.declare(arithmetic, heads * c.qk_head_dim(), c.q_lora_rank);
  } else {
    w.q_proj.declare(arithmetic, heads * c.qk_head_dim(), d);
  }
  w.kv_a_proj.declare(arithmetic, c.latent_row_width(), d);
  w.kv_a_layernorm.resize(static_cast<std::size_t>(c.kv_lora_rank));
  w.kv_b_proj.declare(arithmetic, heads * (c.qk_nope_head_dim + c.v_head_dim), c.kv_lora_rank);
  if (orders == AttentionOrders::both) {
    w.absorbed.resize(static_cast<std::size_t>(heads));
    for (AbsorbedHead& head : w.absorbed) {
      head.to_latent.declare(arithmetic, c.kv_lora_rank, c.qk_nope_head_dim);
      head.to_value.declare(arithmetic, c.v_head_dim, c.kv_lora_rank);
    }
  }
  w.o_proj.declare(arithmetic, d, heads * c.v_head_dim);
}

void declare_grouped_attention(const ModelConfig& c, Arithmetic arithmetic, AttentionWeights& w) {
  const int d = c.hidden_size, q_width = c.num_attention_heads * c.head_dim,
            kv_width = c.num_key_value_heads * c.head_dim;
  w.q_proj.declare(arithmetic, q_width, d);
  w.k_proj.declare(arithmetic, kv_width, d);
  w.v_proj.declare(arithmetic, kv_width, d);
  w.o_proj.declare(arithmetic, d, q_width);
}

AttentionWeights declare_attention(const ModelConfig& c, Arithmetic arithmetic, AttentionOrders orders) {
  AttentionWeights w;
  w.input_layernorm.resize(static_cast<std::size_t>(c.hidden_size));
  if (c.attention_kind == AttentionKind::mla)
    declare_latent_attention(c, arithmetic, orders, w);
  else
    declare_grouped_attention(c, arithmetic, w);
  return w;
}

BlockWeights declare_block(const ModelConfig& config, Arithmetic arithmetic, AttentionOrders orders, bool moe) {
  BlockWeights b;
  b.attention = declare_attention(config, arithmetic, orders);
  b.post_attention_layernorm.resize(static_cast<std::size_t>(config.hidden_size));
  b.moe = moe;
  if (!moe) {
    b.dense = declare_ffn(arithmetic, config.hidden_size, config.intermediate_size);
    return b;
  }
  b.router.declare(Arithmetic::exact, config.n_routed_experts, config.hidden_size);
  for (int e = 0; e < config.n_routed_experts; ++e)
    b.experts.push_back(declare_ffn(arithmetic, config.hidden_size, config.moe_intermediate_size));
  if (config.n_shared_experts > 0)
    b.shared = declare_ffn(arithmetic, config.hidden_size, config.n_shared_experts * config.moe_intermediate_size);
  return b;
}

// visit(matrix) for each that the model has.
template <class Visit>
void for_each_matrix(BlockWeights& b, Visit&& visit) {
  AttentionWeights& a = b.attention;
  for (PackedMatrix* m :
       {&a.q_proj, &a.q_a_proj, &a.q_b_proj, &a.kv_a_proj, &a.kv_b_proj, &a.k_proj, &a.v_proj, &a.o_proj, &b.router})
    if (!m->empty()) visit(*m);
  for (AbsorbedHead& head : a.absorbed) {
    visit(head.to_latent);
    visit(head.to_value);
  }
  const auto visit_ffn = [&](FfnWeights& ffn) {
    if (ffn.width == 0) return;
    visit(ffn.gate_up);
    visit(ffn.down);
  };
  visit_ffn(b.dense);
  visit_ffn(b.shared);
  for (FfnWeights& expert : b.experts) visit_ffn(expert);
}

}  // namespace

BlockWeights allocate_block(const ModelConfig& config, Arithmetic arithmetic, AttentionOrders orders, bool moe) {
  BlockWeights b = declare_block(config, arithmetic, orders, moe);
  for_each_matrix(b, [](PackedMatrix& m) { m.allocate(); });
  return b;
}

ModelWeights declare_weights(const ModelConfig& config, Arithmetic arithmetic, AttentionOrders orders) {
  ModelWeights w;
  w.arithmetic = arithmetic;
  w.lm_head.declare(arithmetic, config.vocab_size, config.hidden_size);
  w.final_norm.resize(static_cast<std::size_t>(config.hidden_size));
  for (int layer = 0; layer < config.num_hidden_layers; ++layer)
    w.blocks.push_back(declare_block(config, arithmetic, orders, config.is_moe_layer(layer)));
  return w;
}

void allocate_embedding(const ModelConfig& config, ModelWeights& weights) {
  const std::size_t table = static_cast<std::size_t>(config.vocab_size) * static_cast<std::size_t>(config.hidden_size);
  if (weights.arithmetic == Arithmetic::exact)
    weights.embedding_exact.resize(table);
  else
    weights.embedding_fast.resize(table);
}

void allocate_rest(ModelWeights& weights) {
  const auto allocate = [](PackedMatrix& m) {
    if (m.stored().empty()) m.allocate();
  };
  allocate(weights.lm_head);
  for (BlockWeights& b : weights.blocks) for_each_matrix(b, allocate);
}

ModelWeights allocate_weights(const ModelConfig& config, Arithmetic arithmetic, AttentionOrders orders) {
  ModelWeights w = declare_weights(config, arithmetic, orders);
  allocate_embedding(config, w);
  allocate_rest(w);
  return w;
}

void embed(const ModelConfig& config, const ModelWeights& weights, const KernelTable& kernels, TokenId token,
           float* out) {
  const std::ptrdiff_t row = static_cast<std::ptrdiff_t>(index(token)) * config.hidden_size;
  if (const StoredRows& stored = weights.embedding_stored; stored.data)
    convert_to_f32(stored.dtype, stored.data + static_cast<std::size_t>(index(token)) * stored.row_bytes,
                   static_cast<std::size_t>(config.hidden_size), out);
  else if (weights.arithmetic == Arithmetic::exact)
    std::memcpy(out, weights.embedding_exact.data() + row, static_cast<std::size_t>(config.hidden_size) * 4);
  else
    kernels.widen_row(weights.embedding_fast.data() + row, config.hidden_size, out);
}

}  // namespace hadal
