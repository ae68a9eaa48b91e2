#include "spec/gguf_checkpoint.h"

#include <fmt/format.h>

#include <charconv>
#include <set>

#include "base/check.h"
#include "base/printable.h"

namespace hadal {
namespace {

std::string_view name_in_layer(TensorRole role) {
  switch (role) {
    case TensorRole::input_layernorm:
      return "attn_norm.weight";
    case TensorRole::post_attention_layernorm:
      return "ffn_norm.weight";
    case TensorRole::q_proj:
      return "attn_q.weight";
    case TensorRole::q_a_proj:
      return "attn_q_a.weight";
    case TensorRole::q_a_layernorm:
      return "attn_q_a_norm.weight";
    case TensorRole::q_b_proj:
      return "attn_q_b.weight";
    case TensorRole::kv_a_proj_with_mqa:
      return "attn_kv_a_mqa.weight";
    case TensorRole::kv_a_layernorm:
      return "attn_kv_a_norm.weight";
    case TensorRole::kv_b_proj:
      return "attn_kv_b.weight";
    case TensorRole::k_b_proj:
      return "attn_k_b.weight";
    case TensorRole::v_b_proj:
      return "attn_v_b.weight";
    case TensorRole::o_proj:
      return "attn_output.weight";
    case TensorRole::k_proj:
      return "attn_k.weight";
    case TensorRole::v_proj:
      return "attn_v.weight";
    case TensorRole::q_bias:
      return "attn_q.bias";
    case TensorRole::k_bias:
      return "attn_k.bias";
    case TensorRole::v_bias:
      return "attn_v.bias";
    case TensorRole::q_norm:
      return "attn_q_norm.weight";
    case TensorRole::k_norm:
      return "attn_k_norm.weight";
    case TensorRole::dense_gate:
      return "ffn_gate.weight";
    case TensorRole::dense_up:
      return "ffn_up.weight";
    case TensorRole::dense_down:
      return "ffn_down.weight";
    case TensorRole::router:
      return "ffn_gate_inp.weight";
    case TensorRole::router_bias:
      return "exp_probs_b.bias";
    case TensorRole::expert_gate:
      return "ffn_gate_exps.weight";
    case TensorRole::expert_up:
      return "ffn_up_exps.weight";
    case TensorRole::expert_down:
      return "ffn_down_exps.weight";
    case TensorRole::shared_gate:
      return "ffn_gate_shexp.weight";
    case TensorRole::shared_up:
      return "ffn_up_shexp.weight";
    case TensorRole::shared_down:
      return "ffn_down_shexp.weight";
    case TensorRole::mtp_enorm:
      return "nextn.enorm.weight";
    case TensorRole::mtp_hnorm:
      return "nextn.hnorm.weight";
    case TensorRole::mtp_eh_proj:
      return "nextn.eh_proj.weight";
    case TensorRole::mtp_shared_head_norm:
      return "nextn.shared_head_norm.weight";
    case TensorRole::mtp_embed_tokens:
      return "nextn.embed_tokens.weight";
    case TensorRole::mtp_shared_head:
      return "nextn.shared_head_head.weight";
    case TensorRole::embed_tokens:
    case TensorRole::final_norm:
    case TensorRole::lm_head:
      break;
  }
  HADAL_CHECK(false);
}

// The stored tensor as the table has it. A shape that does not fit stays as it is, for check_checkpoint to name.
TensorView as_published(TensorView view, const TensorSpec& spec) {
  if (spec.expert >= 0) {
    if (view.shape.size() != 3 || spec.expert >= view.shape[0]) return view;
    const std::size_t bytes = view.bytes.size() / static_cast<std::size_t>(view.shape[0]);
    view.bytes = view.bytes.subspan(static_cast<std::size_t>(spec.expert) * bytes, bytes);
    view.shape.erase(view.shape.begin());
  }
  if ((spec.role == TensorRole::k_b_proj || spec.role == TensorRole::v_b_proj) && view.shape.size() == 3)
    view.shape = {view.shape[0] * view.shape[1], view.shape[2]};
  return view;
}

// Of a tensor that the table does not know: layers behind the last one (multi-token prediction that no key mentions),
// rotations that old converters wrote out, and kv_b in its other form beside the one that is read.
bool changes_nothing(std::string_view name, const ModelConfig& config) {
  constexpr std::string_view kLayer = "blk.";
  if (!name.starts_with(kLayer)) return false;
  int layer = 0;
  const char* const end = name.data() + name.size();
  const auto [after, error] = std::from_chars(name.data() + kLayer.size(), end, layer);
  if (error != std::errc() || after == end || *after != '.') return false;
  if (layer >= config.num_hidden_layers) return true;
  const std::string_view rest(after + 1, end);
  if (rest == "attn_rot_embd" || rest == "attn_rot_embd.weight") return true;
  return config.attention_kind == AttentionKind::mla &&
         (rest == "attn_kv_b.weight" || rest == "attn_k_b.weight" || rest == "attn_v_b.weight");
}

}  // namespace

std::string gguf_tensor_name(const TensorSpec& tensor) {
  if (tensor.role == TensorRole::embed_tokens) return "token_embd.weight";
  if (tensor.role == TensorRole::final_norm) return "output_norm.weight";
  if (tensor.role == TensorRole::lm_head) return "output.weight";
  return fmt::format("blk.{}.{}", tensor.layer, name_in_layer(tensor.role));
}

std::int64_t published_row(int head_dim, std::int64_t row) {
  const std::int64_t head = row / head_dim, at = row % head_dim;
  return head * head_dim + at / 2 + at % 2 * (head_dim / 2);
}

Result<GgufCheckpoint> GgufCheckpoint::open(Gguf gguf, const ModelConfig& config) {
  GgufCheckpoint checkpoint(std::move(gguf));
  const Gguf& file = checkpoint.gguf_;
  std::set<std::string> used;
  if (!config.rope_frequency_divisors.empty()) used.insert("rope_freqs.weight");  // a part of the config
  for (const TensorSpec& spec : tensor_table(config)) {
    const std::string name = gguf_tensor_name(spec);
    if (auto view = file.find(name)) {
      checkpoint.tensors_.emplace(spec.name, as_published(*std::move(view), spec));
      used.insert(name);
    }
  }
  for (const std::string& name : file.names()) {
    if (used.contains(name)) continue;
    const TensorView view = *file.find(name);
    if (!changes_nothing(name, config))
      return Error{
          ErrorKind::unsupported,
          fmt::format("{}: tensor {}: expected none of this name in a {} model, found {} in {}", view.file,
                      printable(name), name_of(config.model_type), shape_text(view.shape), storage_name(view))};
    checkpoint.tensors_.emplace(name, view);
  }
  return checkpoint;
}

std::optional<TensorView> GgufCheckpoint::find(std::string_view name) const {
  const auto found = tensors_.find(name);
  if (found == tensors_.end()) return std::nullopt;
  return found->second;
}

std::vector<std::string> GgufCheckpoint::names() const {
  std::vector<std::string> all;
  for (const auto& [name, view] : tensors_) all.push_back(name);
  return all;
}

}  // namespace hadal
