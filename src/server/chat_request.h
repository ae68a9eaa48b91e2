// The body of POST /v1/chat/completions, from JSON to what ChatModel::submit() takes.
//
// Pure: bytes in, a request or one clear error out; fuzzed. It knows the OpenAI
// and DeepSeek spelling of each field, and nothing about HTTP or connections.
// Fields that would change the answer and that hadal does not have (logprobs,
// penalties, ...) are refused, as are unknown ones; fields that cannot change it
// (user, metadata, ...) are ignored.
// Threads: no state.
#pragma once

#include <string>
#include <string_view>
#include <variant>

#include "chat/chat_model.h"
#include "server/api_error.h"

namespace hadal {

struct ServedModel {  // what requests are checked against
  std::string name;
  SamplingOptions sampling;  // for fields that a request leaves out
  int context_tokens = 0;
};

struct ChatRequest {
  GenerationRequest generation;  // its callbacks are still empty
  bool stream = false;
  bool include_usage = false;  // a last chunk with the usage (stream_options)
};

inline constexpr int kMaxStopStrings = 16;  // OpenAI and DeepSeek allow 4 and 16
inline constexpr int kMaxJsonDepth = 32;    // a request needs 5; deeper is an attack on recursive code

std::variant<ChatRequest, ApiError> parse_chat_request(std::string_view body, const ServedModel& model);

}  // namespace hadal
