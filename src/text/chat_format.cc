#include "text/chat_format.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "text/deepseek_formats.h"
#include "text/utf8.h"

namespace hadal {
namespace {

std::string all_names() {
  std::vector<std::string_view> names;
  for (const ChatFormat* format : chat_formats()) names.push_back(format->name());
  return fmt::format("{}", fmt::join(names, ", "));
}

}  // namespace

std::span<const ChatFormat* const> chat_formats() {
  static const ChatFormat* const formats[] = {&deepseek_v2_format(), &deepseek_v3_format(), &deepseek_r1_format(),
                                              &deepseek_v31_format()};
  return formats;
}

Result<const ChatFormat*> find_chat_format(std::string_view name) {
  for (const ChatFormat* format : chat_formats()) {
    if (format->name() == name) return format;
  }
  return Error{ErrorKind::not_found, fmt::format("chat format: expected one of {}, found \"{}\"", all_names(),
                                                 repair_utf8(name.substr(0, 60)))};
}

Result<const ChatFormat*> recognise_chat_format(const Tokenizer& tokenizer, std::string_view subject) {
  const std::string_view jinja = tokenizer.chat_template();
  const auto unsure = [&](std::string_view why) {
    return Error{ErrorKind::unsupported,
                 fmt::format("{}: chat format not recognised: {}; name one of {}", subject, why, all_names())};
  };
  const auto has_token = [&](std::string_view name) { return tokenizer.find_control(name).has_value(); };
  const auto mentions = [&](std::string_view words) { return jinja.find(words) != std::string_view::npos; };

  if (!has_token("<｜begin▁of▁sentence｜>") || !has_token("<｜end▁of▁sentence｜>"))
    return unsure("the tokenizer lacks DeepSeek's <｜begin▁of▁sentence｜> and <｜end▁of▁sentence｜>");
  if (mentions("User: ") && mentions("Assistant:") && !mentions("<｜User｜>")) return &deepseek_v2_format();
  if (!has_token("<｜User｜>") || !has_token("<｜Assistant｜>"))
    return unsure("the tokenizer lacks <｜User｜> and <｜Assistant｜>, and no template says what stands for them");
  if (jinja.empty()) {
    if (has_token("<think>") || has_token("</think>"))
      return unsure("there is no chat template, and the think tokens alone do not tell R1 from V3.1");
    return &deepseek_v3_format();
  }
  if (!mentions("<｜User｜>") || !mentions("<｜Assistant｜>"))
    return unsure("the chat template does not write <｜User｜> and <｜Assistant｜>");
  if (mentions("｜DSML｜") || mentions("<｜System｜>")) return unsure("the chat template is of a later generation");
  if (!mentions("think>")) return &deepseek_v3_format();
  if (mentions("thinking")) return &deepseek_v31_format();
  return &deepseek_r1_format();
}

std::vector<TokenId> stop_token_ids(const ChatFormat& format, const Tokenizer& tokenizer) {
  std::vector<TokenId> ids;
  const auto add = [&](std::optional<TokenId> id) {
    if (id && std::find(ids.begin(), ids.end(), *id) == ids.end()) ids.push_back(*id);
  };
  add(tokenizer.eos());
  for (const std::string_view name : format.stop_tokens()) add(tokenizer.find_control(name));
  return ids;
}

}  // namespace hadal
