// DeepSeek-R1 and its distillations to Qwen and Llama: V3's format, whose answers begin with a thought.
#include "text/deepseek_format.h"
#include "text/native_formats.h"

namespace hadal {

const std::string_view kDeepSeekR1Template =
    R"({{- bos_token }}
{%- for message in messages if message.role == 'system' %}
{{- ('' if loop.first else '\n\n') + message.content }}
{%- endfor %}
{%- for message in messages %}
{%- if message.role == 'user' %}
{{- '<｜User｜>' + message.content }}
{%- elif message.role == 'assistant' %}
{{- '<｜Assistant｜>' + message.content.split('</think>')[-1] + eos_token }}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
{{- '<｜Assistant｜><think>\n' }}
{%- endif %})";

namespace {

using namespace deepseek;

class DeepSeekR1 final : public DeepSeekFormat {
 public:
  std::string_view name() const override { return "deepseek-r1"; }
  bool can_think() const override { return true; }
  ToolSupport tools() const override { return ToolSupport::calls; }
  ToolCallSyntax call_syntax() const override { return ToolCallSyntax::deepseek_v3; }
  // The cards of R1 and of the distillations: 0.5 to 0.7, 0.6 recommended; top_p 0.95.
  SamplingAdvice sampling() const override { return {.temperature = 0.6, .top_p = 0.95}; }
  // The model writes "reasoning \n</think>\n\n answer" after the generation prompt's "<think>\n".
  Prompt completion(const ChatMessage& answer, std::optional<bool> thinking) const override {
    Prompt out;
    if (thinking.value_or(true)) out.text(answer.reasoning_content).text("\n").control(kThinkEnd).text("\n\n");
    return out.text(answer.content).control(kEnd);
  }

 protected:
  std::string_view past_content(std::string_view content) const override {  // what follows the last thought
    const std::size_t at = content.rfind(kThinkEnd);
    return at == content.npos ? content : content.substr(at + kThinkEnd.size());
  }
  bool write_open_answer(const ChatMessage& answer, bool thinking, After before, Prompt& out) const override {
    if (!thinking || answer.reasoning_content.empty() || before == After::result)
      return DeepSeekFormat::write_open_answer(answer, thinking, before, out);
    out.control(kAssistant).control(kThink).text("\n").text(answer.reasoning_content);
    if (answer.content.empty()) return true;
    out.text("\n").control(kThinkEnd).text("\n\n").text(answer.content);
    return false;
  }
  bool write_generation_prompt(bool thinking, Prompt& out) const override {
    out.control(kAssistant).control(kThink).text("\n");
    if (!thinking) out.text("\n").control(kThinkEnd).text("\n\n");  // an empty thought: the answer comes at once
    return thinking;
  }
};

}  // namespace

const ChatFormat& deepseek_r1_format() {
  static const DeepSeekR1 format;
  return format;
}

}  // namespace hadal
