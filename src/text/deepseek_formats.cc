#include "text/deepseek_formats.h"

#include <fmt/format.h>

#include "text/utf8.h"

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

constexpr std::string_view kBegin = "<｜begin▁of▁sentence｜>", kEnd = "<｜end▁of▁sentence｜>";
constexpr std::string_view kUser = "<｜User｜>", kAssistant = "<｜Assistant｜>";
constexpr std::string_view kThink = "<think>", kThinkEnd = "</think>";

// What comes after the first or the last </think> of a past answer; all of it when there is none.
std::string_view after_first_thought(std::string_view content) {
  const std::size_t at = content.find(kThinkEnd);
  return at == std::string_view::npos ? content : content.substr(at + kThinkEnd.size());
}
std::string_view after_last_thought(std::string_view content) {
  const std::size_t at = content.rfind(kThinkEnd);
  return at == std::string_view::npos ? content : content.substr(at + kThinkEnd.size());
}

// What the four formats share: the order of things, the checks, the end.
class DeepSeekFormat : public ChatFormat {
 public:
  Result<RenderedPrompt> render(std::span<const ChatMessage> messages, const RenderOptions& options) const override {
    const bool thinking = options.thinking.value_or(thinks_by_default());
    if (thinking && !can_think())
      return Error{ErrorKind::unsupported, fmt::format("thinking: {} has no thinking mode", name())};
    HADAL_RETURN_IF_ERROR(check(messages, options));
    RenderedPrompt rendered;
    rendered.prompt.control(kBegin);
    if (hoists_system()) write_all_system(messages, rendered.prompt);
    for (const ChatMessage& message : messages) {
      const bool open = options.continue_final_message && &message == &messages.back();
      if (message.role == "user") {
        write_user(message.content, rendered.prompt);
      } else if (message.role == "system" && !hoists_system()) {
        rendered.prompt.text(message.content).text("\n\n");
      } else if (message.role == "assistant" && !open) {
        write_past_answer(message.content, rendered.prompt);
        rendered.prompt.control(kEnd);
      } else if (message.role == "assistant") {
        rendered.reasoning_open = write_open_answer(message, thinking, rendered.prompt);
      }
    }
    if (options.add_generation_prompt) rendered.reasoning_open = write_generation_prompt(thinking, rendered.prompt);
    return rendered;
  }

  Prompt completion(const ChatMessage& answer, std::optional<bool>) const override {
    return Prompt().text(answer.content).control(kEnd);
  }

  bool can_think() const override { return false; }
  bool thinks_by_default() const override { return can_think(); }
  std::vector<std::string_view> stop_tokens() const override { return {kEnd, "<|EOT|>"}; }

 protected:
  // System texts go to the front, joined by a blank line, wherever they stand.
  virtual bool hoists_system() const { return true; }
  virtual void write_user(std::string_view content, Prompt& out) const { out.control(kUser).text(content); }
  virtual void write_past_answer(std::string_view content, Prompt& out) const { out.control(kAssistant).text(content); }
  // These two return whether the model's next text is reasoning.
  virtual bool write_open_answer(const ChatMessage& answer, bool, Prompt& out) const {
    write_past_answer(answer.content, out);
    return false;
  }
  virtual bool write_generation_prompt(bool, Prompt& out) const {
    out.control(kAssistant);
    return false;
  }

 private:
  Status check(std::span<const ChatMessage> messages, const RenderOptions& options) const {
    for (std::size_t i = 0; i < messages.size(); ++i) {
      const std::string& role = messages[i].role;
      if (role == "tool")
        return Error{ErrorKind::unsupported, fmt::format("messages[{}]: tool messages are not supported", i)};
      // "developer" passes without being written: the official templates do so, and clients rely on it being accepted.
      if (role != "system" && role != "user" && role != "assistant" && role != "developer")
        return Error{ErrorKind::invalid,
                     fmt::format("messages[{}]: role: expected system, user or assistant, found \"{}\"", i,
                                 repair_utf8(role.substr(0, 40)))};
    }
    if (!options.continue_final_message) return Done{};
    if (options.add_generation_prompt)
      return Error{ErrorKind::invalid, "continue_final_message: expected without add_generation_prompt, found both"};
    if (messages.empty() || messages.back().role != "assistant")
      return Error{ErrorKind::invalid,
                   fmt::format("continue_final_message: expected a last message of role assistant, found {}",
                               messages.empty() ? "no message" : messages.back().role)};
    return Done{};
  }

  static void write_all_system(std::span<const ChatMessage> messages, Prompt& out) {
    bool first = true;
    for (const ChatMessage& message : messages) {
      if (message.role != "system") continue;
      out.text(first ? "" : "\n\n").text(message.content);
      first = false;
    }
  }
};

class DeepSeekV2 final : public DeepSeekFormat {
 public:
  std::string_view name() const override { return "deepseek-v2"; }
  Prompt completion(const ChatMessage& answer, std::optional<bool>) const override {
    return Prompt().text(" ").text(answer.content).control(kEnd);
  }

 protected:
  bool hoists_system() const override { return false; }
  void write_user(std::string_view content, Prompt& out) const override {
    out.text("User: ").text(content).text("\n\n");
  }
  void write_past_answer(std::string_view content, Prompt& out) const override {
    out.text("Assistant: ").text(content);
  }
  bool write_generation_prompt(bool, Prompt& out) const override {
    out.text("Assistant:");
    return false;
  }
};

class DeepSeekV3 final : public DeepSeekFormat {
 public:
  std::string_view name() const override { return "deepseek-v3"; }
};

class DeepSeekR1 final : public DeepSeekFormat {
 public:
  std::string_view name() const override { return "deepseek-r1"; }
  bool can_think() const override { return true; }
  // The model writes "reasoning \n</think>\n\n answer" after the generation prompt's "<think>\n".
  Prompt completion(const ChatMessage& answer, std::optional<bool> thinking) const override {
    Prompt out;
    if (thinking.value_or(true)) out.text(answer.reasoning_content).text("\n").control(kThinkEnd).text("\n\n");
    return out.text(answer.content).control(kEnd);
  }

 protected:
  void write_past_answer(std::string_view content, Prompt& out) const override {
    out.control(kAssistant).text(after_last_thought(content));
  }
  bool write_open_answer(const ChatMessage& answer, bool thinking, Prompt& out) const override {
    if (!thinking || answer.reasoning_content.empty()) return write_past_answer(answer.content, out), false;
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

class DeepSeekV31 final : public DeepSeekFormat {
 public:
  std::string_view name() const override { return "deepseek-v3.1"; }
  bool can_think() const override { return true; }
  bool thinks_by_default() const override { return false; }
  Prompt completion(const ChatMessage& answer, std::optional<bool> thinking) const override {
    Prompt out;
    if (thinking.value_or(false)) out.text(answer.reasoning_content).control(kThinkEnd);
    return out.text(answer.content).control(kEnd);
  }

 protected:
  void write_past_answer(std::string_view content, Prompt& out) const override {
    out.control(kAssistant).control(kThinkEnd).text(after_first_thought(content));
  }
  bool write_open_answer(const ChatMessage& answer, bool thinking, Prompt& out) const override {
    if (!thinking) return write_past_answer(answer.content, out), false;
    out.control(kAssistant).control(kThink);
    if (answer.reasoning_content.empty()) return out.text(after_first_thought(answer.content)), true;
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

const ChatFormat& deepseek_v2_format() {
  static const DeepSeekV2 format;
  return format;
}
const ChatFormat& deepseek_v3_format() {
  static const DeepSeekV3 format;
  return format;
}
const ChatFormat& deepseek_r1_format() {
  static const DeepSeekR1 format;
  return format;
}
const ChatFormat& deepseek_v31_format() {
  static const DeepSeekV31 format;
  return format;
}

}  // namespace hadal
