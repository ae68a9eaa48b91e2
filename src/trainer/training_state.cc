#include "trainer/training_state.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "base/atomic_directory.h"
#include "base/atomic_file.h"
#include "base/json.h"
#include "formats/safetensors.h"
#include "formats/safetensors_writer.h"
#include "spec/checkpoint.h"
#include "spec/checkpoint_writer.h"
#include "spec/gguf_checkpoint.h"
#include "spec/open_checkpoint.h"

namespace hadal {
namespace {

constexpr std::string_view kStateFile = "training_state.safetensors";

Json json_of(const RunCounters& c) {
  return {{"stage", c.stage},
          {"stage_name", c.stage_name},
          {"step", c.step},
          {"stage_steps", c.stage_steps},
          {"stage_tokens", c.stage_tokens},
          {"stage_seconds", c.stage_seconds},
          {"tokens", c.tokens},
          {"seconds", c.seconds},
          {"tokenizer_vocab_size", c.tokenizer_vocab_size},
          {"drawn", c.batches.drawn},
          {"unpaid_tokens", c.batches.unpaid_tokens},
          {"passed_over_by_source", c.batches.passed_over},
          {"progress", c.batches.progress},
          {"kept_drawn", c.kept.drawn},
          {"kept_unpaid_tokens", c.kept.unpaid_tokens},
          {"kept_passed_over_by_source", c.kept.passed_over},
          {"kept_progress", c.kept.progress},
          {"asked", c.curriculum.drawn},
          {"judged", c.curriculum.judged},
          {"accuracy", c.curriculum.accuracy},
          {"level_judged", c.curriculum.level_judged},
          {"level_accuracy", c.curriculum.level_accuracy}};
}

// The caller has compared the fingerprint; what is still wrong here is damage.
Result<RunCounters> counters_of(const Json& json, const std::string& subject) {
  RunCounters c;
  try {
    c.stage = json.at("stage").get<int>();
    c.stage_name = json.value("stage_name", c.stage_name);
    c.step = json.at("step").get<std::int64_t>();
    c.stage_steps = json.at("stage_steps").get<std::int64_t>();
    c.stage_tokens = json.at("stage_tokens").get<std::int64_t>();
    c.stage_seconds = json.at("stage_seconds").get<double>();
    c.tokens = json.at("tokens").get<std::int64_t>();
    c.seconds = json.at("seconds").get<double>();
    c.tokenizer_vocab_size = json.value("tokenizer_vocab_size", c.tokenizer_vocab_size);
    c.batches.drawn = json.at("drawn").get<std::vector<std::uint64_t>>();
    c.batches.unpaid_tokens = json.at("unpaid_tokens").get<std::vector<double>>();
    c.batches.passed_over = json.value("passed_over_by_source", c.batches.passed_over);
    c.batches.progress = json.at("progress").get<double>();
    c.kept.drawn = json.value("kept_drawn", c.kept.drawn);
    c.kept.unpaid_tokens = json.value("kept_unpaid_tokens", c.kept.unpaid_tokens);
    c.kept.passed_over = json.value("kept_passed_over_by_source", c.kept.passed_over);
    c.kept.progress = json.value("kept_progress", c.kept.progress);
    c.curriculum.drawn = json.value("asked", c.curriculum.drawn);
    c.curriculum.judged = json.value("judged", c.curriculum.judged);
    c.curriculum.accuracy = json.value("accuracy", c.curriculum.accuracy);
    c.curriculum.level_judged = json.value("level_judged", c.curriculum.level_judged);
    c.curriculum.level_accuracy = json.value("level_accuracy", c.curriculum.level_accuracy);
  } catch (const Json::exception& error) {
    return Error{ErrorKind::invalid,
                 fmt::format("{}: expected the counters of a run, found {}", subject, error.what())};
  }
  return c;
}

Status write_state(const std::filesystem::path& path, std::span<const float> parameters,
                   const OptimizerState& optimizer, std::span<const float> reference, const RunCounters& counters,
                   const std::string& fingerprint) {
  const auto shape = [](std::size_t n) { return std::vector<std::int64_t>{static_cast<std::int64_t>(n)}; };
  std::vector<TensorDeclaration> tensors{{"parameters", DType::f32, shape(parameters.size())},
                                         {"first_moment", DType::f32, shape(optimizer.first.size())},
                                         {"second_moment", DType::f32, shape(optimizer.second.size())}};
  if (!reference.empty()) tensors.push_back({"reference", DType::f32, shape(reference.size())});
  const std::map<std::string, std::string> metadata{
      {"fingerprint", fingerprint},
      {"counters", json_of(counters).dump()},
      {"optimizer", optimizer.kind == OptimizerKind::muon ? "muon" : "adamw"},
      {"optimizer_steps", std::to_string(optimizer.steps)}};
  HADAL_ASSIGN(SafetensorsFileWriter writer, SafetensorsFileWriter::create(path, tensors, metadata));
  HADAL_RETURN_IF_ERROR(writer.append(std::as_bytes(parameters)));
  HADAL_RETURN_IF_ERROR(writer.append(std::as_bytes(std::span(optimizer.first))));
  HADAL_RETURN_IF_ERROR(writer.append(std::as_bytes(std::span(optimizer.second))));
  HADAL_RETURN_IF_ERROR(writer.append(std::as_bytes(reference)));
  return writer.commit();
}

Status write_texts(const std::filesystem::path& part, const ModelConfig& config, const TokenizerFiles& tokenizer,
                   double temperature) {
  HADAL_RETURN_IF_ERROR(write_file_atomically(part / "tokenizer.json", tokenizer.tokenizer_json));
  HADAL_RETURN_IF_ERROR(write_file_atomically(part / "tokenizer_config.json", tokenizer.tokenizer_config_json));
  return write_file_atomically(part / "generation_config.json", generation_config_json(config, temperature));
}

Status write_directory(const std::filesystem::path& directory, TrainingModel& model, const TokenizerFiles& tokenizer,
                       double temperature, const std::function<Status(const std::filesystem::path&)>& more) {
  const TensorRows rows = [&](const TensorSpec& spec, std::int64_t first_row, std::int64_t,
                              std::span<float> out) -> Status {
    model.copy_rows(spec, first_row, out);
    return Done{};
  };
  CheckpointOptions options;
  options.more_files = [&](const std::filesystem::path& part) -> Status {
    HADAL_RETURN_IF_ERROR(write_texts(part, model.config(), tokenizer, temperature));
    return more ? more(part) : Status(Done{});
  };
  return write_checkpoint(directory, model.config(), rows, options);
}

Status copy_floats(const Safetensors& file, std::string_view name, std::vector<float>& out) {
  const std::optional<TensorView> tensor = file.find(name);
  if (!tensor || tensor->dtype != DType::f32)
    return Error{ErrorKind::invalid, fmt::format("{}: tensor {}: expected F32, found {}", file.subject(), name,
                                                 tensor ? name_of(tensor->dtype) : "none")};
  out = floats_of(*tensor);
  return Done{};
}

}  // namespace

std::string generation_config_json(const ModelConfig& config, double temperature) {
  nlohmann::ordered_json json = {
      {"bos_token_id", index(config.bos_token_id)},
      {"eos_token_id", index(config.eos_token_ids.empty() ? TokenId{0} : config.eos_token_ids[0])},
      {"do_sample", temperature > 0}};
  if (temperature > 0) {
    json["temperature"] = temperature;
    json["top_p"] = 0.95;
  }
  return json.dump(2) + "\n";
}

Status write_model(const std::filesystem::path& directory, TrainingModel& model, const TokenizerFiles& tokenizer,
                   double temperature) {
  return write_directory(directory, model, tokenizer, temperature, nullptr);
}

Status write_training_checkpoint(const std::filesystem::path& directory, TrainingModel& model,
                                 const TokenizerFiles& tokenizer, const OptimizerState& optimizer,
                                 std::span<const float> reference, const RunCounters& counters,
                                 const std::string& fingerprint, double temperature) {
  return write_directory(directory, model, tokenizer, temperature, [&](const std::filesystem::path& part) {
    return write_state(part / kStateFile, model.parameters(), optimizer, reference, counters, fingerprint);
  });
}

Result<LoadedState> read_training_state(const std::filesystem::path& directory, std::int64_t parameters,
                                        const std::string& fingerprint) {
  const std::string subject = (directory.filename() / kStateFile).string();
  HADAL_ASSIGN(const Safetensors file, Safetensors::open(directory / kStateFile));
  const auto& metadata = file.metadata();
  const auto field = [&](const std::string& key) {
    const auto found = metadata.find(key);
    return found == metadata.end() ? std::string() : found->second;
  };
  if (field("fingerprint") != fingerprint)
    return Error{ErrorKind::invalid,
                 fmt::format("{}: expected a run of this recipe's model and tokenizer, found one of others", subject)};
  LoadedState state;
  HADAL_ASSIGN(const Json counters, parse_json(field("counters"), subject));
  HADAL_ASSIGN(state.counters, counters_of(counters, subject));
  HADAL_RETURN_IF_ERROR(copy_floats(file, "parameters", state.parameters));
  HADAL_RETURN_IF_ERROR(copy_floats(file, "first_moment", state.optimizer.first));
  HADAL_RETURN_IF_ERROR(copy_floats(file, "second_moment", state.optimizer.second));
  if (file.find("reference")) HADAL_RETURN_IF_ERROR(copy_floats(file, "reference", state.reference));
  if (!state.reference.empty() && state.reference.size() != state.parameters.size())
    return Error{ErrorKind::invalid, fmt::format("{}: reference: expected {} parameters, found {}", subject,
                                                 state.parameters.size(), state.reference.size())};
  if (static_cast<std::int64_t>(state.parameters.size()) != parameters)
    return Error{ErrorKind::invalid,
                 fmt::format("{}: expected {} parameters, found {}", subject, parameters, state.parameters.size())};
  const std::string kind = field("optimizer"), steps = field("optimizer_steps");
  if ((kind != "muon" && kind != "adamw") || steps.empty())
    return Error{ErrorKind::invalid,
                 fmt::format("{}: expected an optimizer (adamw or muon) and its steps, found \"{}\" "
                             "and \"{}\"",
                             subject, kind, steps)};
  state.optimizer.kind = kind == "muon" ? OptimizerKind::muon : OptimizerKind::adamw;
  state.optimizer.steps = std::strtoll(steps.c_str(), nullptr, 10);
  return state;
}

std::filesystem::path checkpoint_path(const std::filesystem::path& work, std::int64_t step) {
  return work / "checkpoints" / fmt::format("step-{:09}", step);
}

Status find_place(const Recipe& recipe, const std::filesystem::path& checkpoint, RunCounters& c) {
  const std::size_t known = std::max(c.batches.drawn.size(), c.curriculum.drawn.size());
  if (known > recipe.sources.size() || c.kept.drawn.size() > 1)
    return Error{ErrorKind::invalid,
                 fmt::format("{}: expected a run of at most {} sources, as the recipe has, found {} of them",
                             checkpoint.string(), recipe.sources.size(), known)};
  if (c.tokenizer_vocab_size != 0 && c.tokenizer_vocab_size != recipe.tokenizer_vocab_size)
    return Error{
        ErrorKind::invalid,
        fmt::format("{}: tokenizer: vocab_size: expected {}, which the run's tokenizer was made with, found {}",
                    checkpoint.string(), c.tokenizer_vocab_size, recipe.tokenizer_vocab_size)};
  // Checkpoints of before December 2026 know the stage's index alone.
  const auto is_it = [&](const StageRecipe& stage) { return c.stage_name.empty() || stage.name == c.stage_name; };
  const bool is_there = c.stage >= 0 && c.stage < static_cast<int>(recipe.stages.size());
  if (is_there && is_it(recipe.stages[static_cast<std::size_t>(c.stage)])) return Done{};
  const auto found =
      c.stage_name.empty() ? recipe.stages.end() : std::find_if(recipe.stages.begin(), recipe.stages.end(), is_it);
  if (found == recipe.stages.end())
    return Error{ErrorKind::invalid, fmt::format("{}: expected a stage of the recipe under way, found stage {} \"{}\"",
                                                 checkpoint.string(), c.stage, c.stage_name)};
  c.stage = static_cast<int>(found - recipe.stages.begin());
  return Done{};
}

namespace {

// What has the name of a checkpoint, `suffix` behind it, and the state in it.
std::vector<std::filesystem::path> checkpoints_named(const std::filesystem::path& work, std::string_view suffix) {
  std::vector<std::filesystem::path> found;
  std::error_code error;
  for (std::filesystem::directory_iterator it(work / "checkpoints", error), end; !error && it != end;
       it.increment(error)) {
    std::string name = it->path().filename().string();
    if (!name.ends_with(suffix)) continue;
    name.resize(name.size() - suffix.size());
    const bool digits =
        name.size() == 14 && name.starts_with("step-") && name.find_first_not_of("0123456789", 5) == std::string::npos;
    if (digits && std::filesystem::exists(it->path() / kStateFile, error)) found.push_back(it->path());
  }
  std::sort(found.begin(), found.end());
  return found;
}

}  // namespace

Status recover_checkpoints(const std::filesystem::path& work) {
  for (std::filesystem::path waiting : checkpoints_named(work, ".old"))
    HADAL_RETURN_IF_ERROR(recover_directory(waiting.replace_extension()));
  return Done{};
}

std::vector<std::filesystem::path> list_checkpoints(const std::filesystem::path& work) {
  return checkpoints_named(work, "");
}

void remove_old_checkpoints(const std::filesystem::path& work, int keep) {
  const auto found = list_checkpoints(work);
  for (std::size_t i = 0; i + static_cast<std::size_t>(keep) < found.size(); ++i) {
    std::error_code ignored;  // what cannot be removed only takes room
    std::filesystem::remove_all(found[i], ignored);
  }
}

namespace {

// Files keep some numbers as float32.
bool same_value(const Json& a, const Json& b) {
  return a.is_number() && b.is_number() ? a.get<float>() == b.get<float>() : a == b;
}

// By more than a GGUF file's factors are off that were worked out in float32: 2e-6 for llama3 scaling of 4 and 8
// thousand positions with theta from 1e4 to 1e6.
bool differ(float a, float b) {
  return std::abs(a - b) > 1e-5f * std::abs(b);
}

// However each of them says it: a GGUF file may have the scaling as a tensor of factors.
Status check_same_rope(const ModelConfig& found, const ModelConfig& expected, const std::string& subject) {
  const std::vector<float> from = rope_inverse_frequencies(found), to = rope_inverse_frequencies(expected);
  for (std::size_t i = 0; i < std::min(from.size(), to.size()); ++i)
    if (differ(from[i], to[i]))
      return Error{ErrorKind::invalid,
                   fmt::format("{}: rope_scaling: expected inverse frequency {} to be {}, as in the "
                               "recipe's model, found {}",
                               subject, i, to[i], from[i])};
  if (differ(softmax_scale(found), softmax_scale(expected)))
    return Error{ErrorKind::invalid,
                 fmt::format("{}: rope_scaling: expected a softmax scale of {}, as the recipe's model has, found {}",
                             subject, softmax_scale(expected), softmax_scale(found))};
  return Done{};
}

// Weights of one shape are another function under another rope, router or norm.
Status check_same_function(const ModelConfig& found, const ModelConfig& expected, const std::string& subject) {
  HADAL_ASSIGN(const Json from, parse_json(write_model_config(found), subject));
  HADAL_ASSIGN(const Json to, parse_json(write_model_config(expected), subject));
  for (const char* key : {"model_type", "num_hidden_layers", "hidden_act", "rms_norm_eps", "rope_theta", "scoring_func",
                          "topk_method", "norm_topk_prob", "routed_scaling_factor", "num_experts_per_tok", "n_group",
                          "topk_group", "num_attention_heads", "num_key_value_heads", "tie_word_embeddings"}) {
    const Json a = from.value(key, Json()), b = to.value(key, Json());
    if (!same_value(a, b))
      return Error{ErrorKind::invalid, fmt::format("{}: {}: expected {}, as the recipe's model has, found {}", subject,
                                                   key, json_excerpt(b), json_excerpt(a))};
  }
  return check_same_rope(found, expected, subject);
}

// Llama's queries or keys [rows, width] from the order of a GGUF file to the published one.
void to_published_rows(int head_dim, std::int64_t width, std::span<float> matrix) {
  const std::vector<float> file(matrix.begin(), matrix.end());
  const std::int64_t rows = static_cast<std::int64_t>(matrix.size()) / width;
  for (std::int64_t r = 0; r < rows; ++r)
    std::copy_n(file.begin() + r * width, width, matrix.begin() + published_row(head_dim, r) * width);
}

}  // namespace

Status load_parameters(const std::filesystem::path& path, TrainingModel& model) {
  HADAL_ASSIGN(const Checkpoint from, open_checkpoint(path));
  HADAL_RETURN_IF_ERROR(check_same_function(from.config, model.config(), path.filename().string()));
  const bool turned =
      from.config.rope_layout == RopeLayout::interleaved && model.config().rope_layout == RopeLayout::half_split;
  for (const ParameterSlot& slot : model.slots()) {
    const std::span<float> out = model.parameters().subspan(static_cast<std::size_t>(slot.offset),
                                                            static_cast<std::size_t>(slot.tensor.elements()));
    HADAL_RETURN_IF_ERROR(read_rows_f32(*from.tensors, slot.tensor, from.config, 0, slot.tensor.shape[0], out.data()));
    if (turned && (slot.tensor.role == TensorRole::q_proj || slot.tensor.role == TensorRole::k_proj))
      to_published_rows(model.config().head_dim, slot.tensor.shape[1], out);
  }
  model.parameters_changed();
  return Done{};
}

}  // namespace hadal
