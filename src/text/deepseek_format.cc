#include "text/deepseek_format.h"

#include <fmt/format.h>

#include "text/format_checks.h"

namespace hadal {
using namespace deepseek;

namespace {

// An assistant that neither says nor does anything: nothing is written for it.
bool says_nothing(const ChatMessage& message) {
  return message.role == "assistant" && message.content_kind == ChatMessage::Content::null && !message.calls_tools();
}

void write_all_system(std::span<const ChatMessage> messages, Prompt& out) {
  bool first = true;
  for (const ChatMessage& message : messages) {
    if (message.role != "system") continue;
    out.text(first ? "" : "\n\n").text(message.content);
    first = false;
  }
}

}  // namespace

Result<RenderedPrompt> DeepSeekFormat::render(std::span<const ChatMessage> messages,
                                              const RenderOptions& options) const {
  HADAL_RETURN_IF_ERROR(check(messages, options));
  const bool thinking = options.thinking.value_or(thinks_by_default());
  RenderedPrompt rendered;
  Prompt& out = rendered.prompt;
  out.control(kBegin);
  if (hoists_system()) write_all_system(messages, out);
  if (options.tools && !options.tools->items().empty()) write_tools(*options.tools, out);
  After before = After::nothing;
  const auto now = [&](After what) {
    if (before == After::result && what != After::result) end_results(out);
    return std::exchange(before, what);
  };
  for (const ChatMessage& message : messages) {
    const bool open = options.continue_final_message && &message == &messages.back();
    if (message.role == "user") {
      now(After::user);
      write_user(message.content, out);
    } else if (message.role == "system" && !hoists_system()) {
      out.text(message.content).text("\n\n");
    } else if (message.role == "tool") {
      write_result(message.content, now(After::result), out);
    } else if (open) {
      rendered.reasoning_open = write_open_answer(message, thinking, now(After::assistant), out);
    } else if (message.role == "assistant" && !says_nothing(message)) {
      write_past_answer(message, now(After::assistant), out);
    }
  }
  if (before == After::result) {
    end_results(out);
  } else if (options.add_generation_prompt) {
    rendered.reasoning_open = write_generation_prompt(thinking, out);
  }
  return rendered;
}

Prompt DeepSeekFormat::completion(const ChatMessage& answer, std::optional<bool>) const {
  return Prompt().text(answer.content).control(kEnd);
}

std::vector<std::string_view> DeepSeekFormat::stop_tokens() const {
  return {kEnd, "<|EOT|>"};
}

void DeepSeekFormat::write_tools(const OrderedJson&, Prompt&) const {}

void DeepSeekFormat::write_user(std::string_view content, Prompt& out) const {
  out.control(kUser).text(content);
}

void DeepSeekFormat::write_header(After before, Prompt& out) const {
  if (before != After::result) out.control(kAssistant);
}

// The form of V3 and R1: a type, and arguments between fences.
void DeepSeekFormat::write_calls(std::span<const ToolCall> calls, Prompt& out) const {
  out.control(kCallsBegin);
  for (std::size_t i = 0; i < calls.size(); ++i) {
    if (i > 0) out.text("\n");
    out.control(kCallBegin).text(calls[i].type).control(kSep).text(calls[i].name);
    out.text("\n```json\n").text(calls[i].arguments_text).text("\n```").control(kCallEnd);
  }
  out.control(kCallsEnd);
}

void DeepSeekFormat::write_result(std::string_view content, After before, Prompt& out) const {
  if (before == After::result)
    out.text("\n");
  else
    out.control(kOutputsBegin);
  out.control(kOutputBegin).text(content).control(kOutputEnd);
}

void DeepSeekFormat::end_results(Prompt& out) const {
  out.control(kOutputsEnd);
}

bool DeepSeekFormat::write_open_answer(const ChatMessage& answer, bool, After before, Prompt& out) const {
  write_header(before, out);
  out.text(before == After::result ? answer.content : past_content(answer.content));
  return false;
}

bool DeepSeekFormat::write_generation_prompt(bool, Prompt& out) const {
  out.control(kAssistant);
  return false;
}

// A thought is cut off an answer, but not off what comes with calls or after a result: the official templates do so.
void DeepSeekFormat::write_past_answer(const ChatMessage& answer, After before, Prompt& out) const {
  write_header(before, out);
  const bool as_it_is = answer.calls_tools() || before == After::result;
  out.text(as_it_is ? answer.content : past_content(answer.content));
  if (answer.calls_tools()) write_calls(*answer.tool_calls, out);
  out.control(kEnd);
}

Status DeepSeekFormat::check(std::span<const ChatMessage> messages, const RenderOptions& options) const {
  HADAL_RETURN_IF_ERROR(check_options(*this, messages, options));
  for (std::size_t i = 0; i < messages.size(); ++i) {
    const ChatMessage& message = messages[i];
    const std::string& role = message.role;
    if (tools() == ToolSupport::none && (role == "tool" || message.calls_tools()))
      return Error{ErrorKind::unsupported,
                   fmt::format("messages[{}]: {} has no tool calls and no results of tools", i, name())};
    // "developer" passes without being written: the official templates do so, and clients rely on it being accepted.
    if (role != "system" && role != "user" && role != "assistant" && role != "tool" && role != "developer")
      return unknown_role(message, i, "system, user, assistant or tool");
    const bool may_be_null = role == "assistant" && message.content_kind == ChatMessage::Content::null;
    if (!may_be_null && !(role == "assistant" && message.calls_tools()) && role != "developer")
      HADAL_RETURN_IF_ERROR(check_content(message, i));
  }
  return Done{};
}

}  // namespace hadal
