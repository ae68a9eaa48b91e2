#include "chat/generation_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/file.h"
#include "base/json.h"
#include "formats/gguf.h"
#include "spec/open_checkpoint.h"
#include "text/chat_format.h"

namespace hadal {
namespace {

Error wrong(std::string_view subject, std::string_view field, std::string_view expected, const Json& found) {
  return Error{ErrorKind::invalid,
               fmt::format("{}: {}: expected {}, found {}", subject, field, expected, json_excerpt(found))};
}

Status read_number(const Json& json, const char* field, std::string_view subject, double& out) {
  const auto it = json.find(field);
  if (it == json.end() || it->is_null()) return Done{};
  if (!it->is_number()) return wrong(subject, field, "a number", *it);
  out = it->get<double>();
  return Done{};
}

Result<bool> read_do_sample(const Json& json, std::string_view subject) {
  const auto it = json.find("do_sample");
  if (it == json.end() || it->is_null()) return true;
  if (!it->is_boolean()) return wrong(subject, "do_sample", "true or false", *it);
  return it->get<bool>();
}

Status read_eos(const Json& json, std::string_view subject, std::vector<TokenId>& out) {
  const auto it = json.find("eos_token_id");
  if (it == json.end() || it->is_null()) return Done{};
  const Json list = it->is_array() ? *it : Json::array({*it});
  for (const Json& id : list) {
    if (!id.is_number_integer() || id.get<std::int64_t>() < 0 || id.get<std::int64_t>() > INT32_MAX)
      return wrong(subject, "eos_token_id", "a token id or a list of them", *it);
    out.push_back(TokenId{id.get<std::int32_t>()});
  }
  return Done{};
}

}  // namespace

Result<GenerationConfig> parse_generation_config(std::string_view text, std::string_view subject,
                                                 const SamplingOptions& otherwise) {
  HADAL_ASSIGN(const Json json, parse_json(text, subject));
  if (!json.is_object()) return wrong(subject, "the file", "an object", json);
  GenerationConfig config{.sampling = otherwise};
  SamplingOptions& sampling = config.sampling;
  for (const char* field : {"temperature", "top_p", "min_p", "top_k", "do_sample"})
    config.says_sampling = config.says_sampling || json.contains(field);
  double top_k = sampling.top_k;
  HADAL_RETURN_IF_ERROR(read_number(json, "temperature", subject, sampling.temperature));
  HADAL_RETURN_IF_ERROR(read_number(json, "top_p", subject, sampling.top_p));
  HADAL_RETURN_IF_ERROR(read_number(json, "min_p", subject, sampling.min_p));
  HADAL_RETURN_IF_ERROR(read_number(json, "top_k", subject, top_k));
  if (top_k != std::floor(top_k) || top_k < 0 || top_k > INT32_MAX)
    return wrong(subject, "top_k", "a count", json.value("top_k", Json()));
  sampling.top_k = static_cast<int>(top_k);
  HADAL_ASSIGN(const bool sample, read_do_sample(json, subject));
  if (!sample) sampling.temperature = 0;
  HADAL_RETURN_IF_ERROR(read_eos(json, subject, config.eos_token_ids));
  if (const Status checked = check_sampling(sampling); !checked.ok())
    return Error{ErrorKind::invalid, fmt::format("{}: {}", subject, checked.error().message)};
  return config;
}

namespace {

constexpr const char *kTemperature = "general.sampling.temp", *kTopP = "general.sampling.top_p",
                     *kTopK = "general.sampling.top_k", *kMinP = "general.sampling.min_p";

// As decimal numbers of few digits, which float32 is not: 0.95 and not 0.949999988.
double in_decimal(double x) {
  return std::round(x * 1e6) / 1e6;
}

Result<GenerationConfig> read_sampling_keys(const std::filesystem::path& path, const SamplingOptions& otherwise) {
  HADAL_ASSIGN(const Gguf gguf, Gguf::open(path));
  HADAL_ASSIGN(const auto temperature, gguf.number(kTemperature));
  HADAL_ASSIGN(const auto top_p, gguf.number(kTopP));
  HADAL_ASSIGN(const auto min_p, gguf.number(kMinP));
  HADAL_ASSIGN(const auto top_k, gguf.integer(kTopK));
  GenerationConfig config{.sampling = otherwise, .says_sampling = temperature || top_p || min_p || top_k};
  if (temperature) config.sampling.temperature = std::max(0.0, in_decimal(*temperature));  // below 0: greedy as well
  if (top_p) config.sampling.top_p = in_decimal(*top_p);
  if (min_p) config.sampling.min_p = in_decimal(*min_p);
  if (top_k) config.sampling.top_k = static_cast<int>(std::clamp<std::int64_t>(*top_k, 0, INT32_MAX));  // -1: all
  if (const Status checked = check_sampling(config.sampling); !checked.ok())
    return Error{ErrorKind::invalid, fmt::format("{}: {}", gguf.subject(), checked.error().message)};
  return config;
}

}  // namespace

SamplingOptions card_sampling(const ChatFormat* format) {
  SamplingOptions sampling;
  if (format == nullptr) return sampling;
  const SamplingAdvice advice = format->sampling();
  sampling.temperature = advice.temperature;
  sampling.top_p = advice.top_p;
  sampling.top_k = advice.top_k;
  return sampling;
}

void add_sampling_keys(const SamplingOptions& sampling, GgufKeys& keys) {
  keys.f32(kTemperature, static_cast<float>(sampling.temperature)).f32(kTopP, static_cast<float>(sampling.top_p));
  keys.u32(kTopK, static_cast<std::uint32_t>(sampling.top_k)).f32(kMinP, static_cast<float>(sampling.min_p));
}

Result<GenerationConfig> read_generation_config(const std::filesystem::path& model, const SamplingOptions& otherwise) {
  if (is_gguf(model)) return read_sampling_keys(model, otherwise);
  const auto path = model / "generation_config.json";
  const auto text = read_text_file(path);
  if (text.ok()) return parse_generation_config(*text, path.string(), otherwise);
  if (text.error().kind == ErrorKind::not_found) return GenerationConfig{.sampling = otherwise};
  return text.error();
}

Status check_sampling(const SamplingOptions& o) {
  const auto refuse = [](const char* name, const char* expected, double found) {
    return Error{ErrorKind::invalid, fmt::format("{}: expected {}, found {}", name, expected, found)};
  };
  // The comparisons are written so that NaN fails.
  if (!(o.temperature >= 0 && o.temperature <= 100)) return refuse("temperature", "0 to 100", o.temperature);
  if (!(o.top_p > 0 && o.top_p <= 1)) return refuse("top_p", "above 0 and at most 1", o.top_p);
  if (!(o.min_p >= 0 && o.min_p <= 1)) return refuse("min_p", "0 to 1", o.min_p);
  if (o.top_k < 0) return refuse("top_k", "0 or more", o.top_k);
  return Done{};
}

}  // namespace hadal
