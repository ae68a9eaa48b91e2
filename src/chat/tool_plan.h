// What a request's tools come to with this model: what its prompt shows, and whether calls are taken out of the answer.
// Any thread.
#pragma once

#include <optional>

#include "base/result.h"
#include "chat/chat_model.h"
#include "chat/model_files.h"

namespace hadal {

struct ToolPlan {
  std::optional<OrderedJson> shown{};  // definitions
  ExpectedCalls calls{};
};

// Errors name the field: definitions that the format has no place for; calls that it, or the vocabulary, cannot write.
Result<ToolPlan> plan_tools(const GenerationRequest& request, const TextModel& text);

}  // namespace hadal
