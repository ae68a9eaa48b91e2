#include "chat/model_files.h"

#include <fmt/format.h>

#include <system_error>

#include "formats/safetensors.h"
#include "spec/checkpoint.h"

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

Result<ModelLocation> find_model(const std::string& model) {
  if (model.empty()) return Error{ErrorKind::invalid, "model: expected a directory or a name, found an empty one"};
  std::error_code ignored;
  if (directory_exists(model)) return ModelLocation{model, last_part(model)};
  if (fs::exists(model, ignored))
    return Error{ErrorKind::unsupported,
                 fmt::format("{}: expected a directory with config.json and model.safetensors, found a file", model)};
  std::string searched;
  if (model.find('/') == std::string::npos && model != "." && model != "..") {
    for (const fs::path& models : built_in_directories()) {
      if (directory_exists(models / model)) return ModelLocation{models / model, model};
      searched += fmt::format("{}{}", searched.empty() ? " in " : ", ", models.string());
    }
    return Error{ErrorKind::not_found,
                 fmt::format("{}: expected a model's directory, or the name of one{}; found none", model, searched)};
  }
  return Error{ErrorKind::not_found, fmt::format("{}: expected a model's directory, found nothing there", model)};
}

Result<TextModel> open_text(const std::string& model) {
  HADAL_ASSIGN(ModelLocation location, find_model(model));
  HADAL_ASSIGN(Tokenizer tokenizer, Tokenizer::from_directory(location.directory));
  const auto format = recognise_chat_format(tokenizer, location.name);
  return TextModel{.location = std::move(location),
                   .tokenizer = std::move(tokenizer),
                   .format = format.ok() ? *format : nullptr,
                   .format_error = format.ok() ? "" : format.error().message};
}

Result<WeightModel> open_weights(const std::string& model, Arithmetic arithmetic, int threads) {
  HADAL_ASSIGN(ModelLocation location, find_model(model));
  HADAL_ASSIGN(const ModelConfig config, read_model_config(location.directory));
  HADAL_ASSIGN(const Safetensors weights, Safetensors::open(location.directory));
  HADAL_RETURN_IF_ERROR(check_checkpoint(weights, config, MtpLayers::leave_out));

  WeightModel opened;
  opened.location = std::move(location);
  opened.pool = std::make_unique<ThreadPool>(threads);
  const auto read = [&](const TensorSpec& tensor, std::int64_t first_row, std::int64_t rows, float* out) {
    return read_rows_f32(weights, tensor, config, first_row, rows, out);
  };
  const auto scales = [&](const TensorSpec& tensor) { return read_block_scales(weights, tensor, config); };
  HADAL_ASSIGN(opened.transformer, Transformer::load(config, {.read = read, .scales = scales}, make_compute(*opened.pool, arithmetic)));
  opened.forward = std::make_unique<TransformerModel>(*opened.transformer);
  return opened;
}

}  // namespace hadal
