// A GGUF file's tensors under their published names (spec/tensor_table.h), so that nobody else needs to know the others
// (MODELS.md 8.3, 8.7). Stacked experts become one matrix each, split halves of kv_b matrices of two dimensions.
// A bias or a norm that the model as read does not have would change its mathematics, so none is left out in silence.
#pragma once

#include <map>
#include <string>
#include <utility>

#include "base/result.h"
#include "formats/gguf.h"
#include "spec/tensor_table.h"

namespace hadal {

// The name in GGUF of a tensor; experts share the name of their stack.
std::string gguf_tensor_name(const TensorSpec& tensor);

class GgufCheckpoint final : public TensorSource {
 public:
  // ErrorKind::unsupported, with its name, for a tensor that the table does not know and that could change the model.
  static Result<GgufCheckpoint> open(Gguf gguf, const ModelConfig& config);

  std::optional<TensorView> find(std::string_view name) const override;
  // Published names, and as the file has them those of tensors that change nothing.
  std::vector<std::string> names() const override;
  std::string_view subject() const override { return gguf_.subject(); }

 private:
  explicit GgufCheckpoint(Gguf gguf) : gguf_(std::move(gguf)) {}

  Gguf gguf_;
  std::map<std::string, TensorView, std::less<>> tensors_;
};

}  // namespace hadal
