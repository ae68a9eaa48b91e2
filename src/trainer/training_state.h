// A checkpoint of a training run: the model as `hadal run` opens it, and beside it what training needs to go on.
//
// `<work>/checkpoints/step-000001234/` holds config.json, model.safetensors (bf16), the tokenizer's files,
// generation_config.json, and training_state.safetensors: float32 parameters, moments and one JSON object of counters.
// It is put in place whole (spec/checkpoint_writer.h): after kill -9 or a full disk the last one is still there.
// One thread at a time.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "trainer/batch_stream.h"
#include "trainer/optimizer.h"
#include "trainer/recipe.h"
#include "trainer/reinforcement/question_pool.h"
#include "trainer/training_model.h"

namespace hadal {

struct RunCounters {
  int stage = 0;           // index of the stage under way
  std::string stage_name;  // by which it is found again when the recipe's stages have changed
  std::int64_t step = 0;   // over all stages: steps that are done
  std::int64_t stage_steps = 0, stage_tokens = 0;
  double stage_seconds = 0;  // of training, over all resumptions
  std::int64_t tokens = 0;   // over all stages
  double seconds = 0;
  // That the recipe asked for; 0: it names a directory, or the checkpoint is an older one.
  int tokenizer_vocab_size = 0;
  BatchState batches;
  BatchState kept;             // of the answers of the rejection stage under way
  CurriculumState curriculum;  // of the grpo stage under way
};

struct TokenizerFiles {  // as they lie in a model directory
  std::string tokenizer_json, tokenizer_config_json;
};

// generation_config.json: temperature 0 is greedy (do_sample false).
std::string generation_config_json(const ModelConfig& config, double temperature);

struct LoadedState {
  RunCounters counters;
  std::vector<float> parameters;
  OptimizerState optimizer;
  std::vector<float> reference;  // of the grpo stage under way, or the beginning of one that averages; empty: none
};

// config.json, weights, tokenizer and generation_config.json, without training state: what is published.
Status write_model(const std::filesystem::path& directory, TrainingModel& model, const TokenizerFiles& tokenizer,
                   double temperature);

// The same with the state. `fingerprint` says which recipe it belongs to (model, tokenizer).
Status write_training_checkpoint(const std::filesystem::path& directory, TrainingModel& model,
                                 const TokenizerFiles& tokenizer, const OptimizerState& optimizer,
                                 std::span<const float> reference, const RunCounters& counters,
                                 const std::string& fingerprint, double temperature);

// Error: not a checkpoint of a run with this fingerprint, or damaged.
Result<LoadedState> read_training_state(const std::filesystem::path& directory, std::int64_t parameters,
                                        const std::string& fingerprint);

// Where a checkpoint's run stands in the recipe that it goes on with: the stage under way is found by its name,
// wherever it stands by now. Sources may have been added behind those that the checkpoint knows, none taken away, and
// the tokenizer must be asked for in the same size.
Status find_place(const Recipe& recipe, const std::filesystem::path& checkpoint, RunCounters& counters);

// Brings back checkpoints that wait under another name because their writer was killed (base/atomic_directory.h). For
// the one writer, before it lists them.
Status recover_checkpoints(const std::filesystem::path& work);
// Whole checkpoints below `<work>/checkpoints`, oldest first.
std::vector<std::filesystem::path> list_checkpoints(const std::filesystem::path& work);
std::filesystem::path checkpoint_path(const std::filesystem::path& work, std::int64_t step);
// Removes all but the last `keep`.
void remove_old_checkpoints(const std::filesystem::path& work, int keep);

// Fills parameters from a published model: a directory or a .gguf file. Error: it is another function than `model`
// would be with its weights.
Status load_parameters(const std::filesystem::path& path, TrainingModel& model);

}  // namespace hadal
