// Completions and deltas, as the OpenAI API writes them, with DeepSeek's reasoning_content.
//
// Pure: text out. Whole answers are one JSON object; streamed ones a sequence of
// server-sent events, one JSON chunk each, ended by `data: [DONE]`.
// Threads: a ChunkWriter belongs to one connection.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "chat/chat_model.h"
#include "server/api_error.h"

namespace hadal {

struct AnswerId {
  std::string id;  // "chatcmpl-..."
  std::string model;
  std::int64_t created = 0;  // seconds since 1970
};

AnswerId new_answer_id(const std::string& model);  // a random id, and now

// The error that `completion` ended with, when it is not a usable answer.
bool is_answer(const Completion& completion);
ApiError error_of(const Completion& completion);

std::string completion_json(const AnswerId& id, const Completion& completion);

enum class UsageChunk { no, yes };

// Each function returns whole events, ready to be sent.
class ChunkWriter {
 public:
  ChunkWriter(AnswerId id, UsageChunk usage) : id_(std::move(id)), usage_(usage) {}

  std::string start() const;                               // says the role
  std::string delta(const Delta& delta) const;             // reasoning, text, calls; empty when all are
  std::string finish(const Completion& completion) const;  // finish_reason, usage if wished, [DONE]; or the error

 private:
  AnswerId id_;
  UsageChunk usage_;
};

// "data: <json>\n\n"; json has no line breaks.
std::string sse_event(std::string_view json);
inline constexpr std::string_view kSseComment = ": keep-alive\n\n";  // readers skip it

}  // namespace hadal
