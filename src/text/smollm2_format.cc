// SmolLM2 Instruct: ChatML with a default system text, no tools.
#include "text/format_checks.h"
#include "text/native_formats.h"

#include <fmt/format.h>

namespace hadal {
namespace {

constexpr std::string_view kStart = "<|im_start|>", kEnd = "<|im_end|>";
constexpr std::string_view kDefaultSystem = "You are a helpful AI assistant named SmolLM, trained by Hugging Face";

class SmolLM2 final : public ChatFormat {
 public:
  std::string_view name() const override { return "smollm2"; }
  // The card of SmolLM2-135M-Instruct.
  SamplingAdvice sampling() const override { return {.temperature = 0.2, .top_p = 0.9}; }
  std::vector<std::string_view> stop_tokens() const override { return {kEnd, "<|endoftext|>"}; }
  Prompt completion(const ChatMessage& answer, std::optional<bool>) const override {
    return Prompt().text(answer.content).control(kEnd);
  }

  Result<RenderedPrompt> render(std::span<const ChatMessage> messages, const RenderOptions& options) const override {
    HADAL_RETURN_IF_ERROR(check(messages, options));
    RenderedPrompt rendered;
    Prompt& out = rendered.prompt;
    if (!messages.empty() && messages.front().role != "system")
      out.control(kStart).text("system\n").text(kDefaultSystem).control(kEnd).text("\n");
    for (const ChatMessage& message : messages) {
      out.control(kStart).text(message.role).text("\n").text(message.content);
      if (options.continue_final_message && &message == &messages.back()) break;
      out.control(kEnd).text("\n");
    }
    if (options.add_generation_prompt) out.control(kStart).text("assistant\n");
    return rendered;
  }

 private:
  Status check(std::span<const ChatMessage> messages, const RenderOptions& options) const {
    HADAL_RETURN_IF_ERROR(check_options(*this, messages, options));
    for (std::size_t i = 0; i < messages.size(); ++i) {
      const ChatMessage& message = messages[i];
      if (message.role == "tool" || message.calls_tools())
        return Error{ErrorKind::unsupported,
                     fmt::format("messages[{}]: {} has no tool calls and no results of tools", i, name())};
      if (message.role != "system" && message.role != "user" && message.role != "assistant" &&
          message.role != "developer")
        return unknown_role(message, i, "system, user or assistant");
      HADAL_RETURN_IF_ERROR(check_content(message, i));
    }
    return Done{};
  }
};

}  // namespace

const ChatFormat& smollm2_format() {
  static const SmolLM2 format;
  return format;
}

}  // namespace hadal
