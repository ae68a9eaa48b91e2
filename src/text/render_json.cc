#include "text/render_json.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "text/json_fields.h"

namespace hadal {
namespace {

Result<std::optional<ChatMessage>> read_message(const Json& json, const std::string& subject) {
  if (!json.is_object())
    return Error{ErrorKind::invalid, fmt::format("{}: expected an object, found {}", subject, json_excerpt(json))};
  ChatMessage message;
  HADAL_ASSIGN(message.role, json_string(json, "role", subject));
  if (const Json* calls = json_field(json, "tool_calls"); calls != nullptr && !calls->empty())
    return Error{ErrorKind::unsupported, fmt::format("{}: tool_calls are not supported", subject)};
  if (json_field(json, "reasoning_content") != nullptr) {
    HADAL_ASSIGN(message.reasoning_content, json_string(json, "reasoning_content", subject));
  }
  if (message.role == "assistant" && json.contains("content") && json["content"].is_null())
    return std::optional<ChatMessage>();
  HADAL_ASSIGN(message.content, json_string(json, "content", subject));
  return std::optional(std::move(message));
}

Result<std::optional<bool>> read_thinking(const Json& body) {
  const Json* arguments = json_field(body, "template_args");
  if (arguments != nullptr && !arguments->is_object())
    return json_field_error("request", "template_args", "an object", arguments);
  const Json* outer = json_field(body, "thinking");
  const Json* inner = arguments == nullptr ? nullptr : json_field(*arguments, "thinking");
  if (outer == nullptr) outer = inner;
  if (outer == nullptr) return std::optional<bool>();
  if (!outer->is_boolean()) return json_field_error("request", "thinking", "true or false", outer);
  return std::optional(outer->get<bool>());
}

}  // namespace

Result<std::vector<ChatMessage>> read_chat_messages(const Json& json, std::string_view subject) {
  if (!json.is_array())
    return Error{ErrorKind::invalid,
                 fmt::format("{}: expected a list of messages, found {}", subject, json_excerpt(json))};
  std::vector<ChatMessage> messages;
  for (std::size_t i = 0; i < json.size(); ++i) {
    HADAL_ASSIGN(auto message, read_message(json[i], fmt::format("{}[{}]", subject, i)));
    if (message) messages.push_back(std::move(*message));
  }
  return messages;
}

Result<std::string> render_json(const Tokenizer& tokenizer, const ChatFormat& format, std::string_view body) {
  HADAL_ASSIGN(const Json json, parse_json(body, "request"));
  if (!json.is_object())
    return Error{ErrorKind::invalid, fmt::format("request: expected an object, found {}", json_excerpt(json))};
  constexpr std::string_view kKeys[] = {
      "messages", "tools", "thinking", "add_generation_prompt", "continue_final_message", "template_args"};
  for (const auto& [key, value] : json.items()) {
    if (std::find(std::begin(kKeys), std::end(kKeys), key) == std::end(kKeys))
      return Error{ErrorKind::invalid, fmt::format("request: expected the keys {}, found {}", fmt::join(kKeys, ", "),
                                                   json_excerpt(Json(key)))};
  }
  if (!json.contains("messages")) return json_field_error("request", "messages", "a list of messages", nullptr);
  HADAL_ASSIGN(const std::vector<ChatMessage> messages, read_chat_messages(json["messages"], "messages"));
  const Json* tools = json_field(json, "tools");
  if (tools != nullptr && !tools->is_array()) return json_field_error("request", "tools", "a list", tools);
  if (tools != nullptr && !tools->empty() && format.name() == "deepseek-v3.1")
    return Error{ErrorKind::unsupported, fmt::format("request: tools are not supported by {} yet", format.name())};

  RenderOptions options;
  HADAL_ASSIGN(options.thinking, read_thinking(json));
  HADAL_ASSIGN(options.continue_final_message, json_bool(json, "continue_final_message", false, "request"));
  HADAL_ASSIGN(options.add_generation_prompt,
               json_bool(json, "add_generation_prompt", !options.continue_final_message, "request"));
  HADAL_ASSIGN(const RenderedPrompt rendered, format.render(messages, options));
  HADAL_ASSIGN(const std::vector<TokenId> ids, tokenizer.encode(rendered.prompt));
  const std::string prompt = Json(rendered.prompt.string()).dump(-1, ' ', false, Json::error_handler_t::replace);
  return fmt::format("{{\"prompt\": {}, {}", prompt, ids_json(ids).substr(1));
}

std::string ids_json(std::span<const TokenId> ids) {
  std::vector<std::int32_t> numbers(ids.size());
  std::transform(ids.begin(), ids.end(), numbers.begin(), [](TokenId id) { return index(id); });
  return fmt::format("{{\"ids\": [{}]}}", fmt::join(numbers, ", "));
}

}  // namespace hadal
