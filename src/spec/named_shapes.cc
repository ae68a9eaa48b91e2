#include "spec/named_shapes.h"

#include <array>

namespace hadal {
namespace {

constexpr std::array<std::string_view, 8> kNames = {
    "deepseek-v2-lite",     "deepseek-v3-4layer", "deepseek-v3",         "moonlight-16b-a3b",
    "r1-distill-qwen-1.5b", "r1-distill-qwen-7b", "r1-distill-llama-8b", "tiny-moe"};

// What V2, V3 and their relatives share.
ModelConfig latent(ModelType type) {
  ModelConfig c;
  c.model_type = type;
  c.kv_lora_rank = 512;
  c.qk_nope_head_dim = 128;
  c.qk_rope_head_dim = 64;
  c.v_head_dim = 128;
  c.max_position_embeddings = 163840;
  return c;
}

YarnScaling yarn(double mscale) {
  return {.factor = 40, .original_max_position_embeddings = 4096, .mscale = mscale, .mscale_all_dim = mscale};
}

ModelConfig v2_lite() {
  ModelConfig c = latent(ModelType::deepseek_v2);
  c.vocab_size = 102400;
  c.hidden_size = 2048;
  c.intermediate_size = 10944;
  c.moe_intermediate_size = 1408;
  c.num_hidden_layers = 27;
  c.num_attention_heads = 16;
  c.n_routed_experts = 64;
  c.n_shared_experts = 2;
  c.num_experts_per_tok = 6;
  c.first_k_dense_replace = 1;
  c.scoring_func = ScoringFunc::softmax;
  c.topk_method = TopkMethod::greedy;
  c.norm_topk_prob = false;
  c.rope_scaling = yarn(0.707);
  c.bos_token_id = TokenId{100000};
  c.eos_token_ids = {TokenId{100001}};
  return c;
}

ModelConfig moonlight() {
  ModelConfig c = v2_lite();
  c.model_type = ModelType::deepseek_v3;
  c.vocab_size = 163840;
  c.intermediate_size = 11264;
  c.scoring_func = ScoringFunc::sigmoid;
  c.topk_method = TopkMethod::noaux_tc;
  c.norm_topk_prob = true;
  c.routed_scaling_factor = 2.446;
  c.rope_theta = 50000;
  c.rope_scaling.reset();
  c.max_position_embeddings = 8192;
  c.bos_token_id = TokenId{163584};
  c.eos_token_ids = {TokenId{163586}};
  return c;
}

ModelConfig v3() {
  ModelConfig c = latent(ModelType::deepseek_v3);
  c.vocab_size = 129280;
  c.hidden_size = 7168;
  c.intermediate_size = 18432;
  c.moe_intermediate_size = 2048;
  c.num_hidden_layers = 61;
  c.num_attention_heads = 128;
  c.q_lora_rank = 1536;
  c.n_routed_experts = 256;
  c.n_shared_experts = 1;
  c.num_experts_per_tok = 8;
  c.first_k_dense_replace = 3;
  c.n_group = 8;
  c.topk_group = 4;
  c.routed_scaling_factor = 2.5;
  c.rope_scaling = yarn(1);
  c.bos_token_id = TokenId{0};
  c.eos_token_ids = {TokenId{1}};
  return c;
}

ModelConfig dense(ModelType type, int hidden, int layers, int heads, int kv_heads, int intermediate, int vocab) {
  ModelConfig c;
  c.model_type = type;
  c.attention_kind = AttentionKind::gqa;
  c.rope_layout = RopeLayout::half_split;
  c.hidden_size = hidden;
  c.num_hidden_layers = layers;
  c.num_attention_heads = heads;
  c.num_key_value_heads = kv_heads;
  c.head_dim = hidden / heads;
  c.intermediate_size = intermediate;
  c.vocab_size = vocab;
  c.max_position_embeddings = 131072;
  c.qkv_bias = type == ModelType::qwen2;
  return c;
}

ModelConfig llama_8b() {
  ModelConfig c = dense(ModelType::llama, 4096, 32, 32, 8, 14336, 128256);
  c.rope_theta = 5e5;
  c.rms_norm_eps = 1e-5;
  c.llama3_scaling = Llama3Scaling{};
  c.bos_token_id = TokenId{128000};
  c.eos_token_ids = {TokenId{128001}};
  return c;
}

ModelConfig qwen(int hidden, int heads, int kv_heads, int intermediate, int vocab) {
  ModelConfig c = dense(ModelType::qwen2, hidden, 28, heads, kv_heads, intermediate, vocab);
  c.bos_token_id = TokenId{151646};
  c.eos_token_ids = {TokenId{151643}};
  return c;
}

// Every part of V3 in a few megabytes: for tests and first tries.
ModelConfig tiny_moe() {
  ModelConfig c = v3();
  c.vocab_size = 1024;
  c.hidden_size = 256;
  c.intermediate_size = 512;
  c.moe_intermediate_size = 256;
  c.num_hidden_layers = 3;
  c.num_attention_heads = 4;
  c.q_lora_rank = 256;
  c.kv_lora_rank = 256;
  c.qk_nope_head_dim = c.v_head_dim = 64;
  c.qk_rope_head_dim = 32;
  c.n_routed_experts = 8;
  c.num_experts_per_tok = 2;
  c.first_k_dense_replace = 1;
  c.n_group = 2;
  c.topk_group = 1;
  return c;
}

}  // namespace

std::span<const std::string_view> shape_names() {
  return kNames;
}

std::optional<ModelConfig> named_shape(std::string_view name) {
  if (name == "deepseek-v2-lite") return v2_lite();
  if (name == "deepseek-v3") return v3();
  if (name == "deepseek-v3-4layer") {
    ModelConfig c = v3();
    c.num_hidden_layers = 4;  // three dense, one of experts
    return c;
  }
  if (name == "moonlight-16b-a3b") return moonlight();
  if (name == "r1-distill-qwen-1.5b") return qwen(1536, 12, 2, 8960, 151936);
  if (name == "r1-distill-qwen-7b") return qwen(3584, 28, 4, 18944, 152064);
  if (name == "r1-distill-llama-8b") return llama_8b();
  if (name == "tiny-moe") return tiny_moe();
  return std::nullopt;
}

}  // namespace hadal
