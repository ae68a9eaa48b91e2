// Which format a checkpoint speaks, from its control tokens and from words of its chat template that no other has.
#include <fmt/format.h>

#include "text/native_formats.h"

namespace hadal {
namespace {

class Recognition {
 public:
  Recognition(const Tokenizer& tokenizer, std::string_view subject) : tokenizer_(tokenizer), subject_(subject) {}

  Result<const ChatFormat*> format() const {
    // A distillation keeps the tokens of Qwen or Llama; the roles tell it apart.
    const bool deepseek_ends = has_token("<｜begin▁of▁sentence｜>") && has_token("<｜end▁of▁sentence｜>");
    if (deepseek_ends || has_token("<｜User｜>")) return deepseek(deepseek_ends);
    if (has_token("<|start_header_id|>") && has_token("<|eot_id|>")) return llama();
    if (has_token("<|im_start|>") && has_token("<|im_end|>")) return chatml();
    return unsure(
        "the tokenizer has the roles of none of them: neither <｜User｜> nor <|start_header_id|> nor <|im_start|>");
  }

 private:
  Error unsure(std::string_view why) const {
    return {ErrorKind::unsupported,
            fmt::format("{}: chat format not recognised: {}; name one of {}", subject_, why, chat_format_names())};
  }
  bool has_token(std::string_view name) const { return tokenizer_.find_control(name).has_value(); }
  bool mentions(std::string_view words) const { return tokenizer_.chat_template().find(words) != std::string::npos; }
  bool has_template() const { return !tokenizer_.chat_template().empty(); }

  Result<const ChatFormat*> deepseek(bool has_ends) const {
    if (!has_ends) return unsure("the tokenizer lacks DeepSeek's <｜begin▁of▁sentence｜> and <｜end▁of▁sentence｜>");
    if (mentions("User: ") && mentions("Assistant:") && !mentions("<｜User｜>")) return &deepseek_v2_format();
    if (!has_token("<｜User｜>") || !has_token("<｜Assistant｜>"))
      return unsure("the tokenizer lacks <｜User｜> and <｜Assistant｜>, and no template says what stands for them");
    if (!has_template()) {
      const bool thinks = has_token("<think>") || has_token("</think>");
      if (thinks && (has_token("<|fim_prefix|>") || has_token("<|reserved_special_token_0|>")))
        return &deepseek_r1_format();  // a vocabulary of Qwen or Llama
      if (thinks) return unsure("there is no chat template, and the think tokens alone do not tell R1 from V3.1");
      return &deepseek_v3_format();
    }
    if (!mentions("<｜User｜>") || !mentions("<｜Assistant｜>"))
      return unsure("the chat template does not write <｜User｜> and <｜Assistant｜>");
    if (mentions("｜DSML｜") || mentions("<｜System｜>")) return unsure("the chat template is of a later generation");
    if (!mentions("think>")) return &deepseek_v3_format();
    if (mentions("thinking")) return &deepseek_v31_format();
    return &deepseek_r1_format();
  }

  Result<const ChatFormat*> llama() const {
    if (!mentions("<|start_header_id|>")) return unsure("no chat template writes <|start_header_id|>");
    // Llama 3.0 writes no dates, 4 other headers; fine-tuned models often think.
    if (!mentions("Cutting Knowledge Date") || mentions("think>"))
      return unsure("the chat template is not that of Llama 3.1 to 3.3: no \"Cutting Knowledge Date\", or thoughts");
    return &llama3_format();
  }

  Result<const ChatFormat*> chatml() const {
    if (!mentions("<|im_start|>")) return unsure("no chat template writes <|im_start|>");
    if (mentions("think")) return unsure("the chat template is of a later generation: it thinks");
    if (mentions("You are Qwen, created by Alibaba Cloud")) return &qwen25_format();
    if (mentions("named SmolLM, trained by Hugging Face")) return &smollm2_format();
    return unsure("the chat template is ChatML, but neither Qwen2.5's nor SmolLM2's");
  }

  const Tokenizer& tokenizer_;
  std::string_view subject_;
};

}  // namespace

Result<const ChatFormat*> recognise_chat_format(const Tokenizer& tokenizer, std::string_view subject) {
  return Recognition(tokenizer, subject).format();
}

}  // namespace hadal
