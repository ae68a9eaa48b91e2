// `hadal inspect`: a picture of a model that a person understands, or the same as JSON.
#include <fmt/format.h>

#include <memory>

#include "base/clock.h"
#include "base/json.h"
#include "base/printable.h"
#include "chat/model_files.h"
#include "cli/model_facts.h"
#include "cli/shared_options.h"

namespace hadal {
namespace {

struct InspectOptions {
  std::string model;
  bool json = false;
};

// "671 B", "20.3 M", "512": three digits are what a person remembers.
std::string short_count(std::int64_t count) {
  constexpr const char* kUnits[] = {"", " k", " M", " B", " T"};
  double value = static_cast<double>(count);
  int unit = 0;
  while (value >= 999.5 && unit < 4) {
    value /= 1000;
    ++unit;
  }
  const int decimals = unit == 0 || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;
  return fmt::format("{:.{}f}{}", value, decimals, kUnits[unit]);
}

std::string short_bytes(std::uint64_t bytes) {
  return format_bytes(static_cast<double>(bytes));
}

const char* name_of(ScoringFunc value) {
  return value == ScoringFunc::softmax ? "softmax" : "sigmoid";
}
const char* name_of(TopkMethod value) {
  switch (value) {
    case TopkMethod::greedy:
      return "greedy";
    case TopkMethod::group_limited_greedy:
      return "group_limited_greedy";
    default:
      return "noaux_tc";
  }
}

std::string moe_text(const ModelConfig& c) {
  std::string text =
      fmt::format("{} of {} experts of width {}", c.num_experts_per_tok, c.n_routed_experts, c.moe_intermediate_size);
  if (c.n_shared_experts > 0) text += fmt::format(", and {} shared", c.n_shared_experts);
  text += fmt::format("; {} scores", name_of(c.scoring_func));
  if (c.topk_method == TopkMethod::noaux_tc) text += " with balancing bias";
  if (c.n_group > 1 && c.topk_method != TopkMethod::greedy)
    text += fmt::format(", best {} of {} groups", c.topk_group, c.n_group);
  return text;
}

std::string layer_lines(const ModelFacts& facts) {
  const ModelConfig& c = facts.config;
  std::string text;
  for (const LayerRun& run : facts.layers) {
    const std::string which =
        run.first == run.last ? fmt::format("layer {}", run.first) : fmt::format("layers {}-{}", run.first, run.last);
    text += fmt::format("    {:<14} attention, then {}\n", which,
                        run.moe ? "MoE: " + moe_text(c) : fmt::format("dense FFN of width {}", c.intermediate_size));
  }
  return text;
}

std::string attention_lines(const ModelConfig& c) {
  std::string text;
  if (c.attention_kind == AttentionKind::mla)
    text = fmt::format(
        "  attention  MLA, {} heads; query {} + {} rotated {}; values {}\n"
        "             cached of a token and layer: a latent of {} and a key of {} that all heads share\n",
        c.num_attention_heads, c.qk_nope_head_dim, c.qk_rope_head_dim,
        c.q_lora_rank > 0 ? fmt::format("through rank {}", c.q_lora_rank) : "without a rank", c.v_head_dim,
        c.kv_lora_rank, c.qk_rope_head_dim);
  else
    text = fmt::format(
        "  attention  grouped queries, {} heads of {}{}{}\n"
        "             cached of a token and layer: {} key and value heads of {}\n",
        c.num_attention_heads, c.head_dim, c.qkv_bias ? ", with biases" : "",
        c.qk_head_norm ? ", queries and keys normalised" : "", c.num_key_value_heads, c.head_dim);
  text += fmt::format("             RoPE base {}", c.rope_theta);
  if (c.llama3_scaling)
    text += fmt::format(", llama3 x {} beyond {} tokens", c.llama3_scaling->factor,
                        c.llama3_scaling->original_max_position_embeddings);
  if (!c.rope_frequency_divisors.empty()) text += ", with divisors of its frequencies";
  if (c.rope_scaling)
    text += fmt::format(", YaRN x {} beyond {} tokens", c.rope_scaling->factor,
                        c.rope_scaling->original_max_position_embeddings);
  return text + "\n";
}

std::string part_lines(const ModelFacts& facts) {
  std::string text = fmt::format("  {:<16} {:>12} {:>12} {:>12}\n", "", "parameters", "active", "stored");
  for (const PartFacts& part : facts.parts)
    text += fmt::format("  {:<16} {:>12} {:>12} {:>12}\n", part.name, short_count(part.parameters),
                        short_count(part.active), short_bytes(part.bytes));
  text += fmt::format("  {:<16} {:>12} {:>12} {:>12}\n", "in all",
                      short_count(facts.parameters.total + facts.parameters.mtp), short_count(facts.parameters.active),
                      short_bytes(facts.stored.bytes));
  return text;
}

std::string kinds_text(const ModelFacts& facts) {
  std::string text;
  for (const auto& [kind, sum] : facts.stored_by_kind)
    text += fmt::format("{}{} in {}", text.empty() ? "" : ", ", short_bytes(sum.bytes), kind);
  return text;
}

void print_picture(const std::string& name, const ModelFacts& facts) {
  const ModelConfig& c = facts.config;
  write_out(fmt::format("{}: {}, {} parameters, {} active a token\n\n", name, name_of(c.model_type),
                        short_count(facts.parameters.total), short_count(facts.parameters.active)));
  write_out(fmt::format("  token ids -> embedding [{}, {}]\n{}  -> norm -> head [{}, {}]{} -> logits\n", c.vocab_size,
                        c.hidden_size, layer_lines(facts), c.vocab_size, c.hidden_size,
                        c.tie_word_embeddings ? " (the embedding)" : ""));
  if (c.num_nextn_predict_layers > 0)
    write_out(fmt::format("  and {} layer{} for multi-token prediction\n", c.num_nextn_predict_layers,
                          c.num_nextn_predict_layers == 1 ? "" : "s"));
  write_out("\n" + attention_lines(c));
  write_out("\n" + part_lines(facts));
  write_out(fmt::format("\n  files      {} tensors: {}\n", facts.stored.tensors, kinds_text(facts)));
  if (!facts.unused_tensors.empty())
    write_out(fmt::format("             {} of them not used, {} the first\n", facts.unused_tensors.size(),
                          facts.unused_tensors.front()));
  write_out(fmt::format(
      "  cache      {} a token (bf16); with every head's keys and values it would be {}, {:.1f} times as much\n"
      "  context    {} tokens; a full one caches {}\n",
      short_bytes(static_cast<std::uint64_t>(facts.cache_bytes_a_token)),
      short_bytes(static_cast<std::uint64_t>(facts.mha_bytes_a_token)),
      static_cast<double>(facts.mha_bytes_a_token) / static_cast<double>(facts.cache_bytes_a_token),
      c.max_position_embeddings,
      short_bytes(static_cast<std::uint64_t>(facts.cache_bytes_a_token) *
                  static_cast<std::uint64_t>(c.max_position_embeddings))));
}

Json layers_json(const ModelFacts& facts) {
  Json layers = Json::array();
  for (const LayerRun& run : facts.layers)
    for (int layer = run.first; layer <= run.last; ++layer)
      layers.push_back({{"layer", layer}, {"ffn", run.moe ? "moe" : "dense"}});
  return layers;
}

Json facts_json(const std::string& path, const ModelFacts& facts) {
  const ModelConfig& c = facts.config;
  Json parts = Json::object(), kinds = Json::object();
  for (const PartFacts& part : facts.parts)
    parts[part.name] = {{"parameters", part.parameters}, {"active", part.active}, {"bytes", part.bytes}};
  for (const auto& [kind, sum] : facts.stored_by_kind) kinds[kind] = {{"tensors", sum.tensors}, {"bytes", sum.bytes}};
  return {
      {"path", path},
      {"model_type", name_of(c.model_type)},
      {"vocab_size", c.vocab_size},
      {"hidden_size", c.hidden_size},
      {"context_tokens", c.max_position_embeddings},
      {"layers", layers_json(facts)},
      {"mtp_layers", c.num_nextn_predict_layers},
      {"attention",
       {{"kind", c.attention_kind == AttentionKind::mla ? "mla" : "gqa"},
        {"heads", c.num_attention_heads},
        {"key_value_heads", c.num_key_value_heads},
        {"head_dim", c.head_dim},
        {"q_lora_rank", c.q_lora_rank},
        {"kv_lora_rank", c.kv_lora_rank},
        {"qk_nope_head_dim", c.qk_nope_head_dim},
        {"qk_rope_head_dim", c.qk_rope_head_dim},
        {"v_head_dim", c.v_head_dim}}},
      {"moe",
       {{"experts", c.n_routed_experts},
        {"chosen", c.num_experts_per_tok},
        {"shared", c.n_shared_experts},
        {"width", c.moe_intermediate_size},
        {"scoring_func", name_of(c.scoring_func)},
        {"topk_method", name_of(c.topk_method)},
        {"groups", c.n_group},
        {"chosen_groups", c.topk_group}}},
      {"dense_width", c.intermediate_size},
      {"parameters",
       {{"total", facts.parameters.total}, {"active", facts.parameters.active}, {"mtp", facts.parameters.mtp}}},
      {"parts", parts},
      {"stored",
       {{"tensors", facts.stored.tensors},
        {"bytes", facts.stored.bytes},
        {"by_kind", kinds},
        {"unused_tensors", facts.unused_tensors.size()}}},
      {"cache_bytes_per_token", facts.cache_bytes_a_token},
      {"mha_cache_bytes_per_token", facts.mha_bytes_a_token},
  };
}

Status run_inspect(const InspectOptions& options) {
  HADAL_ASSIGN(const ModelLocation location, find_model(options.model));
  HADAL_ASSIGN(const ModelFacts facts, gather_model_facts(location.path));
  if (options.json)
    write_out(facts_json(location.path.string(), facts).dump(-1, ' ', false, Json::error_handler_t::replace) + "\n");
  else
    print_picture(printable(location.name), facts);
  return Done{};
}

}  // namespace

void add_inspect_command(CLI::App& app, CommandResult& result) {
  auto options = std::make_shared<InspectOptions>();
  CLI::App* command = app.add_subcommand("inspect", "What a model is, and what it needs");
  command->footer(
      "\nExamples:\n"
      "  hadal inspect MODEL\n"
      "  hadal inspect MODEL --json | jq .parameters\n");
  add_model_argument(*command, options->model);
  command->add_flag("--json", options->json, "One JSON object");
  command->callback([options, &result] { result.status = run_inspect(*options); });
}

}  // namespace hadal
