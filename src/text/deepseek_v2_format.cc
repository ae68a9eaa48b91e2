// DeepSeek-V2, V2-Lite-Chat, Coder-V2: roles in plain text, system texts where they stand, no tools.
#include "text/deepseek_format.h"
#include "text/native_formats.h"

namespace hadal {
namespace {

class DeepSeekV2 final : public DeepSeekFormat {
 public:
  std::string_view name() const override { return "deepseek-v2"; }
  // generation_config.json of V2-Lite-Chat and V2-Chat.
  SamplingAdvice sampling() const override { return {.temperature = 0.3, .top_p = 0.95}; }
  Prompt completion(const ChatMessage& answer, std::optional<bool>) const override {
    return Prompt().text(" ").text(answer.content).control(deepseek::kEnd);
  }

 protected:
  bool hoists_system() const override { return false; }
  void write_user(std::string_view content, Prompt& out) const override {
    out.text("User: ").text(content).text("\n\n");
  }
  void write_header(After, Prompt& out) const override { out.text("Assistant: "); }
  bool write_generation_prompt(bool, Prompt& out) const override {
    out.text("Assistant:");
    return false;
  }
};

}  // namespace

const ChatFormat& deepseek_v2_format() {
  static const DeepSeekV2 format;
  return format;
}

}  // namespace hadal
