// Hostile config.json: an error of one line, or a config whose table can be laid out and which survives its own
// spelling.
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "spec/tensor_table.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto config = hadal::parse_model_config({reinterpret_cast<const char*>(data), size}, "fuzz");
  if (!config.ok()) {
    if (config.error().message.empty() || config.error().message.find('\n') != std::string::npos) std::abort();
    return 0;
  }
  const auto again = hadal::parse_model_config(hadal::write_model_config(*config), "again");
  if (!again.ok() || !(*again == *config)) std::abort();
  if (!std::isfinite(hadal::softmax_scale(*config))) std::abort();
  if (config->qk_rope_head_dim <= 4096)
    for (float f : hadal::rope_inverse_frequencies(*config))
      if (!std::isfinite(f)) std::abort();
  const long long layers = config->num_hidden_layers + config->num_nextn_predict_layers;
  if (layers * (1 + config->n_routed_experts) > 5000) return 0;  // large tables are right too, but slow to fuzz
  for (const auto& spec : hadal::tensor_table(*config))
    if (spec.elements() <= 0) std::abort();
  const auto counts = hadal::count_parameters(*config);
  if (counts.active > counts.total || counts.active <= 0) std::abort();
  return 0;
}
