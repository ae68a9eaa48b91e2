// What can be said of a model without running it: from its config and the headers of its files.
//
// Weights stay where they are; of fp8 files only the scales are read, to be checked. One thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "spec/model_config.h"
#include "spec/tensor_table.h"

namespace hadal {

// Consecutive layers that are alike.
struct LayerRun {
  int first = 0, last = 0;
  bool moe = false;
};

struct PartFacts {
  std::string name;  // "routed experts"
  std::int64_t parameters = 0;
  std::int64_t active = 0;  // that a token touches
  std::uint64_t bytes = 0;  // as stored, scales included
};

struct StoredFacts {
  std::int64_t tensors = 0;
  std::uint64_t bytes = 0;
};

struct ModelFacts {
  ModelConfig config;
  std::vector<LayerRun> layers;
  ParameterCounts parameters;
  std::vector<PartFacts> parts;  // in the order of the pass, those that the model has; MTP last
  StoredFacts stored;
  std::map<std::string, StoredFacts> stored_by_kind;  // "BF16"
  std::vector<std::string> unused_tensors;            // in the files, and not of this model
  std::int64_t cache_bytes_a_token = 0;               // latents of all layers in bf16
  std::int64_t mha_bytes_a_token = 0;                 // keys and values of all heads in bf16, as without MLA
};

// Errors: of config.json, of the files, and whatever tensor is absent or of the wrong shape.
Result<ModelFacts> gather_model_facts(const std::filesystem::path& path);

}  // namespace hadal
