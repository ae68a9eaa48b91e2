// A whole training run as data: tokenizer, model, sources, stages. Read from TOML and checked.
//
// Every key is known by name; a wrong one is an error that says file, key, expected and found. Paths in a recipe
// are relative to its own folder. Nothing is opened here besides the recipe itself. Any thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "engine/sampler.h"
#include "spec/model_config.h"
#include "trainer/reinforcement/policy.h"
#include "trainer/reinforcement/reward.h"

namespace hadal {

enum class SourceKind {
  tasks,      // files of questions with answers (trainer/tasks/task_item.h); reasoning is worked out for each
  generator,  // made as they are needed, by name: "word_problems" (paths: templates.json, parts.json?), "drills",
              // "asked_sums", "copy_drills" and "notebook" (paths: words.txt), or a task of trainer/tasks/generators.h
              // (paths: words.txt)
  text,       // plain UTF-8 files, one document each
  conversations,  // files of {"messages": [{"role", "content", "reasoning_content"?}, ..], "answer_by_letters"?} a
                  // line; of each the last message, an assistant's, is learned
};

// What becomes of a source of kind tasks whose first file is not there.
enum class IfAbsent {
  fail,
  generate,  // the generator of the same name as the source stands in
  leave_out,
};

struct SourceRecipe {
  std::string name;
  SourceKind kind = SourceKind::tasks;
  std::vector<std::filesystem::path> paths;  // files; what a generator reads (templates.json), if anything
  std::string generator;                     // its name
  std::vector<std::string> languages;        // of word_problems; none: all
  IfAbsent if_absent = IfAbsent::fail;
  std::vector<std::filesystem::path> words;  // that the generator standing in needs
};

// Whether its items can be asked and judged.
bool asks_questions(const SourceRecipe& source);

enum class OptimizerKind { adamw, muon };
enum class ScheduleKind { constant, linear, cosine, wsd };
enum class StageKind {
  pretrain,
  sft,
  grpo,
  rejection,  // samples answers, keeps right ones, and is fine-tuned on them
};
enum class TrainOn { all, answers };  // targets: every token, or reasoning and answer only

struct OptimizerRecipe {
  OptimizerKind kind = OptimizerKind::adamw;
  double learning_rate = 1e-3;     // at its peak; under Muon: of the hidden matrices
  double adamw_learning_rate = 0;  // of what Muon leaves to AdamW; 0: learning_rate
  double beta1 = 0.9, beta2 = 0.95, epsilon = 1e-8;
  double weight_decay = 0.1;    // decoupled; tensors of two or more dimensions
  double momentum = 0.95;       // Muon
  int newton_schulz_steps = 5;  // Muon
  double clip_norm = 1.0;       // global; 0: none
};

struct ScheduleRecipe {
  ScheduleKind kind = ScheduleKind::wsd;
  double warmup = 0.01;      // share of the stage
  double decay = 0.3;        // wsd: share of the stage, at its end
  double final_ratio = 0.0;  // of the peak, at the end
};

// Of stages of kind "grpo" and "rejection"; defaults are R1-Zero's where a small model can follow it
// (MODELS.md 11.5, 11.6).
struct GrpoRecipe {
  int questions = 32, group = 16;  // a step: groups that teach, answers of each
  int rounds = 3;                  // askings at most: the first, then others for groups whose rewards are all equal
  int answer_tokens = 256;         // at most
  int sequences = 64;              // answers under way at once
  SamplingParams sampling{.temperature = 1};
  int updates = 1;  // a step's answers are learned from in so many parts
  PolicyRule policy;
  int reference_steps = 400;  // after so many the reference is the model itself
  RewardWeights rewards;
  bool replay_routes = true, replay_mask = true;
  bool adaptive = true;  // sources by their measured accuracy
  int keep = 1;          // rejection: right answers of a question that are learned, the shortest
};

struct StageRecipe {
  std::string name;
  StageKind kind = StageKind::pretrain;
  TrainOn train_on = TrainOn::all;
  // What ends the stage; at least one is not 0, the one reached first counts.
  std::int64_t steps = 0, tokens = 0;
  double minutes = 0;  // training time, over all resumptions; a run ended by it is not reproducible to the bit

  int batch_tokens = 8192;
  int sequence_tokens = 512;  // longer examples are left out, longer documents are cut
  OptimizerRecipe optimizer;
  ScheduleRecipe schedule;
  std::vector<double> weights, weights_at_end;  // of the recipe's sources, in tokens; linear in between
  GrpoRecipe grpo;
  double balance_rate = 0.001;  // gamma of MODELS.md 11.2
  double sequence_balance_alpha = 1e-4, mtp_weight = 0;
  double average_start = 0;  // the stage ends as the mean of its end and its beginning, which weighs this

  bool samples() const { return kind == StageKind::grpo || kind == StageKind::rejection; }
};

struct Recipe {
  std::string name;
  std::filesystem::path file;    // it was read from; errors name it
  std::filesystem::path output;  // the model's directory, written at the end
  std::filesystem::path work;    // checkpoints, metrics.jsonl, report.html
  std::uint64_t seed = 1;
  bool exact = false;  // arithmetic; fast otherwise
  double init_std = 0.02;
  double temperature = 0.6;  // that generation_config.json recommends; 0: greedy
  double checkpoint_minutes = 5;
  int checkpoint_steps = 0;  // 0: by time alone
  int keep_checkpoints = 2;

  // Tokenizer: a directory with tokenizer.json, or trained on a sample of the sources.
  std::filesystem::path tokenizer_path;
  int tokenizer_vocab_size = 0;
  std::int64_t tokenizer_sample_bytes = 8 << 20;

  // A model directory that parameters begin with; empty: random ones.
  std::filesystem::path start;
  std::string model_json;  // config.json without vocab_size and token ids, which come from the tokenizer

  std::filesystem::path
      held_out;  // questions that must not be trained on (trainer/tasks/question_filter.h); may be empty
  std::vector<SourceRecipe> sources;
  std::vector<StageRecipe> stages;

  // Held-out questions and texts whose loss is measured every so many steps (0: never).
  std::vector<std::filesystem::path> eval_paths;
  int eval_every = 0, eval_items = 16;  // items of each file

  double watts = 0, price_per_kwh = 0;  // assumptions of the report's cost; 0: not stated
};

// `file` names the text in errors and is what relative paths start from.
Result<Recipe> parse_recipe(std::string_view toml, const std::filesystem::path& file);
Result<Recipe> read_recipe(const std::filesystem::path& file);

// The recipe's model for this tokenizer.
struct TokenizerFacts {
  int embedding_rows;  // its ids, or more of them where the model that the run starts with has more
  TokenId bos, eos;
};
Result<ModelConfig> recipe_model_config(const Recipe& recipe, const TokenizerFacts& tokenizer);

}  // namespace hadal
