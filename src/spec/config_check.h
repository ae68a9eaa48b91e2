// The rules that tie a model's sizes together, wherever they were read from (config_json.cc, gguf_config.cc).
#pragma once

#include <limits>
#include <string_view>

#include "base/result.h"
#include "spec/model_config.h"

namespace hadal {

// What a size may be at most, and so may the products of sizes that other code forms in int: twice as many, rounded up
// to a panel each (gate and up in one matrix, a key and a value beside each other), are an int still.
inline constexpr int kMaxConfigSize = 1'000'000'000;
static_assert(2LL * (kMaxConfigSize + 255) <= std::numeric_limits<int>::max());
inline constexpr int kMaxConfigExperts = 4096;  // routing has room for so many
inline constexpr int kMaxConfigLayers = 100'000;

// Each size by itself is in range; together they are possible: experts fill their groups, heads their key heads, and no
// product of sizes that other code forms in int or int64 can overflow. Errors name the field.
Status check_model_config(const ModelConfig& config, std::string_view subject);

}  // namespace hadal
