#include "chat/model_files.h"

#include <fmt/format.h>

#include <cstdlib>
#include <system_error>

#include "base/file.h"
#include "formats/gguf.h"
#include "model/load.h"
#include "text/gguf_vocabulary.h"

namespace hadal {
namespace {

namespace fs = std::filesystem;

bool directory_exists(const fs::path& path) {
  std::error_code ignored;
  return fs::is_directory(path, ignored);
}

std::string last_part(const fs::path& directory) {
  std::error_code failed;
  const fs::path whole = fs::canonical(directory, failed);
  return (failed ? directory : whole).filename().string();
}

}  // namespace

std::vector<fs::path> built_in_directories() {
  std::vector<fs::path> directories;
  std::error_code failed;
  const fs::path program = fs::read_symlink("/proc/self/exe", failed);
  if (!failed) {
    directories.push_back((program.parent_path() / "../../models").lexically_normal());
    directories.push_back((program.parent_path() / "../share/hadal/models").lexically_normal());
  }
  const fs::path source = HADAL_SOURCE_MODELS;
  if (directories.empty() || directories.front() != source) directories.push_back(source);
  return directories;
}

fs::path hugging_face_cache() {
  if (const char* cache = std::getenv("HF_HUB_CACHE"); cache && *cache) return cache;
  if (const char* home = std::getenv("HF_HOME"); home && *home) return fs::path(home) / "hub";
  if (const char* caches = std::getenv("XDG_CACHE_HOME"); caches && *caches)
    return fs::path(caches) / "huggingface/hub";
  const char* home = std::getenv("HOME");
  return fs::path(home ? home : ".") / ".cache/huggingface/hub";
}

namespace {

// "organisation/name": what a download is filed under.
bool looks_like_hub_id(const std::string& model) {
  const std::size_t slash = model.find('/');
  return slash != std::string::npos && slash > 0 && slash + 1 < model.size() &&
         model.find('/', slash + 1) == std::string::npos && model[0] != '.' && model[0] != '~';
}

// models--organisation--name/refs/main holds the name of the folder in snapshots/ that is in use.
Result<ModelLocation> find_in_hub_cache(const std::string& id) {
  std::string folder = "models--" + id;
  folder.replace(folder.find('/'), 1, "--");
  const fs::path model = hugging_face_cache() / folder;
  const auto absent = [&](const fs::path& what) {
    return Error{
        ErrorKind::not_found,
        fmt::format("{}: expected a directory, a .gguf file or a model in the Hugging Face cache; found no {}. hadal "
                    "downloads nothing: `huggingface-cli download {}` on a machine that may puts it there",
                    id, what.string(), id)};
  };
  if (!directory_exists(model)) return absent(model);
  const auto reference = read_text_file(model / "refs/main", 1024);
  if (!reference.ok()) return absent(model / "refs/main");
  const std::string revision = reference->substr(0, reference->find_first_of("\r\n "));
  if (revision.empty() || revision.find('/') != std::string::npos || revision == "..")
    return Error{ErrorKind::invalid, fmt::format("{}: expected the name of a snapshot, found \"{}\"",
                                                 (model / "refs/main").string(), revision)};
  const fs::path snapshot = model / "snapshots" / revision;
  if (!directory_exists(snapshot)) return absent(snapshot);
  return ModelLocation{snapshot, id.substr(id.find('/') + 1)};
}

}  // namespace

Result<ModelLocation> find_model(const std::string& model) {
  if (model.empty()) return Error{ErrorKind::invalid, "model: expected a directory or a name, found an empty one"};
  const bool bare = model.find('/') == std::string::npos && model != "." && model != "..";
  if (bare)
    for (const fs::path& models : built_in_directories())
      if (directory_exists(models / model)) return ModelLocation{models / model, model};
  std::error_code ignored;
  if (directory_exists(model)) return ModelLocation{model, last_part(model)};
  if (fs::exists(model, ignored)) {
    if (is_gguf(model)) return ModelLocation{model, fs::path(model).stem().string()};
    return Error{
        ErrorKind::unsupported,
        fmt::format("{}: expected a directory with config.json and safetensors, or a .gguf file; found another file",
                    model)};
  }
  if (is_gguf(model)) return Error{ErrorKind::not_found, model + ": expected a .gguf file, found none"};
  if (bare) {
    std::string searched;
    for (const fs::path& models : built_in_directories())
      searched += fmt::format("{}{}", searched.empty() ? " in " : ", ", models.string());
    return Error{ErrorKind::not_found,
                 fmt::format("{}: expected a model's directory, or the name of one{}; found none", model, searched)};
  }
  if (looks_like_hub_id(model)) return find_in_hub_cache(model);
  return Error{ErrorKind::not_found,
               fmt::format("{}: expected a model's directory or .gguf file, found nothing there", model)};
}

namespace {

Result<Tokenizer> gguf_tokenizer(const fs::path& path) {
  HADAL_ASSIGN(const Gguf file, Gguf::open(path));
  GgufVocabulary v;
  HADAL_ASSIGN(const auto model, file.string("tokenizer.ggml.model"));
  HADAL_ASSIGN(const auto pre, file.string("tokenizer.ggml.pre"));
  HADAL_ASSIGN(auto tokens, file.strings("tokenizer.ggml.tokens"));
  HADAL_ASSIGN(auto types, file.integers("tokenizer.ggml.token_type"));
  HADAL_ASSIGN(auto merges, file.strings("tokenizer.ggml.merges"));
  HADAL_ASSIGN(v.bos, file.integer("tokenizer.ggml.bos_token_id"));
  HADAL_ASSIGN(v.eos, file.integer("tokenizer.ggml.eos_token_id"));
  HADAL_ASSIGN(v.add_bos, file.boolean("tokenizer.ggml.add_bos_token"));
  HADAL_ASSIGN(const auto chat_template, file.string("tokenizer.chat_template"));
  v.model = model.value_or("");
  v.pre = pre.value_or("");
  v.chat_template = chat_template.value_or("");
  v.tokens = std::move(tokens).value_or(std::vector<std::string_view>{});
  v.token_types = std::move(types).value_or(std::vector<std::int64_t>{});
  v.merges = std::move(merges).value_or(std::vector<std::string_view>{});
  return Tokenizer::from_gguf(v, file.subject());
}

}  // namespace

Result<Tokenizer> open_tokenizer(const fs::path& path) {
  return is_gguf(path) ? gguf_tokenizer(path) : Tokenizer::from_directory(path);
}

Result<TextModel> open_text(const std::string& model, const std::string& wanted) {
  HADAL_ASSIGN(ModelLocation location, find_model(model));
  HADAL_ASSIGN(Tokenizer tokenizer, open_tokenizer(location.path));
  const auto format = wanted.empty() ? recognise_chat_format(tokenizer, location.name) : find_chat_format(wanted);
  if (!wanted.empty()) HADAL_RETURN_IF_ERROR(format);
  return TextModel{.location = std::move(location),
                   .tokenizer = std::move(tokenizer),
                   .format = format.ok() ? *format : nullptr,
                   .format_error = format.ok() ? "" : format.error().message};
}

Result<WeightModel> open_weights(const std::string& model, Arithmetic arithmetic, int threads, ProgressSink progress) {
  WeightModel opened;
  HADAL_ASSIGN(opened.location, find_model(model));
  HADAL_ASSIGN(opened.checkpoint, open_checkpoint(opened.location.path));
  opened.pool = std::make_unique<ThreadPool>(threads);
  HADAL_ASSIGN(opened.transformer,
               load_transformer(opened.checkpoint, make_compute(*opened.pool, arithmetic), std::move(progress)));
  opened.forward = std::make_unique<TransformerModel>(*opened.transformer);
  return opened;
}

}  // namespace hadal
