#include "trainer/recipe.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <set>

#include "base/file.h"
#include "base/json.h"
#include "trainer/held_out.h"
#include "trainer/recipe_table.h"
#include "trainer/tasks/generators.h"
#include "trainer/training_model.h"

namespace hadal {
namespace {

constexpr std::int64_t kMany = std::int64_t{1} << 50;

std::vector<std::filesystem::path> paths_of(RecipeTable& table, std::string_view key,
                                            const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> out;
  for (const std::string& path : table.texts(key)) out.push_back((folder / path).lexically_normal());
  return out;
}

Result<SourceRecipe> parse_source(const toml::table& toml, const std::string& subject,
                                  const std::filesystem::path& folder) {
  RecipeTable table(toml, subject);
  SourceRecipe source;
  source.name = table.text("name", std::nullopt);
  source.kind = static_cast<SourceKind>(table.choice("kind", 0, {"tasks", "generator", "text", "conversations"}));
  source.paths = paths_of(table, "paths", folder);
  if (source.kind == SourceKind::generator) {
    std::vector<std::string_view> names{"word_problems", "drills", "asked_sums", "copy_drills", "notebook"};
    names.insert(names.end(), generated_tasks().begin(), generated_tasks().end());
    source.generator = names[static_cast<std::size_t>(table.choice("generator", 0, names))];
    source.languages = table.texts("languages");
    if (source.generator == "word_problems" && source.paths.size() != 1 && source.paths.size() != 2)
      table.fail("paths", "templates.json, and parts of wordings where there are some");
    if ((source.generator == "copy_drills" || source.generator == "notebook") && source.paths.size() != 1)
      table.fail("paths", "one file of words");
  } else if (source.paths.empty()) {
    table.fail("paths", "a list of files");
  }
  if (source.kind == SourceKind::tasks) {
    source.if_absent = static_cast<IfAbsent>(table.choice("if_absent", 0, {"fail", "generate", "leave_out"}));
    source.words = paths_of(table, "words", folder);
    const auto known = generated_tasks();
    if (source.if_absent == IfAbsent::generate && std::find(known.begin(), known.end(), source.name) == known.end())
      table.fail("if_absent", "the name of a source that a generator has too");
  }
  HADAL_RETURN_IF_ERROR(table.finish());
  return source;
}

OptimizerRecipe parse_optimizer(RecipeTable& table) {
  OptimizerRecipe o;
  o.kind = static_cast<OptimizerKind>(table.choice("optimizer", 0, {"adamw", "muon"}));
  o.learning_rate = table.number("learning_rate", o.learning_rate, 0, 10);
  o.adamw_learning_rate = table.number("adamw_learning_rate", 0, 0, 10);
  o.beta1 = table.number("beta1", o.beta1, 0, 0.99999);
  o.beta2 = table.number("beta2", o.beta2, 0, 0.99999);
  o.epsilon = table.number("epsilon", o.epsilon, 1e-30, 1);
  o.weight_decay = table.number("weight_decay", o.weight_decay, 0, 10);
  o.momentum = table.number("momentum", o.momentum, 0, 0.99999);
  o.newton_schulz_steps = static_cast<int>(table.integer("newton_schulz_steps", o.newton_schulz_steps, 1, 20));
  o.clip_norm = table.number("clip_norm", o.clip_norm, 0, 1e9);
  return o;
}

ScheduleRecipe parse_schedule(RecipeTable& table) {
  ScheduleRecipe s;
  s.kind = static_cast<ScheduleKind>(table.choice("schedule", 3, {"constant", "linear", "cosine", "wsd"}));
  s.warmup = table.number("warmup", s.warmup, 0, 1);
  s.decay = table.number("decay", s.decay, 0, 1);
  s.final_ratio = table.number("final_ratio", s.final_ratio, 0, 1);
  return s;
}

// A table of weights by source name; sources that it leaves out weigh nothing.
Result<std::vector<double>> parse_weights(const toml::table& toml, const std::string& subject,
                                          const std::vector<SourceRecipe>& sources) {
  RecipeTable table(toml, subject);
  std::vector<double> weights;
  double sum = 0;
  for (const SourceRecipe& source : sources) {
    weights.push_back(table.number(source.name, 0, 0, 1e9));
    sum += weights.back();
  }
  HADAL_RETURN_IF_ERROR(table.finish());
  if (sum <= 0) return Error{ErrorKind::invalid, subject + ": expected a source of positive weight, found none"};
  for (double& w : weights) w /= sum;
  return weights;
}

// The table `key`, or the weights that the last of the `earlier` stages of this name begins with; no such key:
// `absent`.
Result<std::vector<double>> parse_mixture(RecipeTable& table, std::string_view key,
                                          const std::vector<SourceRecipe>& sources,
                                          const std::vector<StageRecipe>& earlier, std::vector<double> absent) {
  if (!table.has(key)) return absent;
  if (!table.is_text(key)) {
    const toml::table* mixture = table.table(key);
    if (mixture == nullptr) return absent;  // finish() reports it
    return parse_weights(*mixture, fmt::format("{}: {}", table.subject(), key), sources);
  }
  const std::string name = table.text(key, std::nullopt);
  const auto of_name =
      std::find_if(earlier.rbegin(), earlier.rend(), [&](const StageRecipe& stage) { return stage.name == name; });
  if (of_name != earlier.rend()) return of_name->weights;
  table.fail(key, "a table, or the name of an earlier stage");
  return absent;
}

// What stages that sample answers have, and what only those have that learn from rewards or only the others.
GrpoRecipe parse_sampling(RecipeTable& table, StageKind kind) {
  GrpoRecipe g;
  const auto count = [&](std::string_view key, int absent, int most) {
    return static_cast<int>(table.integer(key, absent, 1, most));
  };
  g.questions = count("questions", g.questions, 1 << 16);
  g.group = static_cast<int>(table.integer("group", g.group, 2, 1 << 12));
  g.answer_tokens = count("answer_tokens", g.answer_tokens, 1 << 20);
  g.sequences = count("sequences", g.sequences, 1024);
  g.sampling.temperature = table.number("sampling_temperature", g.sampling.temperature, 1e-3, 10);
  g.sampling.top_k = static_cast<int>(table.integer("top_k", 0, 0, 1 << 20));
  g.sampling.top_p = table.number("top_p", 1, 1e-3, 1);
  g.adaptive = table.flag("adaptive", true);
  if (kind == StageKind::rejection) {
    g.keep = count("keep", g.keep, 1 << 12);
    return g;
  }
  g.rounds = count("rounds", g.rounds, 100);
  g.updates = count("updates", g.updates, 1 << 10);
  g.policy.clip_low = table.number("clip_low", g.policy.clip_low, 0, 1);
  g.policy.clip_high = table.number("clip_high", g.policy.clip_high, 0, 1e6);
  g.policy.kl_weight = table.number("kl_weight", g.policy.kl_weight, 0, 1e6);
  g.policy.off_policy_limit = table.number("off_policy_limit", 0, 0, 1e6);
  g.policy.divide_by_deviation = table.flag("divide_by_deviation", true);
  g.reference_steps = count("reference_steps", g.reference_steps, 1 << 30);
  g.rewards.right = table.number("reward_right", g.rewards.right, 0, 1e6);
  g.rewards.form = table.number("reward_form", g.rewards.form, 0, 1e6);
  g.rewards.language = table.number("reward_language", g.rewards.language, 0, 1e6);
  g.replay_routes = table.flag("replay_routes", true);
  g.replay_mask = table.flag("replay_mask", true);
  return g;
}

// What a stage of reinforcement draws from must ask questions.
Status check_questions(RecipeTable& table, const std::vector<SourceRecipe>& sources, StageRecipe& stage) {
  const bool chosen = table.has("mixture");
  double sum = 0;
  for (std::size_t i = 0; i < sources.size(); ++i) {
    if (stage.weights[i] > 0 && !asks_questions(sources[i])) {
      if (chosen)
        return Error{ErrorKind::invalid, fmt::format("{}: mixture: expected sources of questions, found {}",
                                                     table.subject(), sources[i].name)};
      stage.weights[i] = 0;
    }
    sum += stage.weights[i];
  }
  if (sum <= 0)
    return Error{ErrorKind::invalid, fmt::format("{}: expected a source of questions, found none", table.subject())};
  for (double& weight : stage.weights) weight /= sum;
  stage.weights_at_end = stage.weights;
  return Done{};
}

Result<StageRecipe> parse_stage(const toml::table& toml, const std::string& subject, const toml::table* defaults,
                                const std::vector<SourceRecipe>& sources, const std::vector<StageRecipe>& earlier) {
  RecipeTable table(toml, subject, defaults);
  StageRecipe stage;
  constexpr std::string_view kKinds[] = {"pretrain", "sft", "grpo", "rejection"};
  const int kind = table.choice("kind", 0, {std::begin(kKinds), std::end(kKinds)});
  stage.kind = static_cast<StageKind>(kind);
  stage.name = table.text("name", std::string(kKinds[kind]));
  const auto outside = [](unsigned char c) { return !std::isalnum(c) && c != ' ' && c != '-' && c != '_' && c < 0x80; };
  if (stage.name.empty() || std::any_of(stage.name.begin(), stage.name.end(), outside))  // it names files
    table.fail("name", "letters, digits, blanks, - and _");
  if (stage.samples())
    stage.grpo = parse_sampling(table, stage.kind), stage.train_on = TrainOn::answers;
  else
    stage.train_on = static_cast<TrainOn>(table.choice("train_on", kind, {"all", "answers"}));
  stage.steps = table.integer("steps", 0, 0, kMany);
  stage.tokens = table.integer("tokens", 0, 0, kMany);
  stage.minutes = table.number("minutes", 0, 0, 1e7);
  stage.batch_tokens = static_cast<int>(table.integer("batch_tokens", stage.batch_tokens, 1, 1 << 24));
  stage.sequence_tokens =
      static_cast<int>(table.integer("sequence_tokens", stage.sequence_tokens, 2, stage.batch_tokens));
  stage.optimizer = parse_optimizer(table);
  stage.schedule = parse_schedule(table);
  stage.balance_rate = table.number("balance_rate", stage.balance_rate, 0, 1);
  if (stage.kind != StageKind::grpo) {
    stage.sequence_balance_alpha = table.number("sequence_balance_alpha", stage.sequence_balance_alpha, 0, 10);
    stage.mtp_weight = table.number("mtp_weight", 0, 0, 10);
    stage.average_start = table.number("average_start", 0, 0, 1);
  }
  const std::vector<double> alike(sources.size(), 1.0 / static_cast<double>(sources.size()));
  auto weights = parse_mixture(table, "mixture", sources, earlier, alike);
  auto weights_at_end = weights;
  if (!stage.samples())
    weights_at_end = parse_mixture(table, "mixture_at_end", sources, earlier, weights.ok() ? *weights : alike);
  HADAL_RETURN_IF_ERROR(table.finish());
  HADAL_ASSIGN(stage.weights, std::move(weights));
  HADAL_ASSIGN(stage.weights_at_end, std::move(weights_at_end));
  if (stage.samples()) HADAL_RETURN_IF_ERROR(check_questions(table, sources, stage));
  if (stage.steps == 0 && stage.tokens == 0 && stage.minutes == 0)
    return Error{ErrorKind::invalid, subject + ": expected steps, tokens or minutes, found none" + table.place()};
  if (stage.kind == StageKind::grpo && stage.steps == 0 && stage.minutes == 0)
    return Error{ErrorKind::invalid,
                 subject + ": expected steps or minutes (a step may learn from no token), found none" + table.place()};
  return stage;
}

Json json_of(const toml::node& node) {
  if (const auto* table = node.as_table()) {
    Json out = Json::object();
    for (const auto& [key, value] : *table) out[std::string(key.str())] = json_of(value);
    return out;
  }
  if (const auto* array = node.as_array()) {
    Json out = Json::array();
    for (const toml::node& value : *array) out.push_back(json_of(value));
    return out;
  }
  if (const auto* value = node.as_string()) return value->get();
  if (const auto* value = node.as_integer()) return value->get();
  if (const auto* value = node.as_floating_point()) return value->get();
  if (const auto* value = node.as_boolean()) return value->get();
  return toml_excerpt(node);  // dates: model_config refuses them by name
}

Status parse_tokenizer(const toml::table* toml, const std::string& subject, const std::filesystem::path& folder,
                       Recipe& recipe) {
  if (toml == nullptr) return Error{ErrorKind::invalid, subject + ": expected a table, found nothing"};
  RecipeTable table(*toml, subject);
  if (table.has("path")) {
    recipe.tokenizer_path = (folder / table.text("path", std::nullopt)).lexically_normal();
  } else {
    recipe.tokenizer_vocab_size = static_cast<int>(table.integer("vocab_size", std::nullopt, 300, 1 << 20));
    recipe.tokenizer_sample_bytes = table.integer("sample_bytes", recipe.tokenizer_sample_bytes, 1000, kMany);
  }
  return table.finish();
}

Status parse_sources(const std::vector<const toml::table*>& tables, const std::string& subject,
                     const std::filesystem::path& folder, Recipe& recipe) {
  for (const toml::table* toml : tables) {
    HADAL_ASSIGN(SourceRecipe source,
                 parse_source(*toml, fmt::format("{}: source[{}]", subject, recipe.sources.size()), folder));
    for (const SourceRecipe& other : recipe.sources)
      if (other.name == source.name)
        return Error{ErrorKind::invalid,
                     fmt::format("{}: source: expected different names, found \"{}\" twice", subject, source.name)};
    recipe.sources.push_back(std::move(source));
  }
  if (recipe.sources.empty()) return Error{ErrorKind::invalid, subject + ": expected a [[source]], found none"};
  return Done{};
}

// Whether `inner` is `outer` or lies in it, by their names.
bool is_within(const std::filesystem::path& inner, const std::filesystem::path& outer) {
  const auto whole = [](const std::filesystem::path& path) {
    const std::filesystem::path normal = std::filesystem::absolute(path.empty() ? "." : path).lexically_normal();
    return normal.has_filename() ? normal : normal.parent_path();
  };
  const std::filesystem::path way = whole(inner).lexically_relative(whole(outer));
  return !way.empty() && *way.begin() != "..";
}

Status parse_run(RecipeTable& table, const std::filesystem::path& folder, Recipe& recipe) {
  recipe.name = table.text("name", recipe.file.stem().string());
  recipe.output = (folder / table.text("output", std::nullopt)).lexically_normal();
  recipe.work = (folder / table.text("work", std::nullopt)).lexically_normal();
  if (is_within(recipe.work, recipe.output))
    table.fail("work", "a folder that does not lie in output, which is replaced whole at the end");
  if (is_within(folder, recipe.output))
    table.fail("output", "a folder that does not hold the recipe, since it is replaced whole");
  recipe.seed = static_cast<std::uint64_t>(table.integer("seed", 1, 0, INT64_MAX));
  recipe.exact = table.choice("arithmetic", 0, {"fast", "exact"}) == 1;
  recipe.init_std = table.number("init_std", recipe.init_std, 0, 10);
  recipe.temperature = table.number("temperature", recipe.temperature, 0, 2);
  recipe.checkpoint_minutes = table.number("checkpoint_minutes", recipe.checkpoint_minutes, 0, 1e6);
  recipe.checkpoint_steps = static_cast<int>(table.integer("checkpoint_steps", 0, 0, 1 << 30));
  recipe.keep_checkpoints = static_cast<int>(table.integer("keep_checkpoints", 2, 1, 1000));
  if (table.has("start")) recipe.start = (folder / table.text("start", std::nullopt)).lexically_normal();
  if (table.has("held_out")) recipe.held_out = (folder / table.text("held_out", std::nullopt)).lexically_normal();
  recipe.eval_paths = paths_of(table, "eval_paths", folder);
  std::set<std::string> names;
  for (const std::filesystem::path& file : recipe.eval_paths)
    if (!names.insert(held_out_name(file)).second)
      table.fail_with({ErrorKind::invalid, fmt::format("{}: eval_paths: expected files whose names differ before the "
                                                       "first point, found {} twice",
                                                       table.subject(), held_out_name(file))});
  recipe.eval_every = static_cast<int>(table.integer("eval_every", 0, 0, 1 << 30));
  recipe.eval_items = static_cast<int>(table.integer("eval_items", recipe.eval_items, 1, 1 << 20));
  recipe.watts = table.number("watts", 0, 0, 1e9);
  recipe.price_per_kwh = table.number("price_per_kwh", 0, 0, 1e6);
  return Done{};
}

// Refuses an output that holds what the recipe reads.
Status check_output(RecipeTable& table, const Recipe& recipe) {
  std::vector<std::filesystem::path> read = recipe.eval_paths;
  for (const std::filesystem::path& path : {recipe.start, recipe.tokenizer_path, recipe.held_out})
    if (!path.empty()) read.push_back(path);
  for (const SourceRecipe& source : recipe.sources) {
    read.insert(read.end(), source.paths.begin(), source.paths.end());
    read.insert(read.end(), source.words.begin(), source.words.end());
  }
  for (const std::filesystem::path& path : read)
    if (is_within(path, recipe.output))
      table.fail("output",
                 fmt::format("a folder that does not hold {}, which the recipe reads, since it is replaced whole",
                             path.string()));
  return table.finish();
}

// Of `stages` those that `names` has, in their own order; no name: all.
Status keep_named(const std::vector<std::string>& names, const std::string& subject, std::vector<StageRecipe>& stages) {
  for (const std::string& name : names) {
    if (std::any_of(stages.begin(), stages.end(), [&](const StageRecipe& stage) { return stage.name == name; }))
      continue;
    std::vector<std::string> known;
    for (const StageRecipe& stage : stages) known.push_back(stage.name);
    return Error{ErrorKind::invalid, fmt::format("{}: only_stages: expected names of stages ({}), found \"{}\"",
                                                 subject, fmt::join(known, ", "), name)};
  }
  if (!names.empty())
    std::erase_if(stages, [&](const StageRecipe& stage) {
      return std::find(names.begin(), names.end(), stage.name) == names.end();
    });
  return Done{};
}

// An error of [model], whose message has the name of a key behind the subject, with that key's line.
Error with_line(Error error, const RecipeTable& model) {
  std::string_view key = error.message;
  for (const std::string& before : {model.subject() + ": ", std::string("unknown key ")})
    if (key.starts_with(before)) key.remove_prefix(before.size());
  const std::string place = model.place(key.substr(0, key.find(':')));
  error.message += place;
  return error;
}

constexpr std::size_t kMaxRecipeBytes = 1 << 20;

Result<toml::table> parse_toml(std::string_view text, const std::string& subject) {
  toml::parse_result parsed = toml::parse(text, subject);
  if (parsed) return std::move(parsed).table();
  const toml::parse_error& error = parsed.error();
  return Error{ErrorKind::invalid,
               fmt::format("{}: not TOML: line {}, column {}: {}", subject, error.source().begin.line,
                           error.source().begin.column, error.description())};
}

// What `root` does not say is taken from the recipe that it includes, a whole top-level key or table at a time; that
// one may include another.
Status take_included(toml::table& root, const std::filesystem::path& file, int depth = 0) {
  constexpr int kMaxDepth = 8;
  const std::string subject = file.filename().string();
  const toml::node* key = root.get("include");
  if (key == nullptr) return Done{};
  const auto name = key->value<std::string>();
  if (!name || name->empty() || std::filesystem::path(*name).filename() != *name) {
    return Error{ErrorKind::invalid,
                 subject + ": include: expected the name of a recipe in the same folder, found " + toml_excerpt(*key)};
  }
  if (depth == kMaxDepth) {
    return Error{ErrorKind::invalid,
                 fmt::format("{}: include: expected at most {} recipes that include one another, found more (\"{}\")",
                             subject, kMaxDepth, *name)};
  }
  const std::filesystem::path included_file = file.parent_path() / *name;
  HADAL_ASSIGN(const std::string text, read_text_file(included_file, kMaxRecipeBytes));
  HADAL_ASSIGN(toml::table included, parse_toml(text, *name));
  HADAL_RETURN_IF_ERROR(take_included(included, included_file, depth + 1));
  root.erase("include");
  for (auto&& [said, node] : included)  // moved: a copy would forget where it stood
    node.visit([&, &key = said](auto& value) {
      if (!root.contains(key)) root.insert(key, std::move(value));
    });
  return Done{};
}

}  // namespace

bool asks_questions(const SourceRecipe& source) {
  if (source.kind == SourceKind::tasks) return true;
  if (source.kind != SourceKind::generator) return false;
  return source.generator != "drills" && source.generator != "copy_drills" && source.generator != "notebook";
}

Result<Recipe> parse_recipe(std::string_view text, const std::filesystem::path& file) {
  const std::string subject = file.filename().string();
  HADAL_ASSIGN(toml::table root, parse_toml(text, subject));
  HADAL_RETURN_IF_ERROR(take_included(root, file));
  RecipeTable table(root, subject);
  Recipe recipe;
  recipe.file = file;
  const std::filesystem::path folder = file.parent_path();
  HADAL_RETURN_IF_ERROR(parse_run(table, folder, recipe));
  const toml::table* tokenizer = table.table("tokenizer");
  const toml::table* model = table.table("model");
  const auto sources = table.tables("source");
  const auto stages = table.tables("stage");
  const toml::table* stage_defaults = table.table("stage_defaults");
  const std::vector<std::string> only_stages = table.texts("only_stages");
  HADAL_RETURN_IF_ERROR(table.finish());
  HADAL_RETURN_IF_ERROR(parse_tokenizer(tokenizer, subject + ": tokenizer", folder, recipe));
  if (model == nullptr) return Error{ErrorKind::invalid, subject + ": model: expected a table, found nothing"};
  recipe.model_json = json_of(*model).dump();
  HADAL_RETURN_IF_ERROR(parse_sources(sources, subject, folder, recipe));
  HADAL_RETURN_IF_ERROR(check_output(table, recipe));
  for (const toml::table* toml : stages) {
    HADAL_ASSIGN(StageRecipe stage, parse_stage(*toml, fmt::format("{}: stage[{}]", subject, recipe.stages.size()),
                                                stage_defaults, recipe.sources, recipe.stages));
    for (const StageRecipe& other : recipe.stages)
      if (other.name == stage.name && other.kind == StageKind::rejection && stage.kind == StageKind::rejection)
        return Error{ErrorKind::invalid,
                     fmt::format("{}: stage: expected different names of stages of rejection sampling, "
                                 "found \"{}\" twice",
                                 subject, stage.name)};
    recipe.stages.push_back(std::move(stage));
  }
  if (recipe.stages.empty()) return Error{ErrorKind::invalid, subject + ": expected a [[stage]], found none"};
  HADAL_RETURN_IF_ERROR(keep_named(only_stages, subject, recipe.stages));
  // The tokenizer has the last word on sizes; this finds the wrong keys and values before anything is opened.
  const auto config = recipe_model_config(
      recipe, {recipe.tokenizer_vocab_size > 0 ? recipe.tokenizer_vocab_size : 1 << 20, TokenId{0}, TokenId{1}});
  if (!config.ok()) return with_line(config.error(), RecipeTable(*model, subject + ": model"));
  return recipe;
}

Result<Recipe> read_recipe(const std::filesystem::path& file) {
  HADAL_ASSIGN(const std::string text, read_text_file(file, kMaxRecipeBytes));
  return parse_recipe(text, file);
}

Result<ModelConfig> recipe_model_config(const Recipe& recipe, const TokenizerFacts& tokenizer) {
  const std::string subject = recipe.file.filename().string() + ": model";
  HADAL_ASSIGN(Json json, parse_json(recipe.model_json, subject));
  const Json given = json;
  for (const char* key : {"vocab_size", "bos_token_id", "eos_token_id", "architectures"})
    if (json.contains(key))
      return Error{ErrorKind::invalid,
                   fmt::format("{}: {}: expected nothing (it comes from the tokenizer or from start), found {}",
                               subject, key, json_excerpt(json[key]))};
  if (!json.contains("model_type")) json["model_type"] = "deepseek_v3";
  json["vocab_size"] = tokenizer.embedding_rows;
  json["bos_token_id"] = index(tokenizer.bos);
  json["eos_token_id"] = index(tokenizer.eos);
  HADAL_ASSIGN(ModelConfig config, parse_model_config(json.dump(), subject));
  HADAL_RETURN_IF_ERROR(check_trainable(config, subject));
  // What config.json would not say back is a key that nothing reads.
  HADAL_ASSIGN(const Json written, parse_json(write_model_config(config), subject));
  for (const auto& [key, value] : given.items())
    if (!written.contains(key))
      return Error{ErrorKind::invalid, fmt::format("{}: unknown key {}: expected a key of config.json", subject, key)};
  if (config.weight_format != WeightFormat::plain)
    return Error{ErrorKind::unsupported, subject + ": quantization_config: expected none, training writes bf16"};
  return config;
}

}  // namespace hadal
