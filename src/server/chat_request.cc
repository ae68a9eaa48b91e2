#include "server/chat_request.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <limits>
#include <optional>
#include <utility>

#include "base/json.h"
#include "base/printable.h"
#include "server/request_fields.h"
#include "server/tool_request.h"
#include "text/chat_messages.h"
#include "text/utf8.h"

namespace hadal {
namespace {

// Text, or an array of {"type": "text", "text": ".."}: what text/chat_messages.h reads, with the API's errors.
void check_content(Fields& fields, std::optional<ApiError>& error) {
  const Json* content = fields.find("content");
  if (content == nullptr || content->is_string()) return;
  const std::string name = fields.name("content");
  if (!content->is_array()) return fields.fail(wrong_type(name, "a string or an array of text parts", *content));
  for (std::size_t i = 0; i < content->size() && !error; ++i) {
    const Json& part = (*content)[i];
    const std::string path = fmt::format("{}[{}]", name, i);
    if (!part.is_object()) return fields.fail(wrong_type(path, "an object", part));
    Fields part_fields(part, path + ".", error);
    std::string type, text;
    part_fields.text("type", type);
    if (!error && type != "text")
      return fields.fail(wrong_value(
          path + ".type", "expected \"text\", found " + json_excerpt(Json(type)) + " (this model reads text only)",
          "unsupported_value"));
    if (!part_fields.text("text", text))
      return fields.fail(wrong_value(path + ".text", "expected a string, found nothing", "missing_field"));
  }
}

constexpr std::string_view kRoles = "\"system\", \"user\", \"assistant\" or \"tool\"";

std::string spelled_role(std::string role) {
  return role == "developer" ? "system" : role;
}

void read_message(const Json& json, const std::string& path, std::optional<ApiError>& error, ChatMessage& message) {
  if (!json.is_object()) {
    error = wrong_type(path, "an object with role and content", json);
    return;
  }
  Fields fields(json, path + ".", error);
  std::string role;
  if (!fields.text("role", role))
    return fields.fail(wrong_value(path + ".role", fmt::format("expected {}, found nothing", kRoles), "missing_field"));
  role = spelled_role(std::move(role));
  if (role != "system" && role != "user" && role != "assistant" && role != "tool")
    return fields.fail(wrong_value(
        path + ".role", fmt::format("expected {}, found {}", kRoles, json_excerpt(Json(role))), "unsupported_value"));
  if (role == "assistant") read_tool_calls(fields, error, message);
  if (role == "tool" && !fields.text("tool_call_id", message.tool_call_id))
    return fields.fail(wrong_value(path + ".tool_call_id", "expected a string, found nothing", "missing_field"));
  bool prefix = false;
  if (fields.boolean("prefix", prefix) && prefix)
    return fields.fail(wrong_value(path + ".prefix", "expected false, found true", "unsupported_parameter"));
  check_content(fields, error);
  if (!error && fields.find("content") == nullptr && role != "assistant")
    return fields.fail(wrong_value(path + ".content", "expected a string, found nothing", "missing_field"));
  fields.text("reasoning_content", message.reasoning_content);
  message.role = std::move(role);
  if (error) return;  // junk is not copied
  const auto found = json.find("content");
  const OrderedJson content = found == json.end() ? OrderedJson() : OrderedJson::of(*found);
  const Status read = read_content(found == json.end() ? nullptr : &content, path, message);
  if (!read.ok()) fields.fail(wrong_value(path + ".content", read.error().message));
}

void read_messages(Fields& fields, std::optional<ApiError>& error, std::vector<ChatMessage>& into) {
  const Json* messages = fields.find("messages");
  if (error) return;
  if (messages == nullptr)
    return fields.fail(wrong_value("messages", "expected an array of messages, found nothing", "missing_field"));
  if (!messages->is_array()) return fields.fail(wrong_type("messages", "an array of messages", *messages));
  if (messages->empty())
    return fields.fail(wrong_value("messages", "expected at least one message, found an empty array"));
  // Grown one by one: 2 bytes of junk must not cost a message's memory.
  for (std::size_t i = 0; i < messages->size() && !error; ++i)
    read_message((*messages)[i], fmt::format("messages[{}]", i), error, into.emplace_back());
  order_results(into, error);
}

void read_sampling(Fields& fields, SamplingOptions& sampling) {
  fields.number("temperature", {0, 2}, sampling.temperature);
  fields.number("top_p", {0, 1}, sampling.top_p);
  fields.number("min_p", {0, 1}, sampling.min_p);
  fields.integer("top_k", {0, 1e9}, sampling.top_k);
  const Json* seed = fields.find("seed");
  if (seed == nullptr) return;
  if (seed->is_number_unsigned()) {
    sampling.seed = seed->get<std::uint64_t>();
  } else if (std::int64_t value = 0; fields.integer("seed", {-9.2e18, 9.2e18}, value)) {
    sampling.seed = static_cast<std::uint64_t>(value);
  }
}

void read_stop(Fields& fields, std::vector<std::string>& into) {
  const Json* stop = fields.find("stop");
  if (stop == nullptr) return;
  if (stop->is_string()) {
    into = {stop->get<std::string>()};
  } else if (stop->is_array()) {
    if (stop->size() > kMaxStopStrings)
      return fields.fail(
          wrong_value("stop", fmt::format("expected at most {} strings, found {}", kMaxStopStrings, stop->size())));
    for (const Json& text : *stop) {
      if (!text.is_string()) return fields.fail(wrong_type("stop", "a string or an array of strings", text));
      into.push_back(text.get<std::string>());
    }
  } else {
    return fields.fail(wrong_type("stop", "a string or an array of strings", *stop));
  }
  if (std::any_of(into.begin(), into.end(), [](const std::string& text) { return text.empty(); }))
    fields.fail(wrong_value("stop", "expected text to stop at, found an empty string"));
}

void read_length(Fields& fields, int context_tokens, int& into) {
  constexpr double kMost = std::numeric_limits<int>::max();
  for (const char* field : {"max_tokens", "max_completion_tokens"}) fields.integer(field, {1, kMost}, into);
  // An upper bound beyond the context asks for as much as there is room for.
  if (context_tokens > 0 && into >= context_tokens) into = 0;
}

// {"type": "enabled"} or {"type": "disabled"}, as DeepSeek's API has it.
void read_thinking(Fields& fields, std::optional<ApiError>& error, std::optional<bool>& into) {
  const Json* thinking = fields.find("thinking");
  if (thinking == nullptr) return;
  if (!thinking->is_object())
    return fields.fail(wrong_type("thinking", "an object {\"type\": \"enabled\" or \"disabled\"}", *thinking));
  std::string type;
  Fields(*thinking, "thinking.", error).text("type", type);
  if (error) return;
  if (type != "enabled" && type != "disabled")
    return fields.fail(wrong_value("thinking.type", "expected \"enabled\" or \"disabled\", found " +
                                                        (type.empty() ? "nothing" : json_excerpt(Json(type)))));
  into = type == "enabled";
}

// OpenAI's word for it. Only "none" is an order; how much effort it is otherwise is the model's own affair.
void read_effort(Fields& fields, std::optional<bool>& thinking) {
  constexpr std::array<std::string_view, 7> kEfforts{"none", "minimal", "low", "medium", "high", "xhigh", "max"};
  std::string effort;
  if (!fields.text("reasoning_effort", effort)) return;
  if (std::find(kEfforts.begin(), kEfforts.end(), effort) == kEfforts.end())
    return fields.fail(wrong_value(
        "reasoning_effort",
        fmt::format("expected one of {}, found {}", fmt::join(kEfforts, ", "), json_excerpt(Json(effort)))));
  if (effort == "none" && !thinking) thinking = false;
}

// Fields that this file reads, and those of OpenAI's and DeepSeek's API that cannot change the answer. Another one may
// be a misspelt "temperature" or a wish that hadal does not know: both want an error, not silence.
constexpr std::array<std::string_view, 38> kKnownFields{
    "messages", "model", "stream", "stream_options", "temperature", "top_p", "top_k", "min_p", "seed", "stop",
    "max_tokens", "max_completion_tokens", "thinking", "reasoning_effort", "n", "tools", "tool_choice",
    "parallel_tool_calls", "functions", "function_call", "logit_bias", "frequency_penalty", "presence_penalty",
    "logprobs", "top_logprobs", "response_format", "modalities",
    // Ignored.
    "user", "user_id", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key",
    "prompt_cache_retention", "prompt_cache_options", "prediction", "audio"};

void refuse_unknown(Fields& fields, const Json& object) {
  for (const auto& [key, value] : object.items()) {
    if (value.is_null() || std::find(kKnownFields.begin(), kKnownFields.end(), key) != kKnownFields.end()) continue;
    const std::string shown = printable(key, 60);
    return fields.fail(
        wrong_value(shown, "expected a field of the chat completions API, found an unknown one", "unknown_parameter"));
  }
}

// What hadal does not do must not be ignored in silence when it would change the answer.
void refuse_unsupported(Fields& fields) {
  int n = 1;
  fields.integer("n", {1, 1}, n);
  for (const char* field : {"functions", "logit_bias"})
    if (const Json* value = fields.find(field); value != nullptr && !value->empty())
      fields.fail(wrong_value(field, "expected none, found " + json_excerpt(*value), "unsupported_parameter"));
  const Json* choice = fields.find("function_call");
  if (choice != nullptr && *choice != "none" && *choice != "auto")
    fields.fail(wrong_value("function_call",
                            "expected none (tool_choice is the present name), found " + json_excerpt(*choice),
                            "unsupported_parameter"));
  for (const char* field : {"frequency_penalty", "presence_penalty", "top_logprobs"}) {
    double value = 0;
    if (fields.number(field, {-2, 20}, value) && value != 0)
      fields.fail(wrong_value(field, fmt::format("expected 0, found {}", value), "unsupported_parameter"));
  }
  if (const Json* modalities = fields.find("modalities"); modalities != nullptr && *modalities != Json::array({"text"}))
    fields.fail(
        wrong_value("modalities", "expected [\"text\"], found " + json_excerpt(*modalities), "unsupported_parameter"));
  bool logprobs = false;
  if (fields.boolean("logprobs", logprobs) && logprobs)
    fields.fail(wrong_value("logprobs", "expected false, found true", "unsupported_parameter"));
  if (const Json* format = fields.find("response_format")) {
    if (!format->is_object()) return fields.fail(wrong_type("response_format", "an object", *format));
    if (*format != Json{{"type", "text"}})
      fields.fail(wrong_value("response_format", "expected {\"type\":\"text\"}, found " + json_excerpt(*format),
                              "unsupported_parameter"));
  }
}

std::optional<ApiError> check_bytes(std::string_view body) {
  if (const std::size_t bad = valid_utf8_bytes(body); bad < body.size())
    return ApiError{.message = fmt::format("request body: expected UTF-8, found a broken sequence at byte {}", bad),
                    .code = "invalid_utf8"};
  int depth = 0;
  bool in_string = false;
  for (std::size_t i = 0; i < body.size(); ++i) {
    const char c = body[i];
    if (in_string) {
      if (c == '\\') ++i;
      if (c == '"') in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '[' || c == '{') {
      if (++depth > kMaxJsonDepth)
        return ApiError{.message = fmt::format("request body: expected at most {} nested levels of JSON, found more",
                                               kMaxJsonDepth),
                        .code = "invalid_json"};
    } else if (c == ']' || c == '}') {
      --depth;
    }
  }
  return std::nullopt;
}

}  // namespace

std::variant<ChatRequest, ApiError> parse_chat_request(std::string_view body, const ServedModel& model) {
  std::optional<ApiError> error = check_bytes(body);
  if (error) return *std::move(error);
  Result<Json> json = parse_json(body, "request body");
  if (!json) return ApiError{.message = json.error().message, .code = "invalid_json"};
  if (!json->is_object()) return wrong_type("request body", "a JSON object", *json);

  Fields fields(*json, "", error);
  std::string asked = model.name;
  fields.text("model", asked);
  if (!error && asked != model.name)
    return ApiError{.status = 404,
                    .message = fmt::format("model: expected \"{}\", the one that is served here, found {}", model.name,
                                           json_excerpt(Json(asked))),
                    .param = "model",
                    .code = "model_not_found"};

  ChatRequest request;
  GenerationRequest& generation = request.generation;
  generation.sampling = model.sampling;
  read_messages(fields, error, generation.messages);
  read_tools(fields, error, body, generation);
  read_sampling(fields, generation.sampling);
  read_stop(fields, generation.stop);
  read_length(fields, model.context_tokens, generation.max_tokens);
  read_thinking(fields, error, generation.thinking);
  read_effort(fields, generation.thinking);
  refuse_unsupported(fields);
  refuse_unknown(fields, *json);
  fields.boolean("stream", request.stream);
  if (const Json* options = fields.find("stream_options")) {
    if (!options->is_object())
      fields.fail(wrong_type("stream_options", "an object", *options));
    else
      Fields(*options, "stream_options.", error).boolean("include_usage", request.include_usage);
  }
  if (error) return *std::move(error);
  return request;
}

}  // namespace hadal
