// Llama 3.1, 3.2 and 3.3 Instruct: headers with a role, a system turn with two dates, one tool call a turn, results
// from "ipython". The built-in tools of 3.1 (search, code) are not written.
//
// Written as the published template of 3.2 writes it: contents are trimmed, null is the word None, a result is a JSON
// string.
#include <fmt/format.h>

#include "text/format_checks.h"
#include "text/native_formats.h"
#include "text/utf8.h"

namespace hadal {
namespace {

constexpr std::string_view kBegin = "<|begin_of_text|>", kEndOfTurn = "<|eot_id|>";
constexpr std::string_view kHeader = "<|start_header_id|>", kHeaderEnd = "<|end_header_id|>";
constexpr std::string_view kDate = "26 Jul 2024";  // the template's own, where it is given none

// Python's str.isspace: Unicode's White_Space and the four information separators.
bool is_python_space(char32_t c) {
  return (c >= 9 && c <= 13) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

std::string_view trimmed(std::string_view text) {
  std::size_t begin = text.size(), end = 0;
  for (std::size_t at = 0; at < text.size();) {
    const Utf8Unit unit = first_utf8_unit(text.substr(at));
    if (unit.kind != Utf8Kind::character || !is_python_space(unit.code)) {
      begin = std::min(begin, at);
      end = at + unit.bytes;
    }
    at += unit.bytes;
  }
  return begin < end ? text.substr(begin, end - begin) : std::string_view();
}

std::string_view trimmed_content(const ChatMessage& message) {
  return message.content_kind == ChatMessage::Content::null ? "None" : trimmed(message.content);
}

bool is_result(const ChatMessage& message) {
  return message.role == "tool" || message.role == "ipython";
}

class Llama3 final : public ChatFormat {
 public:
  std::string_view name() const override { return "llama3"; }
  ToolSupport tools() const override { return ToolSupport::definitions; }
  ToolCallSyntax call_syntax() const override { return ToolCallSyntax::llama; }
  // generation_config.json of Llama-3.2-1B-Instruct.
  SamplingAdvice sampling() const override { return {.temperature = 0.6, .top_p = 0.9}; }
  std::vector<std::string_view> stop_tokens() const override { return {kEndOfTurn, "<|eom_id|>", "<|end_of_text|>"}; }
  Prompt completion(const ChatMessage& answer, std::optional<bool>) const override {
    return Prompt().text(trimmed(answer.content)).control(kEndOfTurn);
  }

  Result<RenderedPrompt> render(std::span<const ChatMessage> messages, const RenderOptions& options) const override {
    if (messages.empty())
      return Error{ErrorKind::invalid, "messages: expected at least one, found none: llama3 looks at the first"};
    HADAL_RETURN_IF_ERROR(check_options(*this, messages, options));
    RenderedPrompt rendered;
    Prompt& out = rendered.prompt;
    const OrderedJson* tools = tools_of(options);
    const auto is_open = [&](std::size_t i) { return options.continue_final_message && i + 1 == messages.size(); };
    std::size_t next = messages.front().role == "system" ? 1 : 0;
    write_system(next == 1 ? trimmed_content(messages.front()) : std::string_view(), options, out);
    if (tools != nullptr && options.tools_in_user_message) {
      if (next == messages.size())
        return Error{ErrorKind::invalid, "tools: expected a message of the user that they can stand in, found none"};
      write_first_user_message(messages[next], *tools, is_open(next), out);
      ++next;
    }
    for (std::size_t i = next; i < messages.size(); ++i)
      HADAL_RETURN_IF_ERROR(write_message(messages[i], i, is_open(i), out));
    if (options.add_generation_prompt) write_header("assistant", out).text("\n\n");
    return rendered;
  }

 private:
  static const OrderedJson* tools_of(const RenderOptions& options) {  // an empty list counts
    const std::optional<OrderedJson>& tools = options.custom_tools ? options.custom_tools : options.tools;
    return tools && !tools->is_null() ? &*tools : nullptr;
  }

  static Prompt& write_header(std::string_view role, Prompt& out) {
    return out.control(kHeader).text(role).control(kHeaderEnd);
  }

  static std::string tools_text(const OrderedJson& tools) {
    std::string text =
        "Respond in the format {\"name\": function name, \"parameters\": dictionary of argument name and its value}."
        "Do not use variables.\n\n";
    for (const OrderedJson& tool : tools.items()) text += tool.dump_indented(4) + "\n\n";
    return text;
  }

  static void write_system(std::string_view content, const RenderOptions& options, Prompt& out) {
    out.control(kBegin);
    write_header("system", out).text("\n\n");
    const OrderedJson* tools = tools_of(options);
    if (tools != nullptr) out.text("Environment: ipython\n");
    out.text("Cutting Knowledge Date: December 2023\nToday Date: ");
    out.text(options.date_string ? std::string_view(*options.date_string) : kDate).text("\n\n");
    if (tools != nullptr && !options.tools_in_user_message) {
      out.text(
          "You have access to the following functions. To call a function, please respond with JSON for a function "
          "call.");
      out.text(tools_text(*tools));
    }
    out.text(content).control(kEndOfTurn);
  }

  // Whoever spoke it: the template does not look.
  static void write_first_user_message(const ChatMessage& message, const OrderedJson& tools, bool open, Prompt& out) {
    write_header("user", out).text("\n\n");
    out.text(
        "Given the following functions, please respond with a JSON for a function call with its proper arguments that "
        "best answers the given prompt.\n\n");
    const std::string definitions = tools_text(tools);
    const std::string_view content = trimmed_content(message);
    if (open && content.empty()) return static_cast<void>(out.text(trimmed(definitions)));  // as in write_message
    out.text(definitions).text(content);
    if (!open) out.control(kEndOfTurn);
  }

  static Status write_message(const ChatMessage& message, std::size_t index, bool open, Prompt& out) {
    if (message.tool_calls) {
      if (message.tool_calls->size() != 1)
        return Error{ErrorKind::unsupported,
                     fmt::format("messages[{}].tool_calls: llama3 can make one call at a time, found {}", index,
                                 message.tool_calls->size())};
      const ToolCall& call = message.tool_calls->front();
      write_header("assistant", out).text("\n\n{\"name\": \"").text(call.name).text("\", \"parameters\": ");
      out.text(call.arguments.dump()).text("}").control(kEndOfTurn);
    } else if (is_result(message)) {
      if (message.content_kind == ChatMessage::Content::absent) HADAL_RETURN_IF_ERROR(check_content(message, index));
      write_header("ipython", out).text("\n\n").text(result_text(message)).control(kEndOfTurn);
    } else {
      const std::string_view content = trimmed_content(message);
      write_header(message.role, out);
      // White space at the very end of a prompt is cut off, the header's too: a line break is the model's to write.
      if (!open || !content.empty()) out.text("\n\n").text(content);
      if (!open) out.control(kEndOfTurn);
    }
    return Done{};
  }

  static std::string result_text(const ChatMessage& message) {
    switch (message.content_kind) {
      case ChatMessage::Content::text:
        return OrderedJson::of_string(message.content).dump();
      case ChatMessage::Content::null:
        return "None";
      case ChatMessage::Content::json:
      case ChatMessage::Content::absent:
        break;
    }
    return message.content;
  }
};

}  // namespace

const ChatFormat& llama3_format() {
  static const Llama3 format;
  return format;
}

}  // namespace hadal
