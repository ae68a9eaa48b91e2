// A ChatModel over a tiny model's directory, and the requests that tests put to it.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>

#include "base/check.h"
#include "chat/chat_model.h"
#include "chat/tiny_model.h"

namespace hadal::testing {

inline std::unique_ptr<ChatModel> open_tiny(const std::filesystem::path& directory,
                                            OpenOptions options = {.exact = true, .threads = 1, .max_sequences = 4}) {
  auto model = ChatModel::open(directory.string(), options);
  HADAL_CHECK(model.ok());
  return std::move(*model);
}

inline GenerationRequest ask(const std::string& text) {
  GenerationRequest request;
  request.messages = {{.role = "user", .content = text, .reasoning_content = ""}};
  return request;
}

// An answer of random text: without a thought, at a temperature where the last bit of a logit can decide.
inline GenerationRequest babble(const std::string& text, int max_tokens, std::uint64_t seed) {
  GenerationRequest request = ask(text);
  request.thinking = false;
  request.max_tokens = max_tokens;
  request.sampling = {.temperature = 1.5, .top_p = 1, .seed = seed};
  return request;
}

}  // namespace hadal::testing
