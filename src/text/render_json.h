// A conversation as JSON to a prompt as JSON: what `hadal render` does with its stdin.
//
// {"messages": [..], "tools"?, "thinking"?, "add_generation_prompt"? (true), "continue_final_message"?,
// "template_args"?} -> {"prompt": "..", "ids": [..]}. Any thread.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "text/chat_format.h"

namespace hadal {

// One line of JSON. Templates that know no tools write none, as the official ones do; a format that would have to
// write them (V3.1) refuses.
Result<std::string> render_json(const Tokenizer& tokenizer, const ChatFormat& format, std::string_view body);

// {"ids": [1, 2]} as one line.
std::string ids_json(std::span<const TokenId> ids);

// The messages of a conversation; `json` is the list, `subject` its name in errors. An assistant message whose content
// is null says nothing and is left out.
Result<std::vector<ChatMessage>> read_chat_messages(const Json& json, std::string_view subject);

}  // namespace hadal
