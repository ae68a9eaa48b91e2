#include "trainer/gradient_file.h"

#include <fmt/format.h>

#include "base/json.h"
#include "formats/safetensors.h"
#include "formats/safetensors_writer.h"
#include "spec/open_checkpoint.h"
#include "trainer/training_model.h"
#include "trainer/training_state.h"

namespace hadal {
namespace {

Result<std::vector<TokenId>> tokens_of_json(const std::filesystem::path& path) {
  HADAL_ASSIGN(const Json json, read_json_file(path));
  const std::string subject = path.filename().string();
  if (!json.is_array())
    return Error{ErrorKind::invalid, subject + ": expected a list of token ids, found " + json_excerpt(json)};
  std::vector<TokenId> tokens;
  for (const Json& value : json) {
    if (!value.is_number_integer() || value < 0 || value > INT32_MAX)
      return Error{ErrorKind::invalid, subject + ": expected token ids, found " + json_excerpt(value)};
    tokens.push_back(TokenId{value.get<std::int32_t>()});
  }
  return tokens;
}

}  // namespace

Result<std::vector<TokenId>> read_tokens_file(const std::filesystem::path& path) {
  if (path.extension() != ".safetensors") return tokens_of_json(path);
  HADAL_ASSIGN(const Safetensors file, Safetensors::open(path));
  const std::optional<TensorView> tensor = file.find("tokens");
  if (!tensor || is_floating(tensor->dtype) || tensor->shape.size() != 1)
    return Error{ErrorKind::invalid,
                 fmt::format("{}: tensor tokens: expected integers [T], found {}", file.subject(),
                             tensor ? std::string(name_of(tensor->dtype)) + " " + shape_text(tensor->shape) : "none")};
  std::vector<TokenId> tokens;
  for (const std::int64_t id : integers_of(*tensor)) {
    if (id < 0 || id > INT32_MAX)
      return Error{ErrorKind::invalid,
                   fmt::format("{}: tensor tokens: expected token ids, found {}", file.subject(), id)};
    tokens.push_back(TokenId{static_cast<std::int32_t>(id)});
  }
  return tokens;
}

Result<double> write_gradients(const std::filesystem::path& path, std::span<const TokenId> tokens, ThreadPool& pool,
                               const std::filesystem::path& out) {
  HADAL_ASSIGN(const ModelConfig config, read_checkpoint_config(path));
  if (tokens.size() < 2 || static_cast<std::int64_t>(tokens.size()) > config.max_position_embeddings)
    return Error{ErrorKind::invalid, fmt::format("tokens: expected 2 to {} (max_position_embeddings), found {}",
                                                 config.max_position_embeddings, tokens.size())};
  TrainingBatch batch;
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    if (index(tokens[i]) < 0 || index(tokens[i]) >= config.vocab_size)
      return Error{ErrorKind::invalid, fmt::format("tokens: position {}: expected an id below {}, found {}", i,
                                                   config.vocab_size, index(tokens[i]))};
    batch.tokens.push_back(tokens[i]);
    batch.targets.push_back(i + 1 < tokens.size() ? index(tokens[i + 1]) : -1);
  }
  batch.starts = {0, static_cast<int>(tokens.size())};
  HADAL_ASSIGN(const auto model, TrainingModel::create(config, make_compute(pool, Arithmetic::exact)));
  HADAL_RETURN_IF_ERROR(load_parameters(path, *model));
  const StepResult result = model->forward_backward(batch, {});

  std::vector<const ParameterSlot*> written;
  std::vector<TensorDeclaration> tensors;
  for (const ParameterSlot& slot : model->slots()) {
    if (!slot.trained || slot.tensor.layer >= config.num_hidden_layers) continue;
    written.push_back(&slot);
    tensors.push_back({slot.tensor.name, DType::f32, slot.tensor.shape});
  }
  HADAL_ASSIGN(SafetensorsFileWriter writer, SafetensorsFileWriter::create(out, tensors));
  for (const ParameterSlot* slot : written)
    HADAL_RETURN_IF_ERROR(writer.append(std::as_bytes(model->gradients().subspan(
        static_cast<std::size_t>(slot->offset), static_cast<std::size_t>(slot->tensor.elements())))));
  HADAL_RETURN_IF_ERROR(writer.commit());
  return result.loss;
}

}  // namespace hadal
