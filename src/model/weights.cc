#include "model/weights.h"

#include <algorithm>
#include <cstring>
#include <mutex>
#include <optional>

#include "base/check.h"
#include "kernels/kernel_table.h"

namespace hadal {
namespace {

FfnWeights allocate_ffn(Arithmetic arithmetic, int hidden, int width) {
  FfnWeights w;
  w.width = width;
  w.gate_up.allocate(arithmetic, w.gate_up_stride(), hidden);
  w.down.allocate(arithmetic, hidden, width);
  return w;
}

AttentionWeights allocate_attention(const ModelConfig& c, Arithmetic arithmetic, AttentionOrders orders) {
  AttentionWeights w;
  const int d = c.hidden_size, heads = c.num_attention_heads;
  w.input_layernorm.resize(static_cast<std::size_t>(d));
  if (c.q_lora_rank > 0) {
    w.q_a_proj.allocate(arithmetic, c.q_lora_rank, d);
    w.q_a_layernorm.resize(static_cast<std::size_t>(c.q_lora_rank));
    w.q_b_proj.allocate(arithmetic, heads * c.qk_head_dim(), c.q_lora_rank);
  } else {
    w.q_proj.allocate(arithmetic, heads * c.qk_head_dim(), d);
  }
  w.kv_a_proj.allocate(arithmetic, c.latent_row_width(), d);
  w.kv_a_layernorm.resize(static_cast<std::size_t>(c.kv_lora_rank));
  w.kv_b_proj.allocate(arithmetic, heads * (c.qk_nope_head_dim + c.v_head_dim), c.kv_lora_rank);
  if (orders == AttentionOrders::both) {
    w.absorbed.resize(static_cast<std::size_t>(heads));
    for (AbsorbedHead& head : w.absorbed) {
      head.to_latent.allocate(arithmetic, c.kv_lora_rank, c.qk_nope_head_dim);
      head.to_value.allocate(arithmetic, c.v_head_dim, c.kv_lora_rank);
    }
  }
  w.o_proj.allocate(arithmetic, d, heads * c.v_head_dim);
  return w;
}

std::size_t bytes_of(const FfnWeights& w) {
  return w.width ? w.gate_up.bytes() + w.down.bytes() : 0;
}

// Where a matrix tensor goes: a packed matrix and the output row at which it starts. Vectors and the embedding go
// elsewhere.
struct Destination {
  PackedMatrix* matrix = nullptr;
  int first_output = 0;
  std::vector<float>* vector = nullptr;
};

Destination ffn_destination(FfnWeights& w, TensorRole role) {
  switch (role) {
    case TensorRole::dense_gate:
    case TensorRole::expert_gate:
    case TensorRole::shared_gate:
      return {&w.gate_up, 0, nullptr};
    case TensorRole::dense_up:
    case TensorRole::expert_up:
    case TensorRole::shared_up:
      return {&w.gate_up, FfnWeights::up_offset(w.width), nullptr};
    default:
      return {&w.down, 0, nullptr};
  }
}

Destination destination_of(const TensorSpec& t, ModelWeights& weights) {
  if (t.role == TensorRole::final_norm) return {nullptr, 0, &weights.final_norm};
  if (t.role == TensorRole::lm_head) return {&weights.lm_head, 0, nullptr};
  HADAL_CHECK(t.layer >= 0 && t.layer < static_cast<int>(weights.blocks.size()));
  BlockWeights& block = weights.blocks[static_cast<std::size_t>(t.layer)];
  AttentionWeights& attention = block.attention;
  switch (t.role) {
    case TensorRole::input_layernorm:
      return {nullptr, 0, &attention.input_layernorm};
    case TensorRole::post_attention_layernorm:
      return {nullptr, 0, &block.post_attention_layernorm};
    case TensorRole::q_proj:
      return {&attention.q_proj, 0, nullptr};
    case TensorRole::q_a_proj:
      return {&attention.q_a_proj, 0, nullptr};
    case TensorRole::q_a_layernorm:
      return {nullptr, 0, &attention.q_a_layernorm};
    case TensorRole::q_b_proj:
      return {&attention.q_b_proj, 0, nullptr};
    case TensorRole::kv_a_proj_with_mqa:
      return {&attention.kv_a_proj, 0, nullptr};
    case TensorRole::kv_a_layernorm:
      return {nullptr, 0, &attention.kv_a_layernorm};
    case TensorRole::kv_b_proj:
      return {&attention.kv_b_proj, 0, nullptr};
    case TensorRole::o_proj:
      return {&attention.o_proj, 0, nullptr};
    case TensorRole::router:
      return {&block.router, 0, nullptr};
    case TensorRole::router_bias:
      return {nullptr, 0, &block.router_bias};
    case TensorRole::dense_gate:
    case TensorRole::dense_up:
    case TensorRole::dense_down:
      return ffn_destination(block.dense, t.role);
    case TensorRole::expert_gate:
    case TensorRole::expert_up:
    case TensorRole::expert_down:
      return ffn_destination(block.experts[static_cast<std::size_t>(t.expert)], t.role);
    case TensorRole::shared_gate:
    case TensorRole::shared_up:
    case TensorRole::shared_down:
      return ffn_destination(block.shared, t.role);
    default:
      return {};
  }
}

// kv_b once more, cut by heads for the absorbed order: rows of a head are [N keys | V values], each [C].
void pack_absorbed(const ModelConfig& c, const KernelTable& kernels, const float* kv_b, int head, AbsorbedHead& to) {
  const int latent = c.kv_lora_rank, rows = c.qk_nope_head_dim + c.v_head_dim;
  const float* keys = kv_b + static_cast<std::ptrdiff_t>(head) * rows * latent;
  std::vector<float> transposed(static_cast<std::size_t>(latent) * static_cast<std::size_t>(c.qk_nope_head_dim));
  for (int n = 0; n < c.qk_nope_head_dim; ++n)
    for (int i = 0; i < latent; ++i)
      transposed[static_cast<std::size_t>(i) * static_cast<std::size_t>(c.qk_nope_head_dim) +
                 static_cast<std::size_t>(n)] = keys[n * latent + i];
  to.to_latent.pack_rows(kernels, 0, latent, transposed.data(), c.qk_nope_head_dim);
  to.to_value.pack_rows(kernels, 0, c.v_head_dim, keys + static_cast<std::ptrdiff_t>(c.qk_nope_head_dim) * latent,
                        latent);
}

// Scales of `outputs` outputs of `to`, from `first_output` on. The first of them is number `first` in the dimension
// that is cut into blocks of `block`; scale_of(output, input). A panel across a border of blocks has no scale of its
// own: such weights stay rounded with their scale.
template <class ScaleOf>
void set_scales(int first_output, int outputs, std::int64_t first, std::int64_t block, ScaleOf scale_of,
                PackedMatrix& to) {
  constexpr float kSmallest = 1e-30f;  // below, a quotient of weight and scale could have lost bits
  const bool one_block = first / block == (first + outputs - 1) / block;
  if (!one_block && (block % kPanelWidth != 0 || first % kPanelWidth != 0)) return;
  for (int output = 0; output < outputs; output += kPanelWidth) {
    if (output > 0 && (first + output) / block == (first + output - kPanelWidth) / block) continue;
    std::vector<float> scales(static_cast<std::size_t>(to.inputs()));
    for (int input = 0; input < to.inputs(); ++input) {
      const float scale = scale_of(output, input);
      scales[static_cast<std::size_t>(input)] = scale >= kSmallest ? scale : 1.0f;
    }
    to.set_scales((first_output + output) / kPanelWidth, std::move(scales));
  }
}

void set_absorbed_scales(const ModelConfig& c, const BlockScales& kv_b, int head, AbsorbedHead& to) {
  const std::int64_t keys = static_cast<std::int64_t>(head) * (c.qk_nope_head_dim + c.v_head_dim),
                     values = keys + c.qk_nope_head_dim;
  set_scales(
      0, c.kv_lora_rank, 0, kv_b.block_cols, [&](int latent, int n) { return kv_b.at(keys + n, latent); },
      to.to_latent);
  set_scales(
      0, c.v_head_dim, values, kv_b.block_rows, [&](int v, int latent) { return kv_b.at(values + v, latent); },
      to.to_value);
}

// Tensors of this pass: multi-token prediction is none of it, copies of others are not stored twice.
bool is_used(const TensorSpec& t, const ModelConfig& config) {
  if (t.layer >= config.num_hidden_layers) return false;
  if (t.role == TensorRole::mtp_embed_tokens || t.role == TensorRole::mtp_shared_head) return false;
  return !(config.tie_word_embeddings && t.role == TensorRole::lm_head);
}

Status fill_scales(const ModelConfig& config, const std::vector<TensorSpec>& table,
                   const Transformer::ScaleReader& read, ModelWeights& weights) {
  for (const TensorSpec& t : table) {
    if (!is_used(t, config) || t.shape.size() != 2 || t.role == TensorRole::embed_tokens) continue;
    const Destination to = destination_of(t, weights);
    if (!to.matrix || to.matrix->arithmetic() == Arithmetic::exact) continue;  // the router
    HADAL_ASSIGN(const BlockScales scales, read(t));
    if (scales.values.empty()) continue;
    set_scales(
        to.first_output, static_cast<int>(t.shape[0]), 0, scales.block_rows,
        [&](int output, int input) { return scales.at(output, input); }, *to.matrix);
    if (t.role != TensorRole::kv_b_proj) continue;
    auto& heads = weights.blocks[static_cast<std::size_t>(t.layer)].attention.absorbed;
    for (int h = 0; h < static_cast<int>(heads.size()); ++h)
      set_absorbed_scales(config, scales, h, heads[static_cast<std::size_t>(h)]);
  }
  return Done{};
}

struct Chunk {
  const TensorSpec* tensor;
  std::int64_t first_row, rows;
};

std::vector<Chunk> chunks_of(const std::vector<TensorSpec>& table, const ModelConfig& config) {
  constexpr std::int64_t kElements = 4 << 20;  // 16 MB of float32 a thread at most, however large the tensor
  std::vector<Chunk> chunks;
  for (const TensorSpec& t : table) {
    if (!is_used(t, config)) continue;
    const std::int64_t rows = t.shape[0], columns = t.shape.size() > 1 ? t.shape[1] : 1;
    std::int64_t step = std::max<std::int64_t>(32, kElements / columns / 32 * 32);
    if (t.role == TensorRole::kv_b_proj || t.shape.size() == 1) step = rows;
    for (std::int64_t row = 0; row < rows; row += step) chunks.push_back({&t, row, std::min(step, rows - row)});
  }
  return chunks;
}

void fill_embedding(const KernelTable& kernels, const Chunk& chunk, const float* rows, ModelWeights& weights) {
  const std::int64_t columns = chunk.tensor->shape[1];
  if (weights.arithmetic == Arithmetic::exact)
    std::memcpy(weights.embedding_exact.data() + chunk.first_row * columns, rows,
                static_cast<std::size_t>(chunk.rows * columns) * 4);
  else
    for (std::int64_t r = 0; r < chunk.rows; ++r)
      kernels.narrow_row(rows + r * columns, static_cast<int>(columns), static_cast<int>(columns),
                         weights.embedding_fast.data() + (chunk.first_row + r) * columns);
}

Status fill_chunk(const ModelConfig& config, const Transformer::WeightReader& read, const KernelTable& kernels,
                  const Chunk& chunk, ModelWeights& weights) {
  const TensorSpec& t = *chunk.tensor;
  const int columns = t.shape.size() > 1 ? static_cast<int>(t.shape[1]) : 1;
  std::vector<float> rows(static_cast<std::size_t>(chunk.rows * columns));
  HADAL_RETURN_IF_ERROR(read(t, chunk.first_row, chunk.rows, rows.data()));
  if (t.role == TensorRole::embed_tokens) {
    fill_embedding(kernels, chunk, rows.data(), weights);
    if (config.tie_word_embeddings)
      weights.lm_head.pack_rows(kernels, static_cast<int>(chunk.first_row), static_cast<int>(chunk.rows), rows.data(),
                                columns);
    return Done{};
  }
  const Destination to = destination_of(t, weights);
  if (to.vector) {
    *to.vector = std::move(rows);
    return Done{};
  }
  to.matrix->pack_rows(kernels, to.first_output + static_cast<int>(chunk.first_row), static_cast<int>(chunk.rows),
                       rows.data(), columns);
  if (t.role == TensorRole::kv_b_proj) {
    auto& heads = weights.blocks[static_cast<std::size_t>(t.layer)].attention.absorbed;
    for (int h = 0; h < static_cast<int>(heads.size()); ++h)
      pack_absorbed(config, kernels, rows.data(), h, heads[static_cast<std::size_t>(h)]);
  }
  return Done{};
}

}  // namespace

std::size_t ModelWeights::bytes() const {
  std::size_t sum = embedding_exact.size() * 4 + embedding_fast.size() * 2 + lm_head.bytes();
  for (const BlockWeights& b : blocks) {
    const AttentionWeights& a = b.attention;
    for (const PackedMatrix* m :
         {&a.q_proj, &a.q_a_proj, &a.q_b_proj, &a.kv_a_proj, &a.kv_b_proj, &a.o_proj, &b.router})
      if (!m->empty()) sum += m->bytes();
    for (const AbsorbedHead& h : a.absorbed) sum += h.to_latent.bytes() + h.to_value.bytes();
    sum += bytes_of(b.dense) + bytes_of(b.shared);
    for (const FfnWeights& e : b.experts) sum += bytes_of(e);
  }
  return sum;
}

BlockWeights allocate_block(const ModelConfig& config, Arithmetic arithmetic, AttentionOrders orders, bool moe) {
  BlockWeights b;
  b.attention = allocate_attention(config, arithmetic, orders);
  b.post_attention_layernorm.resize(static_cast<std::size_t>(config.hidden_size));
  b.moe = moe;
  if (!moe) {
    b.dense = allocate_ffn(arithmetic, config.hidden_size, config.intermediate_size);
    return b;
  }
  b.router.allocate(Arithmetic::exact, config.n_routed_experts, config.hidden_size);
  for (int e = 0; e < config.n_routed_experts; ++e)
    b.experts.push_back(allocate_ffn(arithmetic, config.hidden_size, config.moe_intermediate_size));
  if (config.n_shared_experts > 0)
    b.shared = allocate_ffn(arithmetic, config.hidden_size, config.n_shared_experts * config.moe_intermediate_size);
  return b;
}

ModelWeights allocate_weights(const ModelConfig& config, Arithmetic arithmetic, AttentionOrders orders) {
  ModelWeights w;
  w.arithmetic = arithmetic;
  const std::size_t table = static_cast<std::size_t>(config.vocab_size) * static_cast<std::size_t>(config.hidden_size);
  if (arithmetic == Arithmetic::exact)
    w.embedding_exact.resize(table);
  else
    w.embedding_fast.resize(table);
  w.lm_head.allocate(arithmetic, config.vocab_size, config.hidden_size);
  w.final_norm.resize(static_cast<std::size_t>(config.hidden_size));
  for (int layer = 0; layer < config.num_hidden_layers; ++layer)
    w.blocks.push_back(allocate_block(config, arithmetic, orders, config.is_moe_layer(layer)));
  return w;
}

Status fill_weights(const ModelConfig& config, const Transformer::WeightReader& read,
                    const Transformer::ScaleReader& scales, const Compute& compute, ModelWeights& weights) {
  const std::vector<TensorSpec> table = tensor_table(config);
  if (scales && config.weight_format == WeightFormat::fp8_block && weights.arithmetic == Arithmetic::fast)
    HADAL_RETURN_IF_ERROR(fill_scales(config, table, scales, weights));
  const std::vector<Chunk> chunks = chunks_of(table, config);
  std::mutex mutex;
  std::optional<Error> first_error;
  compute.pool->parallel_for(static_cast<int>(chunks.size()), [&](int i, int) {
    Status status = fill_chunk(config, read, *compute.kernels, chunks[static_cast<std::size_t>(i)], weights);
    if (status.ok()) return;
    const std::lock_guard lock(mutex);
    if (!first_error) first_error = std::move(status).error();
  });
  if (first_error) return *std::move(first_error);
  return Done{};
}

void embed(const ModelConfig& config, const ModelWeights& weights, const KernelTable& kernels, TokenId token,
           float* out) {
  const std::ptrdiff_t row = static_cast<std::ptrdiff_t>(index(token)) * config.hidden_size;
  if (weights.arithmetic == Arithmetic::exact)
    std::memcpy(out, weights.embedding_exact.data() + row, static_cast<std::size_t>(config.hidden_size) * 4);
  else
    kernels.widen_row(weights.embedding_fast.data() + row, config.hidden_size, out);
}

}  // namespace hadal
