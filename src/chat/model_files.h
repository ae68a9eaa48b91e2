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

#include "base/progress.h"
#include "base/result.h"
#include "engine/forward_model.h"
#include "spec/open_checkpoint.h"
#include "text/chat_format.h"
#include "text/tokenizer.h"

namespace hadal {

inline constexpr const char* kBuiltInModel = "abyss";

struct ModelLocation {
  std::filesystem::path path;  // a directory, or a .gguf file
  std::string name;            // "abyss", or the path's last part
};

// A built-in name, looked for in models/ beside the source tree that the running program was built in, in
// ../share/hadal/models beside an installed one, and in the source tree it was compiled from; a directory (one that has a
// built-in name is written ./abyss, so that no folder changes what a model left out is); a .gguf file; or an id such as
// deepseek-ai/DeepSeek-V2-Lite-Chat, whose snapshot lies in the local Hugging Face cache.
Result<ModelLocation> find_model(const std::string& model);
std::vector<std::filesystem::path> built_in_directories();  // in the order they are searched
// $HF_HUB_CACHE, $HF_HOME/hub, $XDG_CACHE_HOME/huggingface/hub or ~/.cache/huggingface/hub.
std::filesystem::path hugging_face_cache();

// Of a directory or a .gguf file.
Result<Tokenizer> open_tokenizer(const std::filesystem::path& path);

// Tokenizer and chat format, without weights.
struct TextModel {
  ModelLocation location;
  Tokenizer tokenizer;
  const ChatFormat* format = nullptr;  // null: not recognised, and `format_error` says why
  std::string format_error;
};
// `format` by name; empty: recognised.
Result<TextModel> open_text(const std::string& model, const std::string& format = {});

// Config and weights, ready to compute.
struct WeightModel {
  ModelLocation location;
  Checkpoint checkpoint;  // its files stay mapped: weights in blocks are used as they lie there
  std::unique_ptr<ThreadPool> pool;
  std::unique_ptr<Transformer> transformer;
  std::unique_ptr<TransformerModel> forward;  // the engine's view of it

  const ModelConfig& config() const { return transformer->config(); }
};

// threads 0: all this process may use.
Result<WeightModel> open_weights(const std::string& model, Arithmetic arithmetic, int threads,
                                 ProgressSink progress = ProgressSink::none());

}  // namespace hadal
