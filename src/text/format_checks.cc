#include "text/format_checks.h"

#include <fmt/format.h>

#include "text/utf8.h"

namespace hadal {

Status check_content(const ChatMessage& message, std::size_t index) {
  using Content = ChatMessage::Content;
  if (message.content_kind == Content::text || message.content_kind == Content::json) return Done{};
  return Error{ErrorKind::invalid, fmt::format("messages[{}]: content: expected a string, found {}", index,
                                               message.content_kind == Content::null ? "null" : "nothing")};
}

Error unknown_role(const ChatMessage& message, std::size_t index, std::string_view expected) {
  return {ErrorKind::invalid, fmt::format("messages[{}]: role: expected {}, found \"{}\"", index, expected,
                                          repair_utf8(message.role.substr(0, 40)))};
}

Status check_options(const ChatFormat& format, std::span<const ChatMessage> messages, const RenderOptions& options) {
  if (options.thinking.value_or(false) && !format.can_think())
    return Error{ErrorKind::unsupported, fmt::format("thinking: {} has no thinking mode", format.name())};
  if (!options.continue_final_message) return Done{};
  if (options.add_generation_prompt)
    return Error{ErrorKind::invalid, "continue_final_message: expected without add_generation_prompt, found both"};
  if (messages.empty() || messages.back().role != "assistant")
    return Error{ErrorKind::invalid,
                 fmt::format("continue_final_message: expected a last message of role assistant, found {}",
                             messages.empty() ? "no message" : messages.back().role)};
  if (messages.back().calls_tools())
    return Error{ErrorKind::invalid, "continue_final_message: expected a last message of text, found tool calls"};
  return Done{};
}

}  // namespace hadal
