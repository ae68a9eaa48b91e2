// Weights out of a checkpoint. What lies there in blocks stays where it is and is referred to; everything else is read
// in chunks and packed, by all threads.
#include <algorithm>
#include <cstring>
#include <map>
#include <mutex>
#include <numeric>
#include <optional>
#include <set>

#include "base/check.h"
#include "kernels/kernel_table.h"
#include "model/weights.h"

namespace hadal {
namespace {

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
    case TensorRole::k_proj:
      return {&attention.k_proj, 0, nullptr};
    case TensorRole::v_proj:
      return {&attention.v_proj, 0, nullptr};
    case TensorRole::q_bias:
      return {nullptr, 0, &attention.q_bias};
    case TensorRole::k_bias:
      return {nullptr, 0, &attention.k_bias};
    case TensorRole::v_bias:
      return {nullptr, 0, &attention.v_bias};
    case TensorRole::q_norm:
      return {nullptr, 0, &attention.q_norm};
    case TensorRole::k_norm:
      return {nullptr, 0, &attention.k_norm};
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

// A head of kv_b for the absorbed order: its rows are [N keys | V values], each [C].
void pack_absorbed(const ModelConfig& c, const KernelTable& kernels, const float* keys, AbsorbedHead& to) {
  const std::ptrdiff_t latent = c.kv_lora_rank, nope = c.qk_nope_head_dim;
  std::vector<float> transposed(static_cast<std::size_t>(latent * nope));
  for (std::ptrdiff_t n = 0; n < nope; ++n)
    for (std::ptrdiff_t i = 0; i < latent; ++i)
      transposed[static_cast<std::size_t>(i * nope + n)] = keys[n * latent + i];
  to.to_latent.pack_rows(kernels, 0, c.kv_lora_rank, transposed.data(), nope);
  to.to_value.pack_rows(kernels, 0, c.v_head_dim, keys + nope * latent, latent);
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

Status fill_scales(const ModelConfig& config, const std::vector<TensorSpec>& table, const WeightSource& source,
                   ModelWeights& weights) {
  for (const TensorSpec& t : table) {
    if (!is_used(t, config) || t.shape.size() != 2 || t.role == TensorRole::embed_tokens) continue;
    const Destination to = destination_of(t, weights);
    if (!to.matrix || to.matrix->arithmetic() == Arithmetic::exact) continue;  // the router
    HADAL_ASSIGN(const BlockScales scales, source.scales(t));
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
  const TensorSpec* partner = nullptr;  // of k_b: the v_b that is packed with it
};

// 16 MB of float32 a thread, however large the tensor; twice that while halves of kv_b are joined, more only where a
// panel needs it.
constexpr std::int64_t kChunkElements = 4 << 20;

// Rows of a matrix that are read together: whole panels.
std::int64_t rows_at_once(std::int64_t columns) {
  return std::max<std::int64_t>(kPanelWidth, kChunkElements / columns / kPanelWidth * kPanelWidth);
}

// Heads of kv_b that are read together: whole panels too.
std::int64_t heads_at_once(const ModelConfig& c) {
  const std::int64_t rows = c.qk_nope_head_dim + c.v_head_dim, fewest = kPanelWidth / std::gcd(rows, kPanelWidth);
  return std::max(fewest, kChunkElements / (rows * c.kv_lora_rank) / fewest * fewest);
}

bool of_heads(const TensorSpec& t) {
  return t.role == TensorRole::kv_b_proj || t.role == TensorRole::k_b_proj;
}

// Of the tensors that are read: those not in `referred`.
std::vector<Chunk> chunks_of(const std::vector<TensorSpec>& table, const ModelConfig& config,
                             const std::set<const TensorSpec*>& referred) {
  std::vector<Chunk> chunks;
  for (const TensorSpec& t : table) {
    if (!is_used(t, config) || referred.contains(&t)) continue;
    if (t.role == TensorRole::v_b_proj) continue;  // behind its k_b
    const std::int64_t rows = t.shape[0];
    std::int64_t step = t.shape.size() == 1 ? rows : rows_at_once(t.shape[1]);
    if (of_heads(t)) step = heads_at_once(config) * (rows / config.num_attention_heads);
    const TensorSpec* partner = t.role == TensorRole::k_b_proj ? &t + 1 : nullptr;
    for (std::int64_t row = 0; row < rows; row += step)
      chunks.push_back({&t, row, std::min(step, rows - row), partner});
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

// Some heads of kv_b whole out of its two halves: k_b holds W_uk^T of each, [C, N]; v_b W_uv, [V, C].
std::vector<float> join_kv_b(const ModelConfig& c, int heads, const float* k_b, const float* v_b) {
  const int latent = c.kv_lora_rank, nope = c.qk_nope_head_dim, value = c.v_head_dim;
  std::vector<float> whole;
  whole.reserve(static_cast<std::size_t>(heads * (nope + value)) * static_cast<std::size_t>(latent));
  for (int h = 0; h < heads; ++h) {
    const float* transposed = k_b + static_cast<std::ptrdiff_t>(h) * latent * nope;
    for (int n = 0; n < nope; ++n)
      for (int i = 0; i < latent; ++i) whole.push_back(transposed[static_cast<std::ptrdiff_t>(i) * nope + n]);
    const float* values = v_b + static_cast<std::ptrdiff_t>(h) * value * latent;
    whole.insert(whole.end(), values, values + static_cast<std::ptrdiff_t>(value) * latent);
  }
  return whole;
}

// Both orders of the heads from `first` on: kv_b [heads, N + V, C].
void pack_heads(const ModelConfig& c, const KernelTable& kernels, const std::vector<float>& kv_b, int first,
                AttentionWeights& attention) {
  const int rows = c.qk_nope_head_dim + c.v_head_dim;
  const std::size_t of_head = static_cast<std::size_t>(rows) * static_cast<std::size_t>(c.kv_lora_rank);
  const int heads = static_cast<int>(kv_b.size() / of_head);
  attention.kv_b_proj.pack_rows(kernels, first * rows, heads * rows, kv_b.data(), c.kv_lora_rank);
  for (int h = 0; h < heads; ++h)
    pack_absorbed(c, kernels, kv_b.data() + static_cast<std::size_t>(h) * of_head,
                  attention.absorbed[static_cast<std::size_t>(first + h)]);
}

// A chunk of kv_b, or of k_b with its partner.
Status fill_heads(const ModelConfig& c, const WeightSource& source, const KernelTable& kernels, const Chunk& chunk,
                  ModelWeights& weights) {
  const TensorSpec& t = *chunk.tensor;
  const std::int64_t rows_of_head = t.shape[0] / c.num_attention_heads, first = chunk.first_row / rows_of_head,
                     heads = chunk.rows / rows_of_head, value = c.v_head_dim;
  std::vector<float> kv_b(static_cast<std::size_t>(chunk.rows * t.shape[1]));
  HADAL_RETURN_IF_ERROR(source.read(t, chunk.first_row, chunk.rows, kv_b.data()));
  if (chunk.partner) {
    std::vector<float> values(static_cast<std::size_t>(heads * value * c.kv_lora_rank));
    HADAL_RETURN_IF_ERROR(source.read(*chunk.partner, first * value, heads * value, values.data()));
    kv_b = join_kv_b(c, static_cast<int>(heads), kv_b.data(), values.data());
  }
  pack_heads(c, kernels, kv_b, static_cast<int>(first), weights.blocks[static_cast<std::size_t>(t.layer)].attention);
  return Done{};
}

Status fill_chunk(const ModelConfig& config, const WeightSource& source, const KernelTable& kernels, const Chunk& chunk,
                  ModelWeights& weights) {
  const TensorSpec& t = *chunk.tensor;
  if (of_heads(t)) return fill_heads(config, source, kernels, chunk, weights);
  const int columns = t.shape.size() > 1 ? static_cast<int>(t.shape[1]) : 1;
  std::vector<float> rows(static_cast<std::size_t>(chunk.rows * columns));
  HADAL_RETURN_IF_ERROR(source.read(t, chunk.first_row, chunk.rows, rows.data()));
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
  return Done{};
}

// --- weights that stay where they are --------------------------------------------------------------------------------

// Collects what can be referred to, matrix by matrix.
class Referrals {
 public:
  Referrals(const ModelConfig& config, const WeightSource& source, ModelWeights& weights)
      : c_(config), source_(source), weights_(weights) {}

  // The tensors that need not be read.
  std::set<const TensorSpec*> take(const std::vector<TensorSpec>& table) {
    if (!source_.stored) return {};
    std::map<PackedMatrix*, Matrix> matrices;
    std::map<int, Heads> heads;
    for (const TensorSpec& t : table) {
      if (!is_used(t, c_) || t.shape.size() != 2 || t.role == TensorRole::router) continue;
      if (t.role == TensorRole::embed_tokens) {
        refer_embedding(t);
      } else if (t.role == TensorRole::kv_b_proj) {
        heads[t.layer].whole = &t;
      } else if (t.role == TensorRole::k_b_proj) {
        heads[t.layer].keys = &t;
      } else if (t.role == TensorRole::v_b_proj) {
        heads[t.layer].values = &t;
      } else {
        const Destination to = destination_of(t, weights_);
        Matrix& matrix = matrices[to.matrix];
        matrix.tensors.push_back(&t);
        if (const auto rows = stored_rows(t, to.first_output)) matrix.pieces.push_back(*rows);
      }
    }
    for (auto& [matrix, parts] : matrices) {
      if (parts.pieces.size() != parts.tensors.size()) continue;  // a part of it must be packed: then all of it
      matrix->refer(parts.pieces);
      referred_.insert(parts.tensors.begin(), parts.tensors.end());
    }
    for (const auto& [layer, tensors] : heads)
      refer_heads(tensors, weights_.blocks[static_cast<std::size_t>(layer)].attention);
    return std::move(referred_);
  }

 private:
  struct Matrix {
    std::vector<const TensorSpec*> tensors;
    std::vector<StoredRows> pieces;
  };
  struct Heads {
    const TensorSpec *whole = nullptr, *keys = nullptr, *values = nullptr;
  };

  std::optional<StoredRows> stored_rows(const TensorSpec& t, int first_output) const {
    const auto view = source_.stored(t);
    if (!view || !is_block(view->dtype)) return std::nullopt;
    return StoredRows{.dtype = view->dtype,
                      .data = view->bytes.data(),
                      .row_bytes = size_bytes(view->dtype, static_cast<std::size_t>(t.shape[1])),
                      .first_output = first_output,
                      .outputs = static_cast<int>(t.shape[0]),
                      .interleaved = view->interleaved};
  }

  void refer_embedding(const TensorSpec& t) {
    const auto rows = stored_rows(t, 0);
    if (!rows || rows->interleaved) return;  // looked up row by row
    weights_.embedding_stored = *rows;
    if (c_.tie_word_embeddings) weights_.lm_head.refer({&*rows, 1});
    referred_.insert(&t);
  }

  // Some rows of a tensor as a piece of another matrix.
  static StoredRows part(const StoredRows& of, int first_row, int first_output, int outputs, bool transposed) {
    StoredRows rows = of;
    rows.data += static_cast<std::size_t>(first_row) * of.row_bytes;
    rows.first_output = first_output;
    rows.outputs = outputs;
    rows.transposed = transposed;
    return rows;
  }

  // Both orders from one copy: each needs one half of kv_b as it lies and the other one transposed, or the other way
  // round, as the file has it.
  void refer_heads(const Heads& tensors, AttentionWeights& a) {
    const int latent = c_.kv_lora_rank, nope = c_.qk_nope_head_dim, value = c_.v_head_dim;
    if (nope % kPanelWidth != 0 || value % kPanelWidth != 0) return;
    if (tensors.whole) {
      const auto rows = stored_rows(*tensors.whole, 0);
      if (!rows || rows->interleaved) return;  // half of it is taken transposed
      a.kv_b_proj.refer({&*rows, 1});
      for (int h = 0; h < c_.num_attention_heads; ++h) {
        AbsorbedHead& head = a.absorbed[static_cast<std::size_t>(h)];
        const StoredRows keys = part(*rows, h * (nope + value), 0, latent, /*transposed=*/true),
                         values = part(*rows, h * (nope + value) + nope, 0, value, /*transposed=*/false);
        head.to_latent.refer({&keys, 1});
        head.to_value.refer({&values, 1});
      }
      referred_.insert(tensors.whole);
      return;
    }
    const auto k_b = stored_rows(*tensors.keys, 0), v_b = stored_rows(*tensors.values, 0);
    if (!k_b || !v_b || k_b->interleaved || v_b->interleaved) return;
    std::vector<StoredRows> expanded;
    for (int h = 0; h < c_.num_attention_heads; ++h) {
      AbsorbedHead& head = a.absorbed[static_cast<std::size_t>(h)];
      const StoredRows keys = part(*k_b, h * latent, 0, latent, /*transposed=*/false),
                       values = part(*v_b, h * value, 0, value, /*transposed=*/false);
      head.to_latent.refer({&keys, 1});
      head.to_value.refer({&values, 1});
      expanded.push_back(part(*k_b, h * latent, h * (nope + value), nope, /*transposed=*/true));
      expanded.push_back(part(*v_b, h * value, h * (nope + value) + nope, value, /*transposed=*/false));
    }
    a.kv_b_proj.refer(expanded);
    referred_.insert({tensors.keys, tensors.values});
  }

  const ModelConfig& c_;
  const WeightSource& source_;
  ModelWeights& weights_;
  std::set<const TensorSpec*> referred_;
};

}  // namespace

Result<ModelWeights> load_weights(const ModelConfig& config, const WeightSource& source, const Compute& compute) {
  const std::vector<TensorSpec> table = tensor_table(config);
  ModelWeights weights = declare_weights(config, compute.arithmetic, AttentionOrders::both);
  const std::set<const TensorSpec*> referred = Referrals(config, source, weights).take(table);
  if (!weights.embedding_stored.data) allocate_embedding(config, weights);
  allocate_rest(weights);
  if (source.scales && config.weight_format == WeightFormat::fp8_block && compute.arithmetic == Arithmetic::fast)
    HADAL_RETURN_IF_ERROR(fill_scales(config, table, source, weights));
  const std::vector<Chunk> chunks = chunks_of(table, config, referred);
  std::mutex mutex;
  std::optional<Error> first_error;
  compute.pool->parallel_for(static_cast<int>(chunks.size()), [&](int i, int) {
    Status status = fill_chunk(config, source, *compute.kernels, chunks[static_cast<std::size_t>(i)], weights);
    if (status.ok()) return;
    const std::lock_guard lock(mutex);
    if (!first_error) first_error = std::move(status).error();
  });
  if (first_error) return *std::move(first_error);
  return weights;
}

}  // namespace hadal
