// A GGUF file's tensors under their published names (spec/tensor_table.h), so that nobody else needs to know the others
// (MODELS.md 8.3, 8.7). Stacked experts become one matrix each, split halves of kv_b matrices of two dimensions.
#pragma once

#include <map>
#include <string>

#include "formats/gguf.h"
#include "spec/tensor_table.h"

namespace hadal {

// The name in GGUF of a tensor; experts share the name of their stack.
std::string gguf_tensor_name(const TensorSpec& tensor);

class GgufCheckpoint final : public TensorSource {
 public:
  GgufCheckpoint(Gguf gguf, const ModelConfig& config);

  std::optional<TensorView> find(std::string_view name) const override;
  // Published names, and those of tensors that the table does not know as the file has them.
  std::vector<std::string> names() const override;
  std::string_view subject() const override { return gguf_.subject(); }
  const Gguf& gguf() const noexcept { return gguf_; }

 private:
  Gguf gguf_;
  std::map<std::string, TensorView, std::less<>> tensors_;
};

}  // namespace hadal
