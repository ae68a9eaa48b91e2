#include "cli/model_facts.h"

#include <algorithm>
#include <array>
#include <set>

#include "spec/open_checkpoint.h"

namespace hadal {
namespace {

constexpr std::int64_t kBf16Bytes = 2;

enum Part { kEmbedding, kAttention, kDense, kRouters, kRouted, kShared, kNorms, kHead, kMtp, kParts };
constexpr std::array<const char*, kParts> kPartNames = {"embedding", "attention",      "dense FFN",
                                                        "routers",   "routed experts", "shared experts",
                                                        "norms",     "head",           "MTP layers"};

Part part_of(const TensorSpec& spec, const ModelConfig& config) {
  if (spec.layer >= config.num_hidden_layers) return kMtp;
  switch (spec.role) {
    case TensorRole::embed_tokens:
      return kEmbedding;
    case TensorRole::lm_head:
      return kHead;
    case TensorRole::final_norm:
    case TensorRole::input_layernorm:
    case TensorRole::post_attention_layernorm:
      return kNorms;
    case TensorRole::dense_gate:
    case TensorRole::dense_up:
    case TensorRole::dense_down:
      return kDense;
    case TensorRole::router:
    case TensorRole::router_bias:
      return kRouters;
    case TensorRole::expert_gate:
    case TensorRole::expert_up:
    case TensorRole::expert_down:
      return kRouted;
    case TensorRole::shared_gate:
    case TensorRole::shared_up:
    case TensorRole::shared_down:
      return kShared;
    default:
      return kAttention;
  }
}

std::vector<LayerRun> layer_runs(const ModelConfig& config) {
  std::vector<LayerRun> runs;
  for (int layer = 0; layer < config.num_hidden_layers; ++layer) {
    const bool moe = config.is_moe_layer(layer);
    if (runs.empty() || runs.back().moe != moe)
      runs.push_back({layer, layer, moe});
    else
      runs.back().last = layer;
  }
  return runs;
}

void count_stored(const TensorSource& files, ModelFacts& facts) {
  for (const std::string& name : files.names()) {
    const TensorView view = *files.find(name);
    for (StoredFacts* sum : {&facts.stored, &facts.stored_by_kind[storage_name(view)]}) {
      ++sum->tensors;
      sum->bytes += view.bytes.size();
    }
  }
}

void count_parts(const TensorSource& files, ModelFacts& facts) {
  std::array<PartFacts, kParts> parts{};
  const auto every_name = files.names();
  std::set<std::string> unused(every_name.begin(), every_name.end());
  for (const TensorSpec& spec : tensor_table(facts.config)) {
    PartFacts& part = parts[part_of(spec, facts.config)];
    for (const std::string& name : {spec.name, scale_name(spec)})
      if (const auto view = files.find(name)) {
        part.bytes += view->bytes.size();
        unused.erase(name);
      }
    if (spec.optional) continue;  // a copy of another tensor
    part.parameters += spec.elements();
    const bool main_pass = spec.layer < facts.config.num_hidden_layers;
    if (main_pass && spec.expert < facts.config.num_experts_per_tok) part.active += spec.elements();
  }
  for (int p = 0; p < kParts; ++p) {
    PartFacts& part = parts[static_cast<std::size_t>(p)];
    part.name = kPartNames[static_cast<std::size_t>(p)];
    if (part.parameters > 0) facts.parts.push_back(part);
  }
  facts.unused_tensors.assign(unused.begin(), unused.end());
}

}  // namespace

Result<ModelFacts> gather_model_facts(const std::filesystem::path& path) {
  ModelFacts facts;
  HADAL_ASSIGN(const Checkpoint checkpoint, open_checkpoint(path));
  facts.config = checkpoint.config;
  const TensorSource& files = *checkpoint.tensors;

  const ModelConfig& c = facts.config;
  facts.layers = layer_runs(c);
  facts.parameters = count_parameters(c);
  count_stored(files, facts);
  count_parts(files, facts);
  facts.cache_bytes_a_token = kBf16Bytes * c.num_hidden_layers * c.latent_row_width();
  facts.mha_bytes_a_token =
      kBf16Bytes * c.num_hidden_layers * c.num_attention_heads * (c.qk_head_dim() + c.value_head_dim());
  return facts;
}

}  // namespace hadal
