// A GGUF file's tensors under their published names (spec/tensor_table.h), so that nobody else needs to know the others
// (MODELS.md 8.3, 8.7). Stacked experts become one matrix each, split halves of kv_b matrices of two dimensions.
// A bias or a norm that the model as read does not have would change its mathematics, so none is left out in silence.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>

#include "base/result.h"
#include "formats/gguf.h"
#include "spec/tensor_table.h"

namespace hadal {

// The name in GGUF of a tensor; experts share the name of their stack.
std::string gguf_tensor_name(const TensorSpec& tensor);

// Llama's q_proj and k_proj: the row of the published matrix that is row `row` of the file's. In the file neighbours
// turn together, where it was published the pairs (i, i + half) of a head (MODELS.md 8.7).
std::int64_t published_row(int head_dim, std::int64_t row);

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
