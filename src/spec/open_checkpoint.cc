#include "spec/open_checkpoint.h"

#include "formats/gguf.h"
#include "formats/safetensors.h"
#include "spec/gguf_checkpoint.h"
#include "spec/gguf_config.h"

namespace hadal {

bool is_gguf(const std::filesystem::path& path) {
  return path.extension() == ".gguf";
}

Result<Checkpoint> open_checkpoint(const std::filesystem::path& path) {
  Checkpoint checkpoint;
  if (is_gguf(path)) {
    HADAL_ASSIGN(Gguf gguf, Gguf::open(path));
    HADAL_ASSIGN(checkpoint.config, read_gguf_config(gguf));
    checkpoint.file_bytes = gguf.size_bytes();
    HADAL_ASSIGN(GgufCheckpoint tensors, GgufCheckpoint::open(std::move(gguf), checkpoint.config));
    checkpoint.tensors = std::make_unique<GgufCheckpoint>(std::move(tensors));
  } else {
    HADAL_ASSIGN(checkpoint.config, read_model_config(path));
    HADAL_ASSIGN(Safetensors files, Safetensors::open(path));
    checkpoint.file_bytes = files.size_bytes();
    checkpoint.tensors = std::make_unique<Safetensors>(std::move(files));
  }
  HADAL_RETURN_IF_ERROR(check_checkpoint(*checkpoint.tensors, checkpoint.config, MtpLayers::leave_out));
  return checkpoint;
}

Result<ModelConfig> read_checkpoint_config(const std::filesystem::path& path) {
  if (!is_gguf(path)) return read_model_config(path);
  HADAL_ASSIGN(const Gguf gguf, Gguf::open(path));
  return read_gguf_config(gguf);
}

}  // namespace hadal
