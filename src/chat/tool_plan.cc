#include "chat/tool_plan.h"

#include <fmt/format.h>

namespace hadal {
namespace {

// Calls are written with control tokens, but for Llama's.
bool can_write_calls(const TextModel& text) {
  const ToolCallSyntax syntax = text.format->call_syntax();
  if (syntax == ToolCallSyntax::none || syntax == ToolCallSyntax::llama) return syntax == ToolCallSyntax::llama;
  return text.tokenizer.find_control(ToolCallParser::markers(syntax).front()).has_value();
}

Error refused(const TextModel& text, std::string_view field, std::string_view why) {
  return {ErrorKind::unsupported, fmt::format("{}: {} ({}) {}", field, text.location.name, text.format->name(), why)};
}

}  // namespace

Result<ToolPlan> plan_tools(const GenerationRequest& request, const TextModel& text) {
  const bool able = can_write_calls(text);
  for (std::size_t i = 0; i < request.messages.size() && !able; ++i) {
    const ChatMessage& message = request.messages[i];
    if (message.role == "tool" || message.calls_tools())
      return refused(text, fmt::format("messages[{}]", i), "has no tool calls and no results of tools");
  }
  ToolPlan plan;
  if (request.tool_choice == ToolChoice::none) return plan;
  const bool defined = request.tools && !request.tools->items().empty();
  if (defined && !able) return refused(text, "tools", "has no tool calls");
  if (defined && text.format->tools() != ToolSupport::definitions)
    return refused(text, "tools",
                   "has no place for definitions; describe them in a system message, and its calls are understood");
  if (defined) plan.shown = request.tools;
  // Where a client had to describe its tools itself, a call is known by its control tokens.
  if (defined || (able && text.format->tools() == ToolSupport::calls))
    plan.calls = {.syntax = text.format->call_syntax(), .count = request.call_count};
  return plan;
}

}  // namespace hadal
