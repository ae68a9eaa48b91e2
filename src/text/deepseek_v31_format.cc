// DeepSeek-V3.1: thinks when it is asked to, defines tools after the system text, and writes calls without type, fence
// or line break.
#include "text/deepseek_format.h"
#include "text/native_formats.h"

namespace hadal {
namespace {

using namespace deepseek;

// A field's text; "" where a definition lacks it.
std::string_view text_of(const OrderedJson& function, std::string_view key) {
  const OrderedJson* value = function.find_value(key);
  return value != nullptr && value->is_string() ? std::string_view(value->string()) : std::string_view();
}

class DeepSeekV31 final : public DeepSeekFormat {
 public:
  std::string_view name() const override { return "deepseek-v3.1"; }
  bool can_think() const override { return true; }
  bool thinks_by_default() const override { return false; }
  ToolSupport tools() const override { return ToolSupport::definitions; }
  ToolCallSyntax call_syntax() const override { return ToolCallSyntax::deepseek_v31; }
  // generation_config.json of V3.1.
  SamplingAdvice sampling() const override { return {.temperature = 0.6, .top_p = 0.95}; }
  Prompt completion(const ChatMessage& answer, std::optional<bool> thinking) const override {
    Prompt out;
    if (thinking.value_or(false)) out.text(answer.reasoning_content).control(kThinkEnd);
    return out.text(answer.content).control(kEnd);
  }

 protected:
  // The text of the model's card, section ToolCall.
  void write_tools(const OrderedJson& tools, Prompt& out) const override {
    out.text("\n\n## Tools\nYou have access to the following tools:\n\n");
    for (const OrderedJson& tool : tools.items()) {
      const OrderedJson* inner = tool.find_value("function");
      const OrderedJson& function = inner == nullptr ? tool : *inner;
      const OrderedJson* parameters = function.find_value("parameters");
      out.text("### ").text(text_of(function, "name"));
      out.text("\nDescription: ").text(text_of(function, "description"));
      out.text("\n\nParameters: ").text(parameters == nullptr ? "{}" : parameters->dump()).text("\n\n");
    }
    out.text("IMPORTANT: ALWAYS adhere to this exact format for tool use:\n");
    out.control(kCallsBegin).control(kCallBegin).text("tool_call_name").control(kSep).text("tool_call_arguments");
    out.control(kCallEnd).text("{additional_tool_calls}").control(kCallsEnd);
    out.text(
        "\n\nWhere:\n"
        "- `tool_call_name` must be an exact match to one of the available tools\n"
        "- `tool_call_arguments` must be valid JSON that strictly follows the tool's Parameters Schema\n"
        "- For multiple tool calls, chain them directly without separators or spaces");
  }
  // An answer that follows another is written without a header, as the official template does.
  void write_header(After before, Prompt& out) const override {
    if (before == After::user || before == After::nothing) out.control(kAssistant).control(kThinkEnd);
  }
  std::string_view past_content(std::string_view content) const override {  // what follows the first thought
    const std::size_t at = content.find(kThinkEnd);
    return at == content.npos ? content : content.substr(at + kThinkEnd.size());
  }
  void write_calls(std::span<const ToolCall> calls, Prompt& out) const override {
    out.control(kCallsBegin);
    for (const ToolCall& call : calls)
      out.control(kCallBegin).text(call.name).control(kSep).text(call.arguments_text).control(kCallEnd);
    out.control(kCallsEnd);
  }
  void write_result(std::string_view content, After, Prompt& out) const override {
    out.control(kOutputBegin).text(content).control(kOutputEnd);
  }
  void end_results(Prompt&) const override {}
  bool write_open_answer(const ChatMessage& answer, bool thinking, After before, Prompt& out) const override {
    if (!thinking || before == After::result) return DeepSeekFormat::write_open_answer(answer, thinking, before, out);
    out.control(kAssistant).control(kThink);
    if (answer.reasoning_content.empty()) return out.text(past_content(answer.content)), true;
    out.text(answer.reasoning_content);
    if (answer.content.empty()) return true;
    out.control(kThinkEnd).text(answer.content);
    return false;
  }
  bool write_generation_prompt(bool thinking, Prompt& out) const override {
    out.control(kAssistant).control(thinking ? kThink : kThinkEnd);
    return thinking;
  }
};

}  // namespace

const ChatFormat& deepseek_v31_format() {
  static const DeepSeekV31 format;
  return format;
}

}  // namespace hadal
