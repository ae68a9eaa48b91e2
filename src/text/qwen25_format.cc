// Qwen2.5 Instruct: ChatML with a default system text, tools as JSON lines in it, results in turns of the user.
//
// Written as the published template writes it, to the "None" that it prints for a content that is null.
#include "text/format_checks.h"
#include "text/native_formats.h"

namespace hadal {
namespace {

constexpr std::string_view kStart = "<|im_start|>", kEnd = "<|im_end|>";
constexpr std::string_view kCall = "<tool_call>", kCallEnd = "</tool_call>";
constexpr std::string_view kDefaultSystem = "You are Qwen, created by Alibaba Cloud. You are a helpful assistant.";

// What the template prints where it does not join texts.
std::string_view printed(const ChatMessage& message) {
  return message.content_kind == ChatMessage::Content::null ? "None" : std::string_view(message.content);
}

class Qwen25 final : public ChatFormat {
 public:
  std::string_view name() const override { return "qwen2.5"; }
  ToolSupport tools() const override { return ToolSupport::definitions; }
  ToolCallSyntax call_syntax() const override { return ToolCallSyntax::qwen; }
  // generation_config.json of Qwen2.5-7B-Instruct; its repetition_penalty of 1.05 is left out.
  SamplingAdvice sampling() const override { return {.temperature = 0.7, .top_p = 0.8, .top_k = 20}; }
  std::vector<std::string_view> stop_tokens() const override { return {kEnd, "<|endoftext|>"}; }
  Prompt completion(const ChatMessage& answer, std::optional<bool>) const override {
    return Prompt().text(answer.content).control(kEnd);
  }

  Result<RenderedPrompt> render(std::span<const ChatMessage> messages, const RenderOptions& options) const override {
    HADAL_RETURN_IF_ERROR(check(messages, options));
    RenderedPrompt rendered;
    Prompt& out = rendered.prompt;
    write_system(messages.front(), options, out);
    for (std::size_t i = 0; i < messages.size(); ++i) {
      const ChatMessage& message = messages[i];
      if (message.role == "tool") {
        if (i == 0 || messages[i - 1].role != "tool") out.control(kStart).text("user");
        out.text("\n<tool_response>\n").text(printed(message)).text("\n</tool_response>");
        if (i + 1 == messages.size() || messages[i + 1].role != "tool") out.control(kEnd).text("\n");
      } else if (message.role == "assistant" && message.calls_tools()) {
        write_calls(message, out);
      } else if (message.role != "developer" && !(message.role == "system" && i == 0)) {
        out.control(kStart).text(message.role).text("\n").text(message.content);
        if (options.continue_final_message && i + 1 == messages.size()) break;
        out.control(kEnd).text("\n");
      }
    }
    if (options.add_generation_prompt) out.control(kStart).text("assistant\n");
    return rendered;
  }

 private:
  static void write_system(const ChatMessage& first, const RenderOptions& options, Prompt& out) {
    out.control(kStart).text("system\n").text(first.role == "system" ? printed(first) : kDefaultSystem);
    if (has_tools(options)) {
      out.text(
          "\n\n# Tools\n\nYou may call one or more functions to assist with the user query.\n\nYou are provided with "
          "function signatures within <tools></tools> XML tags:\n<tools>");
      for (const OrderedJson& tool : options.tools->items()) out.text("\n").text(tool.dump());
      out.text("\n</tools>\n\nFor each function call, return a json object with function name and arguments within ")
          .control(kCall)
          .control(kCallEnd)
          .text(" XML tags:\n")
          .control(kCall)
          .text("\n{\"name\": <function-name>, \"arguments\": <args-json-object>}\n")
          .control(kCallEnd);
    }
    out.control(kEnd).text("\n");
  }

  static void write_calls(const ChatMessage& message, Prompt& out) {
    out.control(kStart).text("assistant");
    if (!message.content.empty()) out.text("\n").text(message.content);
    for (const ToolCall& call : *message.tool_calls) {
      out.text("\n").control(kCall).text("\n{\"name\": \"").text(call.name).text("\", \"arguments\": ");
      out.text(call.arguments.dump()).text("}\n").control(kCallEnd);
    }
    out.control(kEnd).text("\n");
  }

  static bool has_tools(const RenderOptions& options) { return options.tools && !options.tools->items().empty(); }

  Status check(std::span<const ChatMessage> messages, const RenderOptions& options) const {
    if (messages.empty())
      return Error{ErrorKind::invalid, "messages: expected at least one, found none: qwen2.5 looks at the first"};
    HADAL_RETURN_IF_ERROR(check_options(*this, messages, options));
    for (std::size_t i = 0; i < messages.size(); ++i) {
      const ChatMessage& message = messages[i];
      const std::string& role = message.role;
      if (role == "tool" || role == "developer") continue;  // the template leaves "developer" out
      if (role != "system" && role != "user" && role != "assistant")
        return unknown_role(message, i, "system, user, assistant or tool");
      const bool printed_only =
          (role == "assistant" && message.calls_tools()) || (i == 0 && role == "system" && has_tools(options));
      if (!printed_only) HADAL_RETURN_IF_ERROR(check_content(message, i));
    }
    return Done{};
  }
};

}  // namespace

const ChatFormat& qwen25_format() {
  static const Qwen25 format;
  return format;
}

}  // namespace hadal
