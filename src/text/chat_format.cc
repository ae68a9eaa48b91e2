#include "text/chat_format.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "text/native_formats.h"
#include "text/utf8.h"

namespace hadal {

std::span<const ChatFormat* const> chat_formats() {
  static const ChatFormat* const formats[] = {&deepseek_v2_format(),  &deepseek_v3_format(), &deepseek_r1_format(),
                                              &deepseek_v31_format(), &qwen25_format(),      &llama3_format(),
                                              &smollm2_format()};
  return formats;
}

std::string chat_format_names() {
  std::vector<std::string_view> names;
  for (const ChatFormat* format : chat_formats()) names.push_back(format->name());
  return fmt::format("{}", fmt::join(names, ", "));
}

Result<const ChatFormat*> find_chat_format(std::string_view name) {
  for (const ChatFormat* format : chat_formats()) {
    if (format->name() == name) return format;
  }
  return Error{ErrorKind::not_found, fmt::format("chat format: expected one of {}, found \"{}\"", chat_format_names(),
                                                 repair_utf8(name.substr(0, 60)))};
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
