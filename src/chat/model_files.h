// Where a model lies, and what can be opened of it: its text side alone (tokenizer,
// chat format), or its weights as a Transformer.
//
// ChatModel (chat_model.h) puts both together; commands that need less open less.
// Threads: the functions from any thread, one model from one thread.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "engine/forward_model.h"
#include "spec/model_config.h"
#include "text/chat_format.h"
#include "text/tokenizer.h"

namespace hadal {

inline constexpr const char* kBuiltInModel = "abyss";

struct ModelLocation {
  std::filesystem::path directory;
  std::string name;  // "abyss", or the directory's last part
};

// A directory, or a built-in name, looked for in models/ beside the source tree that the running program was built in,
// in ../share/hadal/models beside an installed one, and in the source tree it was compiled from.
Result<ModelLocation> find_model(const std::string& model);
std::vector<std::filesystem::path> built_in_directories();  // in the order they are searched

// Tokenizer and chat format, without weights.
struct TextModel {
  ModelLocation location;
  Tokenizer tokenizer;
  const ChatFormat* format = nullptr;  // null: not recognised, and `format_error` says why
  std::string format_error;
};
// `format` by name; empty: recognised.
Result<TextModel> open_text(const std::string& model, const std::string& format = {});

// config.json and weights, in memory and ready to compute.
struct WeightModel {
  ModelLocation location;
  std::unique_ptr<ThreadPool> pool;
  std::unique_ptr<Transformer> transformer;
  std::unique_ptr<TransformerModel> forward;  // the engine's view of it

  const ModelConfig& config() const { return transformer->config(); }
};

// threads 0: all this process may use.
Result<WeightModel> open_weights(const std::string& model, Arithmetic arithmetic, int threads);

}  // namespace hadal
