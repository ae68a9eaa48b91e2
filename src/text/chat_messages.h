// Messages, calls and tool definitions as JSON, to what a chat format takes. Any thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "text/chat_format.h"
#include "text/ordered_json.h"

namespace hadal {

// A message's content as it stands: null or absent is kept so. It may be a list of {"type": "text", "text": ".."},
// whose texts are joined; a tool's may be any object or list beside. `content` is null where there is no such field;
// `message` has its role, and `subject` is its name in errors.
Status read_content(const OrderedJson* content, const std::string& subject, ChatMessage& message);

// A conversation. `json` is the list, `subject` its name in errors. A call has its name and arguments in "function" or
// beside it.
Result<std::vector<ChatMessage>> read_messages(const OrderedJson& json, std::string_view subject);

// Conversations to learn from: text only, and an assistant message whose content is null says nothing and is left out.
Result<std::vector<ChatMessage>> read_chat_messages(const Json& json, std::string_view subject);

}  // namespace hadal
