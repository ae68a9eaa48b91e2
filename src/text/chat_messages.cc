#include "text/chat_messages.h"

#include <fmt/format.h>

#include <algorithm>

namespace hadal {
namespace {

Error wrong(std::string_view subject, std::string_view field, std::string_view expected, const OrderedJson* found) {
  return {found == nullptr ? ErrorKind::not_found : ErrorKind::invalid,
          fmt::format("{}: {}: expected {}, found {}", subject, field, expected,
                      found == nullptr ? "nothing" : json_excerpt(*found))};
}

Result<std::string> text_of(const OrderedJson& object, std::string_view field, std::string_view subject) {
  const OrderedJson* value = object.find_value(field);
  if (value == nullptr || !value->is_string()) return wrong(subject, field, "a string", value);
  return value->string();
}

Result<std::string> joined_parts(const OrderedJson& parts, const std::string& subject) {
  std::string text;
  for (std::size_t i = 0; i < parts.items().size(); ++i) {
    const OrderedJson& part = parts.items()[i];
    const std::string where = fmt::format("{}: content[{}]", subject, i);
    const OrderedJson* type = part.find("type");
    if (type == nullptr || !type->is_string() || type->string() != "text")
      return wrong(where, "type", "\"text\"", type);
    HADAL_ASSIGN(const std::string piece, text_of(part, "text", where));
    text += piece;
  }
  return text;
}

bool are_text_parts(const OrderedJson& list) {
  return !list.items().empty() && std::ranges::all_of(list.items(), [](const OrderedJson& part) {
    const OrderedJson *type = part.find("type"), *text = part.find("text");
    return type != nullptr && type->is_string() && type->string() == "text" && text != nullptr && text->is_string();
  });
}

Result<ToolCall> read_call(const OrderedJson& json, const std::string& subject) {
  if (!json.is_object())
    return Error{ErrorKind::invalid, fmt::format("{}: expected an object, found {}", subject, json_excerpt(json))};
  ToolCall call;
  if (json.find_value("id") != nullptr) {
    HADAL_ASSIGN(call.id, text_of(json, "id", subject));
  }
  if (json.find_value("type") != nullptr) {
    HADAL_ASSIGN(call.type, text_of(json, "type", subject));
  }
  const OrderedJson* function = json.find_value("function");
  if (function == nullptr) function = &json;
  HADAL_ASSIGN(call.name, text_of(*function, "name", subject));
  const OrderedJson* arguments = function->find("arguments");
  if (arguments == nullptr) return wrong(subject, "arguments", "an object", nullptr);
  call.arguments = *arguments;
  call.arguments_text = arguments->is_string() ? arguments->string() : arguments->dump();
  return call;
}

Status read_calls(const OrderedJson& json, const std::string& subject, ChatMessage& message) {
  const OrderedJson* calls = json.find("tool_calls");
  if (calls == nullptr) return Done{};
  message.tool_calls.emplace();
  if (calls->is_null()) return Done{};
  if (!calls->is_array()) return wrong(subject, "tool_calls", "a list of calls", calls);
  for (std::size_t i = 0; i < calls->items().size(); ++i) {
    HADAL_ASSIGN(ToolCall call, read_call(calls->items()[i], fmt::format("{}.tool_calls[{}]", subject, i)));
    message.tool_calls->push_back(std::move(call));
  }
  return Done{};
}

Result<ChatMessage> read_message(const OrderedJson& json, const std::string& subject) {
  if (!json.is_object())
    return Error{ErrorKind::invalid, fmt::format("{}: expected an object, found {}", subject, json_excerpt(json))};
  ChatMessage message;
  HADAL_ASSIGN(message.role, text_of(json, "role", subject));
  HADAL_RETURN_IF_ERROR(read_content(json.find("content"), subject, message));
  HADAL_RETURN_IF_ERROR(read_calls(json, subject, message));
  for (const auto& [field, into] :
       {std::pair("reasoning_content", &message.reasoning_content), std::pair("tool_call_id", &message.tool_call_id)}) {
    if (json.find_value(field) == nullptr) continue;
    HADAL_ASSIGN(*into, text_of(json, field, subject));
  }
  return message;
}

}  // namespace

Status read_content(const OrderedJson* content, const std::string& subject, ChatMessage& message) {
  using Content = ChatMessage::Content;
  const bool of_tool = message.role == "tool" || message.role == "ipython";
  if (content == nullptr || content->is_null()) {
    message.content_kind = content == nullptr ? Content::absent : Content::null;
  } else if (content->is_string()) {
    message.content = content->string();
  } else if (of_tool && (content->is_object() || (content->is_array() && !are_text_parts(*content)))) {
    message.content_kind = Content::json;
    message.content = content->dump();
  } else if (content->is_array()) {
    HADAL_ASSIGN(message.content, joined_parts(*content, subject));
  } else {
    return wrong(subject, "content", "a string", content);
  }
  return Done{};
}

Result<std::vector<ChatMessage>> read_messages(const OrderedJson& json, std::string_view subject) {
  if (!json.is_array())
    return Error{ErrorKind::invalid,
                 fmt::format("{}: expected a list of messages, found {}", subject, json_excerpt(json))};
  std::vector<ChatMessage> messages;
  for (std::size_t i = 0; i < json.items().size(); ++i) {
    HADAL_ASSIGN(ChatMessage message, read_message(json.items()[i], fmt::format("{}[{}]", subject, i)));
    messages.push_back(std::move(message));
  }
  return messages;
}

Result<std::vector<ChatMessage>> read_chat_messages(const Json& json, std::string_view subject) {
  HADAL_ASSIGN(std::vector<ChatMessage> messages, read_messages(OrderedJson::of(json), subject));
  using Content = ChatMessage::Content;
  for (std::size_t i = 0; i < messages.size(); ++i) {
    const ChatMessage& message = messages[i];
    if (message.calls_tools())
      return Error{ErrorKind::unsupported, fmt::format("{}[{}]: tool_calls are not supported here", subject, i)};
    if (message.content_kind == Content::absent ||
        (message.content_kind == Content::null && message.role != "assistant"))
      return wrong(fmt::format("{}[{}]", subject, i), "content", "a string", nullptr);
  }
  std::erase_if(messages, [](const ChatMessage& message) { return message.content_kind == Content::null; });
  return messages;
}

}  // namespace hadal
