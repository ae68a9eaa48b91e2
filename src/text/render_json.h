// A conversation as JSON to a prompt as JSON: what `hadal render` does with its stdin.
//
// {"messages": [..], "tools"?, "thinking"?, "add_generation_prompt"? (true), "continue_final_message"?,
// "template_args"?} -> {"prompt": "..", "ids": [..]}. Any thread.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "text/chat_format.h"

namespace hadal {

// One line of JSON. A format whose template has no place for tools writes none, as the template does. Of template_args
// count what a format's template knows: "thinking" (formats that think), "date_string", "tools_in_user_message" and
// "custom_tools" (Llama); others are ignored, as Jinja does.
Result<std::string> render_json(const Tokenizer& tokenizer, const ChatFormat& format, std::string_view body);

// {"ids": [1, 2]} as one line.
std::string ids_json(std::span<const TokenId> ids);

}  // namespace hadal
