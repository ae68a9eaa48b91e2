#include "text/render_json.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "base/json.h"
#include "text/chat_messages.h"
#include "text/json_fields.h"

namespace hadal {
namespace {

// A template that does not think ignores the argument; the request's own field must not be ignored.
Status read_thinking(const Json& body, const Json* arguments, const ChatFormat& format, RenderOptions& options) {
  const Json* thinking = json_field(body, "thinking");
  if (thinking == nullptr && arguments != nullptr && format.can_think()) thinking = json_field(*arguments, "thinking");
  if (thinking == nullptr) return Done{};
  if (!thinking->is_boolean()) return json_field_error("request", "thinking", "true or false", thinking);
  options.thinking = thinking->get<bool>();
  return Done{};
}

Status read_tools(const OrderedJson& body, RenderOptions& options) {
  const auto checked = [](const OrderedJson* tools) -> Result<std::optional<OrderedJson>> {
    if (tools == nullptr) return std::optional<OrderedJson>();
    if (tools->is_array() || tools->is_null()) return std::optional(*tools);
    return Error{ErrorKind::invalid, fmt::format("request: tools: expected a list, found {}", json_excerpt(*tools))};
  };
  const OrderedJson* arguments = body.find_value("template_args");
  HADAL_ASSIGN(options.tools, checked(body.find_value("tools")));
  HADAL_ASSIGN(options.custom_tools, checked(arguments == nullptr ? nullptr : arguments->find("custom_tools")));
  return Done{};
}

Result<RenderOptions> read_options(const Json& json, const OrderedJson& body, const ChatFormat& format) {
  RenderOptions options;
  const Json* arguments = json_field(json, "template_args");
  if (arguments != nullptr && !arguments->is_object())
    return json_field_error("request", "template_args", "an object", arguments);
  HADAL_RETURN_IF_ERROR(read_thinking(json, arguments, format, options));
  HADAL_ASSIGN(options.continue_final_message, json_bool(json, "continue_final_message", false, "request"));
  HADAL_ASSIGN(options.add_generation_prompt,
               json_bool(json, "add_generation_prompt", !options.continue_final_message, "request"));
  HADAL_RETURN_IF_ERROR(read_tools(body, options));
  if (arguments == nullptr) return options;
  if (json_field(*arguments, "date_string") != nullptr) {
    HADAL_ASSIGN(options.date_string, json_string(*arguments, "date_string", "request: template_args"));
  }
  HADAL_ASSIGN(options.tools_in_user_message,
               json_bool(*arguments, "tools_in_user_message", true, "request: template_args"));
  return options;
}

}  // namespace

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
  HADAL_ASSIGN(const OrderedJson ordered, OrderedJson::parse(body, "request"));
  const OrderedJson* list = ordered.find("messages");
  if (list == nullptr) return json_field_error("request", "messages", "a list of messages", nullptr);
  HADAL_ASSIGN(const std::vector<ChatMessage> messages, read_messages(*list, "messages"));
  HADAL_ASSIGN(const RenderOptions options, read_options(json, ordered, format));
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
