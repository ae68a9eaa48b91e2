// Sizes of published models by name, for `hadal synth` and for estimates before anything is downloaded (MODELS.md 1).
#pragma once

#include <optional>
#include <span>
#include <string_view>

#include "spec/model_config.h"

namespace hadal {

std::optional<ModelConfig> named_shape(std::string_view name);
std::span<const std::string_view> shape_names();

}  // namespace hadal
