// What DeepSeek's formats up to V3.1 share: the order of things, the checks, the end of a turn. Each format is a file
// of its own that overrides what it does differently (native_formats.h).
//
// System texts stand at the front, joined by a blank line. Results of tools follow the turn that called for them, and
// the model goes on after them without a header (MODELS.md 10.4).
#pragma once

#include "text/chat_format.h"

namespace hadal {

namespace deepseek {
inline constexpr std::string_view kBegin = "<｜begin▁of▁sentence｜>", kEnd = "<｜end▁of▁sentence｜>";
inline constexpr std::string_view kUser = "<｜User｜>", kAssistant = "<｜Assistant｜>";
inline constexpr std::string_view kThink = "<think>", kThinkEnd = "</think>";
inline constexpr std::string_view kCallsBegin = "<｜tool▁calls▁begin｜>", kCallsEnd = "<｜tool▁calls▁end｜>";
inline constexpr std::string_view kCallBegin = "<｜tool▁call▁begin｜>", kCallEnd = "<｜tool▁call▁end｜>";
inline constexpr std::string_view kOutputsBegin = "<｜tool▁outputs▁begin｜>", kOutputsEnd = "<｜tool▁outputs▁end｜>";
inline constexpr std::string_view kOutputBegin = "<｜tool▁output▁begin｜>", kOutputEnd = "<｜tool▁output▁end｜>";
inline constexpr std::string_view kSep = "<｜tool▁sep｜>";
}  // namespace deepseek

class DeepSeekFormat : public ChatFormat {
 public:
  Result<RenderedPrompt> render(std::span<const ChatMessage> messages, const RenderOptions& options) const final;
  Prompt completion(const ChatMessage& answer, std::optional<bool> thinking) const override;
  std::vector<std::string_view> stop_tokens() const override;

 protected:
  enum class After { nothing, user, assistant, result };  // what was written last

  virtual bool hoists_system() const { return true; }
  virtual void write_tools(const OrderedJson& tools, Prompt& out) const;
  virtual void write_user(std::string_view content, Prompt& out) const;
  virtual void write_header(After before, Prompt& out) const;  // of a past answer, without reasoning
  virtual std::string_view past_content(std::string_view content) const { return content; }  // without its thought
  virtual void write_calls(std::span<const ToolCall> calls, Prompt& out) const;
  virtual void write_result(std::string_view content, After before, Prompt& out) const;
  virtual void end_results(Prompt& out) const;  // after the last of several
  // These two return whether the model's next text is reasoning.
  virtual bool write_open_answer(const ChatMessage& answer, bool thinking, After before, Prompt& out) const;
  virtual bool write_generation_prompt(bool thinking, Prompt& out) const;

 private:
  Status check(std::span<const ChatMessage> messages, const RenderOptions& options) const;
  void write_past_answer(const ChatMessage& answer, After before, Prompt& out) const;
};

}  // namespace hadal
