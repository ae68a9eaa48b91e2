// Tools in the body of POST /v1/chat/completions: definitions, what past answers called, and what came back.
//
// Used by chat_request.cc. Threads: no state.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "chat/chat_model.h"
#include "server/request_fields.h"

namespace hadal {

// tools, tool_choice and parallel_tool_calls. `body` is the text that `fields` was read from: a prompt shows
// definitions in the order of its keys.
void read_tools(Fields& fields, std::optional<ApiError>& error, std::string_view body, GenerationRequest& into);

// tool_calls of an assistant's message. Their arguments are the text of a JSON object, as the API has it; where they
// are none (a model may have been cut off) the text is kept.
void read_tool_calls(Fields& message, std::optional<ApiError>& error, ChatMessage& into);

// Each call is answered once, right behind it, and prompts go by position: puts results in the order of their calls.
void order_results(std::vector<ChatMessage>& messages, std::optional<ApiError>& error);

}  // namespace hadal
