#include "cli/importance.h"

#include <algorithm>
#include <optional>

#include "engine/scorer.h"
#include "model/block.h"

namespace hadal {
namespace {

constexpr int kWindow = 512;
constexpr double kLeaning = 16;  // rows of the layer's mean that an expert's own are added to

}  // namespace

Result<Importance> Importance::measure(const WeightModel& model, std::span<const TokenId> tokens,
                                       ProgressSink progress) {
  Importance importance;
  const ModelConfig& config = model.config();
  HADAL_ASSIGN(Scorer scorer, Scorer::create(*model.forward, kWindow, kWindow));
  model.transformer->observe(
      [&](int layer, int rows, const BlockActivations& a) { importance.see(layer, rows, a, config); });
  Progress bar(progress, "reading for importance", tokens.size());
  Status status = Done{};
  for (std::size_t begin = 0; begin < tokens.size() && status.ok(); begin += kWindow) {
    const auto window = tokens.subspan(begin, std::min<std::size_t>(kWindow, tokens.size() - begin));
    status = scorer.score(window, {}, [](int, std::span<const float>) -> Status { return Done{}; });
    bar.update(begin + window.size());
  }
  model.transformer->observe(nullptr);
  if (!status.ok()) return status.error();
  bar.finish();
  return importance;
}

void Importance::add(int layer, Input input, int expert, const float* row, int n) {
  Sums& sums = sums_[{layer, input, expert}];
  sums.squares.resize(static_cast<std::size_t>(n), 0);
  for (int i = 0; i < n; ++i)
    sums.squares[static_cast<std::size_t>(i)] += static_cast<double>(row[i]) * static_cast<double>(row[i]);
  ++sums.rows;
}

void Importance::see(int layer, int rows, const BlockActivations& a, const ModelConfig& c) {
  const auto all_rows = [&](Input input, const FloatBuffer& buffer, int n) {
    for (int t = 0; t < rows; ++t) add(layer, input, -1, buffer.data() + static_cast<std::ptrdiff_t>(t) * n, n);
  };
  all_rows(Input::attention, a.attention.norm_TD, c.hidden_size);
  if (c.attention_kind == AttentionKind::mla) {
    if (c.q_lora_rank > 0) all_rows(Input::query, a.attention.q_a_norm_TQ, c.q_lora_rank);
    all_rows(Input::latent, a.attention.latent_TC, c.kv_lora_rank);
  }
  all_rows(Input::attention_out, a.attention.out_THV, c.num_attention_heads * c.value_head_dim());
  all_rows(Input::ffn, a.ffn.norm_TD, c.hidden_size);
  const bool moe = c.is_moe_layer(layer);
  const int shared = c.n_shared_experts * c.moe_intermediate_size;
  if (!moe) all_rows(Input::act, a.ffn.act, c.intermediate_size);
  if (!moe) return;
  if (shared > 0) all_rows(Input::act, a.ffn.act, shared);
  const ExpertDispatch& dispatch = a.ffn.dispatch;
  for (int e = 0; e < c.n_routed_experts; ++e)
    for (std::int32_t slot = dispatch.first_slot_E[static_cast<std::size_t>(e)];
         slot < dispatch.first_slot_E[static_cast<std::size_t>(e) + 1]; ++slot) {
      const std::ptrdiff_t token = dispatch.slot_token_S[static_cast<std::size_t>(slot)];
      const float* act = a.ffn.expert_act.data() + static_cast<std::ptrdiff_t>(slot) * c.moe_intermediate_size;
      add(layer, Input::expert, e, a.ffn.norm_TD.data() + token * c.hidden_size, c.hidden_size);
      add(layer, Input::expert_act, e, act, c.moe_intermediate_size);
      add(layer, Input::expert_act, -1, act, c.moe_intermediate_size);
    }
}

std::vector<float> Importance::of(const TensorSpec& tensor) const {
  const auto seen = [&](Input input, int expert) {
    const auto found = sums_.find({tensor.layer, input, expert});
    return found == sums_.end() ? nullptr : &found->second;
  };
  const auto mean = [](const Sums* own, const Sums* of_layer) {
    std::vector<float> out;
    if (!of_layer) return out;
    const double leaning = own == of_layer ? 0 : kLeaning, rows = own ? static_cast<double>(own->rows) : 0;
    for (std::size_t i = 0; i < of_layer->squares.size(); ++i) {
      const double layer_mean = of_layer->squares[i] / static_cast<double>(of_layer->rows);
      out.push_back(static_cast<float>(((own ? own->squares[i] : 0) + leaning * layer_mean) / (rows + leaning)));
    }
    return out;
  };
  const auto of_all = [&](Input input) { return mean(seen(input, -1), seen(input, -1)); };
  switch (tensor.role) {
    case TensorRole::q_proj:
    case TensorRole::q_a_proj:
    case TensorRole::kv_a_proj_with_mqa:
    case TensorRole::k_proj:
    case TensorRole::v_proj:
      return of_all(Input::attention);
    case TensorRole::q_b_proj:
      return of_all(Input::query);
    case TensorRole::kv_b_proj:
    case TensorRole::v_b_proj:
      return of_all(Input::latent);
    case TensorRole::o_proj:
      return of_all(Input::attention_out);
    case TensorRole::dense_gate:
    case TensorRole::dense_up:
    case TensorRole::shared_gate:
    case TensorRole::shared_up:
      return of_all(Input::ffn);
    case TensorRole::dense_down:
    case TensorRole::shared_down:
      return of_all(Input::act);
    case TensorRole::expert_gate:
    case TensorRole::expert_up:
      return mean(seen(Input::expert, tensor.expert), seen(Input::ffn, -1));
    case TensorRole::expert_down:
      return mean(seen(Input::expert_act, tensor.expert), seen(Input::expert_act, -1));
    default:
      return {};
  }
}

}  // namespace hadal
